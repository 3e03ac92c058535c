// SPDX-License-Identifier: Apache-2.0
// Webhooks with a real receiver: signatures, order, retries, what survives a kill, and where they may not lead (docs/webhooks.md).

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";

import { publishFfmpeg } from "./lib/ffmpeg.mjs";
import { eventually, freePort, Mast, stopChild } from "./lib/mast.mjs";

const SECRET = "a-secret-of-the-tests-0123";
const run = promisify(execFile);
const LOCAL = { outgoing: { allow: ["127.0.0.0/8", "::1"] } };

// Notes each request; answer(request, n) says what it is answered: a status, or {status, headers, body}.
class Receiver {
  static async start({ port = 0, answer = () => 200 } = {}) {
    const r = new Receiver();
    r.requests = [];
    r.answer = answer;
    r.server = createServer((req, res) => {
      let body = "";
      req.on("data", (d) => (body += d));
      req.on("end", () => {
        const request = { method: req.method, url: req.url, headers: req.headers, body, event: JSON.parse(body || "null") };
        r.requests.push(request);
        const a = r.answer(request, r.requests.length);
        const { status, headers = {}, body: text = "" } = typeof a === "number" ? { status: a } : a;
        request.status = status;
        res.writeHead(status, headers).end(text);
      });
    });
    await new Promise((done, fail) => r.server.listen(port, "127.0.0.1", done).on("error", fail));
    r.server.unref(); // a test that fails leaves it behind
    r.port = r.server.address().port;
    return r;
  }

  url(path = "/hook") {
    return `http://127.0.0.1:${this.port}${path}`;
  }

  get accepted() {
    return this.requests.filter((q) => q.status >= 200 && q.status < 300);
  }

  received(n) {
    return eventually(`${n} accepted deliveries`, () => this.accepted.length >= n && this.accepted);
  }

  close() {
    this.server.closeAllConnections();
    return new Promise((done) => this.server.close(done));
  }
}

// The example that docs/webhooks.md gives to receivers.
const example = /```js\n(.*?)```/s.exec(await readFile(new URL("../../docs/webhooks.md", import.meta.url), "utf8"))[1];
const { isFromMast } = await import(`data:text/javascript,${encodeURIComponent(example)}`);
const verify = (request, secret, now) => isFromMast(secret, request.headers["mast-signature"], request.body, now);

async function post(mast, path, body = {}, method = "POST") {
  const reply = await mast.fetch(path, { method, body: JSON.stringify(body), headers: { "Content-Type": "application/json" } });
  return { status: reply.status, json: reply.text ? JSON.parse(reply.text) : null };
}

const reload = async (mast) => assert.equal((await post(mast, "/api/v1/reload")).status, 200);
const show = (mast, id) => mast.get(`/api/v1/webhooks/${id}`);
const deliveries = async (mast, id) => (await mast.get(`/api/v1/webhooks/${id}/deliveries`)).items;

const hook = (name, url, more = {}) => ({ name, url, events: ["config.*"], secret: SECRET, ...more });

async function withMast(config, run) {
  const mast = await Mast.start({ config: { watch: false, ...config } });
  try {
    return await run(mast);
  } catch (e) {
    e.message += `\n${mast.log.slice(-4000)}`;
    throw e;
  } finally {
    await mast.close();
  }
}

test("events are signed, retried with the same id, and stay in order", async () => {
  const receiver = await Receiver.start({ answer: (q, n) => (n <= 2 ? 500 : 204) });
  const headers = { Authorization: "Bearer of-the-tests" };
  await withMast({ webhooks: [hook("one", receiver.url(), { headers })] }, async (mast) => {
    await reload(mast);
    await eventually("a failure", () => receiver.requests.length === 1);
    await reload(mast);
    await reload(mast);
    await receiver.received(3);
    const ids = receiver.requests.map((q) => q.headers["mast-delivery"]);
    assert.deepEqual(ids.slice(0, 3), [ids[0], ids[0], ids[0]]);
    assert.equal(new Set(ids.slice(2)).size, 3);
    const events = receiver.accepted.map((q) => Number(q.event.id.split("-")[1]));
    assert.deepEqual(events, [events[0], events[0] + 1, events[0] + 2]);
    for (const q of receiver.requests) {
      assert.equal(q.method, "POST");
      assert.equal(q.headers["content-type"], "application/json");
      assert.equal(q.headers["mast-event"], "config.reloaded");
      assert.equal(q.headers.authorization, headers.Authorization);
      assert.ok(verify(q, SECRET));
      assert.ok(!verify(q, `${SECRET}x`));
      assert.ok(!verify(q, SECRET, Date.now() / 1000 + 1000), "what was recorded is worth nothing later");
      assert.ok(!verify({ ...q, body: q.body.replace("reloaded", "refused") }, SECRET));
    }
    await eventually("the outbox is empty", async () => (await show(mast, "one")).pending === 0);
    const view = await show(mast, "one");
    assert.equal(view.status, "ok");
    assert.equal(view.accepted, 3);
    assert.equal(view.failed, 2);
  });
  await receiver.close();
});

test("what happened before a kill -9 is delivered after it", async () => {
  const port = await freePort();
  await withMast({ webhooks: [hook("one", `http://127.0.0.1:${port}/hook`)] }, async (mast) => {
    await reload(mast);
    await reload(mast);
    await eventually("an attempt failed", async () => (await deliveries(mast, "one"))[0]?.attempts >= 1);
    const before = await deliveries(mast, "one");
    assert.equal(before.length, 2);
    assert.match(before[0].last_error, /connect/i);
    await mast.stop("SIGKILL");
    const receiver = await Receiver.start({ port });
    await mast.run();
    await receiver.received(2);
    assert.deepEqual(receiver.accepted.map((q) => q.headers["mast-delivery"]), before.map((d) => d.id));
    assert.deepEqual(receiver.accepted.map((q) => q.event), before.map((d) => d.body));
    assert.ok(receiver.accepted.every((q) => verify(q, SECRET)));
    await eventually("the outbox is empty", async () => (await deliveries(mast, "one")).length === 0);
    // What was accepted is not there any more, also for the next process.
    await mast.stop("SIGKILL");
    await mast.run();
    assert.deepEqual(await deliveries(mast, "one"), []);
    await receiver.close();
  });
});

test("the order of each stream holds under failures, and one stream does not hold up another", async () => {
  let failures = Infinity;
  const receiver = await Receiver.start({ answer: (q) => (q.event.data.path === "live/a" && failures-- > 0 ? 503 : 200) });
  const config = { streams: { continuity: "200ms" }, webhooks: [hook("one", receiver.url(), { events: ["stream.*"], paths: "live/*" })] };
  await withMast(config, async (mast) => {
    const small = { size: "160x90", rate: 10, audio: false };
    const publishers = ["live/a", "live/b", "other/c"].map((path) => publishFfmpeg(mast.rtmp(path), small));
    await Promise.all(["live/a", "live/b", "other/c"].map((path) => mast.onAir(path)));
    await Promise.all(publishers.map((p) => stopChild(p, "SIGKILL")));
    const of = (path) => receiver.accepted.filter((q) => q.event.data.path === path).map((q) => q.event.type);
    const all = ["stream.published", "stream.ready", "stream.lost", "stream.ended"];
    await eventually("the end of b", () => of("live/b").length === 4);
    assert.ok(of("live/a").length < 4, "b did not wait for a");
    failures = 0;
    await eventually("the end of a", () => of("live/a").length === 4);
    assert.deepEqual(of("live/a"), all);
    assert.deepEqual(of("live/b"), all);
    assert.deepEqual(of("other/c"), []);
  });
  await receiver.close();
});

test("through the API and the commands: secret shown once, 410 disables, what was given up is replayed", async () => {
  let status = 200;
  const receiver = await Receiver.start({ answer: () => status });
  await withMast(LOCAL, async (mast) => {
    const cli = (...args) => run(process.env.MAST_BIN, ["webhook", ...args, "--url", mast.url]);
    const added = await cli("add", receiver.url("/a?token=of-the-tests"), "--events", "config.*", "--name", "mine");
    const secret = added.stdout.trim();
    const id = /webhook (wh_\w+)/.exec(added.stderr)[1];
    assert.match(secret, /^whsec_\w{32}$/);
    assert.match((await cli("ls")).stdout, new RegExp(`^${id} +ok +0 +0 +config\\.\\* .*token=\\*\\*\\*  # mine$`, "m"));
    assert.match((await cli("test", id)).stdout, /^accepted: 200/);
    assert.ok(verify(receiver.requests[0], secret));
    assert.equal(receiver.requests[0].event.type, "webhook.test");

    status = 410;
    await reload(mast);
    await eventually("it is disabled", async () => (await show(mast, id)).enabled === false);
    const [dead] = await deliveries(mast, id);
    assert.equal(dead.state, "dead");
    assert.equal(dead.last_status, 410);
    assert.match((await cli("deliveries", id)).stdout, new RegExp(`^${dead.id} +dead +1 .*answered 410$`, "m"));
    await assert.rejects(cli("test", id), /not accepted: answered 410/);

    // Nothing is taken while it is disabled, also by the next process, which knows it.
    await mast.stop("SIGKILL");
    await mast.run();
    const n = receiver.requests.length;
    await reload(mast);
    assert.equal((await show(mast, id)).status, "disabled");
    status = 200;
    const patched = await post(mast, `/api/v1/webhooks/${id}`, { enabled: true }, "PATCH");
    assert.equal(patched.status, 200);
    assert.equal(patched.json.secret, undefined);
    assert.match((await cli("replay", id)).stdout, /^1 /);
    await eventually("the replay", () => receiver.requests.length > n);
    assert.equal(receiver.requests[n].headers["mast-delivery"], dead.id);
    assert.ok(verify(receiver.requests[n], secret));
    await eventually("nothing is left", async () => (await deliveries(mast, id)).length === 0);

    const rotated = await post(mast, `/api/v1/webhooks/${id}`, { secret: null }, "PATCH");
    assert.match(rotated.json.secret, /^whsec_/);
    assert.notEqual(rotated.json.secret, secret);
    // Not on the disk, not in the log, not in what is shown.
    const shown = JSON.stringify(await mast.get("/api/v1/webhooks"));
    const files = await Promise.all((await readdir(mast.dir)).filter((f) => f.startsWith("state.db")).map((f) => readFile(join(mast.dir, f), "latin1")));
    for (const text of [mast.wholeLog, shown, ...files]) {
      assert.ok(!text.includes(secret) && !text.includes(rotated.json.secret));
    }
    await cli("rm", id);
    await assert.rejects(cli("show", id), /no such webhook/);
  });
  await receiver.close();
});

test("given up after its time, it lets the next one go", async () => {
  const receiver = await Receiver.start({ answer: (q, n) => (n <= 1 ? 400 : 200) });
  await withMast({ webhooks: [hook("one", receiver.url(), { give_up: "100ms" })] }, async (mast) => {
    await reload(mast);
    await eventually("it is dead", async () => (await show(mast, "one")).dead === 1);
    await reload(mast);
    await receiver.received(1);
    const [dead] = await deliveries(mast, "one");
    assert.notEqual(receiver.accepted[0].headers["mast-delivery"], dead.id);
    const metrics = (await mast.fetch("/metrics")).text;
    assert.match(metrics, /^mast_webhook_lost_total\{reason="dead"\} 1$/m);
    assert.match(metrics, /^mast_webhook_deliveries\{state="dead"\} 1$/m);
  });
  await receiver.close();
});

test("URLs of the API do not lead into this machine or its network, and redirects nowhere", async () => {
  const inside = await Receiver.start();
  const door = await Receiver.start({ answer: () => ({ status: 302, headers: { Location: inside.url("/secret") } }) });
  const urls = [inside.url(), `http://localhost:${inside.port}/`, `http://[::ffff:127.0.0.1]:${inside.port}/`, `http://2130706433:${inside.port}/`, "http://169.254.169.254/latest/meta-data", "http://10.0.0.1/"];
  await withMast({ webhooks: [hook("file", door.url())] }, async (mast) => {
    for (const url of urls) {
      const made = await post(mast, "/api/v1/webhooks", { url, events: "config.*" });
      assert.equal(made.status, 201, url);
      const tested = await post(mast, `/api/v1/webhooks/${made.json.id}/test`);
      assert.equal(tested.json.accepted, false, url);
      assert.match(tested.json.error, /outgoing\.allow/, url);
    }
    await reload(mast);
    await eventually("all were tried", async () => (await mast.get("/api/v1/webhooks")).items.every((v) => v.failed > 0));
    const file = await show(mast, "file");
    assert.match(file.last_error, /302: redirects are not followed/);
    assert.equal(inside.requests.length, 0);
    // What the administrator allows is.
    mast.config.outgoing = LOCAL.outgoing;
    await mast.writeConfig();
    await reload(mast);
    const [first] = (await mast.get("/api/v1/webhooks")).items.filter((v) => v.url === inside.url());
    assert.equal((await post(mast, `/api/v1/webhooks/${first.id}/test`)).json.accepted, true);
  });
  await Promise.all([inside.close(), door.close()]);
});

test("those of mast.yml change only there, and a reload touches only what differs", async () => {
  const receiver = await Receiver.start();
  const [closed, moved] = [await freePort(), await freePort()];
  const one = hook("one", `http://127.0.0.1:${closed}/`);
  await withMast({ webhooks: [one, hook("two", `http://127.0.0.1:${moved}/`), hook("three", receiver.url())] }, async (mast) => {
    for (const [method, body] of [["PATCH", { enabled: false }], ["DELETE", {}]]) {
      const refused = await post(mast, "/api/v1/webhooks/one", body, method);
      assert.equal(refused.status, 409);
      assert.equal(refused.json.code, "managed-by-file");
    }
    await reload(mast);
    await receiver.received(1);
    await eventually("both failed", async () => (await show(mast, "one")).failed > 0 && (await show(mast, "two")).failed > 0);
    const [kept] = await deliveries(mast, "one");
    // two moves to where somebody listens, three goes, one stays as it is.
    mast.config.webhooks = [one, hook("two", receiver.url("/two"))];
    await mast.writeConfig();
    await reload(mast);
    await eventually("two is delivered", () => receiver.requests.filter((q) => q.url === "/two").length >= 2);
    assert.equal((await mast.fetch("/api/v1/webhooks/three")).status, 404);
    assert.equal((await deliveries(mast, "one"))[0].id, kept.id);
    mast.config.webhooks = [one, one];
    await mast.writeConfig();
    assert.equal((await post(mast, "/api/v1/reload")).status, 422);
  });
  await receiver.close();
});
