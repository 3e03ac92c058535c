// SPDX-License-Identifier: Apache-2.0
// Broadcasts by their faces, at a real Janus and without media: the API, the commands, restarts of Mast, what is refused; and that
// no secret of theirs is seen again. With media: broadcast_videoroom.test.mjs and its neighbours.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { createServer, get } from "node:http";
import { join } from "node:path";
import { after, afterEach, before, test } from "node:test";

import { Janus } from "./lib/janus.mjs";
import { blocks } from "./lib/markdown.mjs";
import { eventually, Mast } from "./lib/mast.mjs";
import { inOwnNetwork } from "./lib/netns.mjs";

const BIN = process.env.MAST_BIN ?? new URL("../../build/src/app/mast", import.meta.url).pathname;

// The words that must not be seen again.
const secrets = {
  api: "first-api-secret-of-janus",
  streaming: "second-admin-key-of-streaming",
  room: "third-admin-key-of-rooms",
  mountpoint: "fourth-secret-of-a-mountpoint",
  pin: "fifth-pin-of-a-mountpoint",
  roomSecret: "sixth-secret-of-a-room",
  roomPin: "seventh-pin-of-a-room",
  obs: "eighth-password-of-obs",
  input: "ninth-password-in-a-url",
  webhook: "tenth-secret-of-a-webhook",
};

const video = { type: "video", mid: "v", codec: "h264", pt: 96, port: 0 };
const audio = { type: "audio", mid: "a", codec: "opus", pt: 111, port: 0 };
const frontend = (id, room, mountpoint, more = {}) => ({
  broadcast_id: id,
  source_kind: "frontend_owned",
  room_id: room,
  mountpoint_spec: { id: mountpoint, media: [video, audio], ...more.mountpoint_spec },
  ...more.request,
});

if (inOwnNetwork(import.meta.url)) {
  defineTests();
}

function defineTests() {
  let janus;
  let mast;
  let hook;
  const hooked = []; // events by the webhook
  let said = ""; // all that came out of it: answers, commands, events
  let logs = "";

  before(async () => {
    janus = await Janus.start({
      apiSecret: secrets.api,
      streaming: { admin_key: secrets.streaming },
      videoroom: { admin_key: secrets.room },
      rooms: { "room-1234": { room: 1234, description: "was there", publishers: 4 } },
    });
    janus.streamingKey = secrets.streaming;
    janus.roomKey = secrets.room;
    hook = createServer((req, res) => {
      let body = "";
      req.on("data", (d) => (body += d));
      req.on("end", () => {
        said += body;
        hooked.push(JSON.parse(body));
        res.end();
      });
    });
    await new Promise((done) => hook.listen(0, "127.0.0.1", done));
    mast = await Mast.start({
      config: {
        watch: false,
        log: { level: "trace" },
        broadcasts: { check: "200ms", debt_retry: "1s" },
        janus: [
          { name: "main", url: janus.url, api_secret: secrets.api, admin_key: secrets.streaming, room_admin_key: secrets.room, public_url: "wss://janus.example.org" },
          { name: "gone", url: "ws://127.0.0.1:9" },
        ],
        webhooks: [{ name: "all", url: `http://127.0.0.1:${hook.address().port}/`, events: ["broadcast_*"], secret: secrets.webhook }],
      },
    });
    listen();
  });

  afterEach(() => janus.check());

  after(async () => {
    await mast?.close();
    await janus?.close();
    hook?.closeAllConnections();
    hook?.close();
  });

  // Events until the server ends.
  function listen() {
    get(`${mast.url}/api/v1/events?kept=true`, (reply) => {
      reply.on("data", (part) => (said += part));
      reply.on("error", () => {});
    }).on("error", () => {});
  }

  async function api(method, path, body) {
    const reply = await fetch(mast.url + path, { method, body: typeof body === "object" ? JSON.stringify(body) : body });
    const text = await reply.text();
    said += text;
    return { status: reply.status, text, json: text ? JSON.parse(text) : null, headers: reply.headers };
  }

  function command(args, input = "") {
    return new Promise((done) => {
      const child = execFile(BIN, args, { env: { ...process.env, MAST_URL: mast.url } }, (error, out, err) => {
        said += out + err;
        done({ code: error ? error.code : 0, out, err });
      });
      child.stdin.on("error", () => {}); // it may have ended
      child.stdin.end(input);
    });
  }

  const broadcast = (...args) => command(["broadcast", ...args]);
  const ids = async () => (await janus.mountpoints()).map((m) => m.id).sort();
  const rooms = async () => (await janus.rooms()).map((r) => r.room).sort();
  const shown = async (id) => (await api("GET", `/api/v1/broadcasts/${id}`)).json;
  const becomes = (id, state) => eventually(`${id} is ${state}`, async () => ((await shown(id))?.state === state ? shown(id) : null));

  test("by commands: started step by step, seen, stopped, forgotten", async () => {
    const start = await broadcast("start", "frontend", "--id", "cli", "--room", "4321", "--mountpoint", "9001", "--name", "Hall");
    assert.equal(start.code, 0, start.err);
    assert.match(start.out, /^room 4321: made\nmountpoint 9001: made, video \d+, audio \d+\nbroadcast cli: running\n$/);
    assert.deepEqual([await ids(), await rooms()], [[9001], [1234, 4321]]);

    assert.match((await broadcast("ls")).out, /^cli +running +frontend_owned +9001 +0 /m);
    assert.match((await broadcast("ls", "--state", "failed")).out, /^ID[^\n]*\n$/);
    const show = (await broadcast("show", "cli")).out;
    assert.match(show, /^state +running$/m);
    assert.match(show, /^join at +wss:\/\/janus.example.org$/m);
    assert.match(show, /mountpoint +done +make mountpoint 9001/);
    assert.equal(JSON.parse((await broadcast("show", "cli", "--json")).out).broadcast_id, "cli");

    assert.match((await command(["janus", "ls"])).out, /^main +up +1\.\d+\.\d+ +1 +ws:/m);
    assert.match((await command(["janus", "mountpoints", "main"])).out, /^9001 +yes +\S+ +cli /m);
    assert.match((await command(["janus", "rooms", "main"])).out, /^4321 +0 .* 1 /m);
    assert.match((await command(["janus", "rooms", "main", "4321"])).out, /^room 4321 /);
    const refused = await command(["janus", "mountpoints", "nowhere"]);
    assert.deepEqual([refused.code, refused.err], [1, 'mast: janus: no Janus server is called "nowhere" (404)\n']);

    const early = await broadcast("forget", "cli");
    assert.deepEqual([early.code, early.err], [1, "mast: id: has not ended: stop it first (409)\n"]);
    const stop = await broadcast("stop", "cli");
    assert.deepEqual([stop.code, stop.out], [0, "broadcast cli: stopped\n"]);
    assert.deepEqual([await ids(), await rooms()], [[], [1234]]);
    const told = (await broadcast("logs", "cli")).out.split("\n").map((l) => l.split(/ +/)[1]);
    assert.deepEqual(told.filter((t) => t?.startsWith("broadcast_")), ["broadcast_starting", "broadcast_running", "broadcast_stopping", "broadcast_stopped"]);
    assert.equal((await broadcast("restart", "cli")).out, "broadcast cli: running\n");
    assert.deepEqual(await ids(), [9001]);
    assert.equal((await broadcast("stop", "cli")).code, 0);
    assert.equal((await broadcast("forget", "cli")).code, 0);
    assert.equal((await broadcast("show", "cli")).code, 1);
  });

  test("the same events by the feed, a webhook, the log and /metrics", async () => {
    const types = ["broadcast_starting", "broadcast_running", "broadcast_stopping", "broadcast_stopped"];
    const counts = () => Promise.all(types.map((type) => mast.metric(`mast_broadcast_events_total{type="${type}"}`)));
    const [before, at] = [await counts(), mast.log.length];
    assert.equal((await broadcast("start", "frontend", "--id", "told", "--room", "4321", "--mountpoint", "9001")).code, 0);
    assert.equal((await broadcast("stop", "told")).code, 0);
    const webhook = await eventually("the webhook has heard of it", () => {
      const of = hooked.filter((e) => JSON.stringify(e).includes('"told"')).map((e) => e.type);
      return of.includes("broadcast_stopped") && of;
    });
    assert.deepEqual(webhook, types);
    const feed = (await broadcast("logs", "told")).out.split("\n").map((l) => l.split(/ +/)[1]);
    assert.deepEqual(feed.filter((t) => t?.startsWith("broadcast_")), types);
    assert.deepEqual([...mast.log.slice(at).matchAll(/broadcast told: event (broadcast_\w+)/g)].map((m) => m[1]), types);
    assert.deepEqual(await counts(), before.map((n) => (n || 0) + 1));
    assert.equal((await broadcast("forget", "told")).code, 0);
  });

  test("by HTTP: a request with secrets, the list and its pages, health, plan, stop", async () => {
    const request = frontend("web", 5001, 9002, {
      mountpoint_spec: { secret: secrets.mountpoint, pin: secrets.pin },
      request: { room_spec: { room: 5001, secret: secrets.roomSecret, pin: secrets.roomPin }, obs_password: secrets.obs },
    });
    const plan = await api("POST", "/api/v1/broadcasts/plan", request);
    assert.deepEqual([plan.status, plan.json.steps.map((s) => [s.name, s.peer])], [200, [["room", "janus:main"], ["mountpoint", "janus:main"]]]);
    assert.deepEqual(await ids(), []);

    const made = await api("POST", "/api/v1/broadcasts?wait=30s", request);
    assert.equal(made.status, 201, made.text);
    assert.equal(made.headers.get("location"), "/api/v1/broadcasts/web");
    assert.equal(made.json.state, "running");
    assert.equal(made.json.request.mountpoint_spec.secret, "***");
    assert.equal(made.json.join.pin_required, true);
    const port = (await janus.mountpoint(9002, secrets.mountpoint)).media.find((m) => m.mid === "v").port;
    assert.equal(made.json.mountpoint_response.ports.find((p) => p.mid === "v").port, port);
    assert.deepEqual((await api("GET", "/api/v1/broadcasts/web")).json.state, "running");
    assert.equal((await api("GET", "/api/v1/broadcasts/web/health")).json.healthy, true);

    assert.equal((await api("POST", "/api/v1/broadcasts?wait=30s", frontend("web2", 5001, 9003))).json.state, "running");
    const first = (await api("GET", "/api/v1/broadcasts?limit=1&state=running")).json;
    assert.deepEqual([first.items.map((b) => b.broadcast_id), first.next], [["web"], "web"]);
    const second = (await api("GET", "/api/v1/broadcasts?limit=1&state=running&after=web")).json;
    assert.deepEqual([second.items.map((b) => b.broadcast_id), second.next], [["web2"], undefined]);

    const seen = (await api("GET", "/api/v1/janus/main/mountpoints")).json.items;
    assert.deepEqual(seen.map((m) => [m.id, m.broadcast, m.ours]).sort(), [[9002, "web", true], [9003, "web2", true]]);
    assert.deepEqual((await api("GET", "/api/v1/janus/main/rooms/5001")).json.broadcasts.sort(), ["web", "web2"]);
    assert.equal((await api("GET", "/api/v1/janus/main/rooms/77")).status, 404);

    const stopped = await api("DELETE", "/api/v1/broadcasts/web2?wait=30s");
    assert.deepEqual([stopped.status, stopped.json.state], [202, "stopped"]);
    // The room was there before this one: it stays, as the other's.
    assert.deepEqual(stopped.json.kept.map((k) => [k.kind, k.id]), [["room", 5001]]);
    assert.deepEqual([await ids(), await rooms()], [[9002], [1234, 5001]]);
    assert.equal((await api("DELETE", "/api/v1/broadcasts/web2?forget=true")).status, 204);
  });

  test("killed, it is taken up where it is; told to end, it is undone and comes back", async () => {
    const before = await janus.mountpoint(9002, secrets.mountpoint);
    logs += mast.wholeLog;
    await mast.stop("SIGKILL");
    assert.deepEqual(await ids(), [9002]);
    await mast.run();
    listen();
    const back = await becomes("web", "running");
    const port = (info) => info.media.map((m) => m.port);
    assert.deepEqual(port(await janus.mountpoint(9002, secrets.mountpoint)), port(before), "it is the same mountpoint");
    assert.equal(back.request.mountpoint_spec.secret, "***");

    logs += mast.wholeLog;
    assert.equal((await mast.stop()).code, 0);
    assert.deepEqual([await ids(), await rooms()], [[], [1234]]);
    await mast.run();
    listen();
    await becomes("web", "running");
    assert.deepEqual([await ids(), await rooms()], [[9002], [1234, 5001]]);

    // Nor is an ended one brought back.
    assert.deepEqual((await api("POST", "/api/v1/broadcasts/stop-all")).json, { stopping: 1 });
    await becomes("web", "stopped");
    logs += mast.wholeLog;
    await mast.stop();
    await mast.run();
    listen();
    assert.equal((await shown("web")).state, "stopped");
    assert.deepEqual([await ids(), await rooms()], [[], [1234]]);
  });

  test("a start that fails says which step, and leaves nothing", async () => {
    await janus.streaming({ request: "create", type: "rtp", id: 9100, media: [audio] });
    const taken = await broadcast("start", "frontend", "--room", "6001", "--mountpoint", "9100");
    assert.equal(taken.code, 1, taken.out);
    assert.match(taken.err, /^mast: broadcast br_\w+: failed: mountpoint: .*9100/m);
    assert.deepEqual([await ids(), await rooms()], [[9100], [1234]]);
    await janus.streaming({ request: "destroy", id: 9100 });

    const nobody = await broadcast("start", "frontend", "--janus", "gone", "--room", "6001", "--mountpoint", "9101", "--wait", "1");
    assert.equal(nobody.code, 1);
    const left = (await api("GET", "/api/v1/broadcasts?state=starting")).json.items;
    assert.equal(left.length, 1);
    assert.equal((await broadcast("stop", left[0].broadcast_id)).code, 0);
    assert.match((await command(["janus", "ls"])).out, /^gone +(waiting|connecting) .*janus gone: /m);
    assert.equal((await api("GET", "/api/v1/janus/gone/rooms")).json.code, "janus-unreachable");
  });

  test("from a file: YAML, JSON, standard input; both say where a mistake is", async () => {
    const file = join(mast.dir, "request.yml");
    await writeFile(file, `source_kind: frontend_owned\nroom_id: 7001\nvideo_port: 0\nmountpoint_id: 9200\nmountpoint_spec: {pin: ${secrets.pin}}\n`);
    const yaml = await broadcast("plan", "-f", file);
    assert.equal(yaml.code, 0, yaml.err);
    assert.match(yaml.out, /^mountpoint +janus:main +make mountpoint 9200: v h264/m);
    assert.match(yaml.err, /flat fields/);
    await writeFile(file, `source_kind: frontend_owned\nroom_id: 7001\nobs_password: {a: ${secrets.obs}}\n`);
    assert.match((await broadcast("plan", "-f", file)).err, /request.yml:3:\d+.*obs_password/);
    const json = await command(["broadcast", "start", "-f", "-", "--json"], JSON.stringify(frontend("stdin", 7001, 9200)));
    assert.deepEqual([json.code, JSON.parse(json.out).state], [0, "running"]);
    assert.equal((await broadcast("stop", "stdin")).code, 0);
    assert.equal((await broadcast("start")).code, 2);
    assert.equal((await broadcast("start", "videoroom", "-f", file)).code, 2);
    assert.equal((await broadcast("start", "nonsense")).code, 2);
  });

  test("what is refused", async () => {
    const good = frontend("bad", 8001, 9300);
    const body = (more) => ({ ...good, ...more });
    const url = `https://u:${secrets.input}@example.org/x?key=${secrets.input}`;
    const table = [
      ["POST", "", "not json", 400, "invalid-body", undefined],
      ["POST", "", body({ source_kind: "nonsense" }), 400, "invalid-body", "source_kind"],
      ["POST", "", body({ unknown_field: 1 }), 400, "invalid-body", "unknown_field"],
      ["POST", "", body({ janus: "nowhere" }), 400, "invalid-body", "janus"],
      ["POST", "", body({ mountpoint_spec: { media: [{ ...video, port: 70000 }] } }), 400, "invalid-body", "mountpoint_spec.media[0].port"],
      ["POST", "", body({ source_kind: "videoroom" }), 400, "invalid-body", "publisher_id"],
      ["POST", "", body({ input_url: url }), 400, "invalid-body", "input_url"],
      ["POST", "", body({ srs: { rtmp_url: `nonsense://${secrets.input}`, stream_key: secrets.input } }), 400, "invalid-body", "srs.rtmp_url"],
      ["POST", "/plan", body({ source_kind: "videoroom" }), 400, "invalid-body", "publisher_id"],
      ["POST", "?wait=1h", good, 400, "invalid-query", "wait"],
      ["POST", "?wait=soon", good, 400, "invalid-query", "wait"],
      ["POST", "", body({ broadcast_id: "web" }), 409, "exists", "id"],
      ["GET", "?state=nonsense", undefined, 400, "invalid-query", "state"],
      ["GET", "?limit=0", undefined, 400, "invalid-query", "limit"],
      ["GET", "/nobody", undefined, 404, "not-found", "id"],
      ["GET", "/nobody/health", undefined, 404, "not-found", "id"],
      ["DELETE", "/nobody", undefined, 404, "not-found", "id"],
      ["POST", "/nobody/restart", undefined, 404, "not-found", "id"],
      ["POST", "/nobody/settle", undefined, 404, "not-found", "id"],
    ];
    for (const [method, path, content, status, code, field] of table) {
      const r = await api(method, `/api/v1/broadcasts${path}`, content);
      assert.deepEqual([r.status, r.json?.code, r.json?.field], [status, code, field], `${method} ${path} ${JSON.stringify(content)}: ${r.text}`);
    }
    assert.equal((await api("GET", "/api/v1/broadcasts/bad")).status, 404);
    assert.deepEqual([await ids(), await rooms()], [[], [1234]]);
  });

  test("the commands of docs/broadcasts.md", async () => {
    const text = await readFile(new URL("../../docs/broadcasts.md", import.meta.url), "utf8");
    const lines = blocks(text).filter((b) => b.info === "sh").flatMap((b) => b.text.split("\n")).filter((l) => l.startsWith("mast "));
    assert.ok(lines.length >= 7, text);
    assert.equal((await api("POST", "/api/v1/broadcasts?wait=30s", frontend("doc", 8100, 9400))).json.state, "running");
    for (const line of lines) {
      const args = line.replace(/ -f$/, "").replace(/\bID\b/g, "doc").split(" ").slice(1);
      const r = await command(args);
      if (line.includes("start videoroom")) {
        // Nobody publishes here.
        assert.deepEqual([r.code, /publisher 5 does not publish in room 1234/.test(r.err)], [1, true], `${line}: ${r.err}`);
      } else {
        assert.equal(r.code, 0, `${line}: ${r.err}`);
      }
    }
    assert.equal((await shown("doc")).state, "stopped");
  });

  test("no secret was seen again", async () => {
    await eventually("events have come", () => said.includes("broadcast_stopped"));
    for (const [what, word] of Object.entries(secrets)) {
      assert.ok(!said.includes(word), `${what} in an answer, an event or what a command said`);
      assert.ok(!(logs + mast.wholeLog).includes(word), `${what} in the log`);
    }
  });
}
