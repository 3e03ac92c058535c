// SPDX-License-Identifier: Apache-2.0
// Access by keys with the real program: stream keys from ffmpeg, scopes of the API, what a deleted key ends.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createHmac, generateKeyPairSync, sign } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { join, resolve } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";

import { publishFfmpeg } from "./lib/ffmpeg.mjs";
import { eventually, exitOf, Mast, stopChild } from "./lib/mast.mjs";

const ROOT = resolve(import.meta.dirname ?? new URL(".", import.meta.url).pathname, "../..");
const BIN = process.env.MAST_BIN ?? join(ROOT, "build/src/app/mast");
const run = promisify(execFile);

let mast;
const secrets = [];

const key = async (...args) => (await run(BIN, ["key", ...args, "--url", mast.url])).stdout.trim();

async function newKey(...args) {
  const made = await key("create", ...args);
  secrets.push(made);
  return made;
}

// As from another machine: behind a proxy that is not ours, loopback has no rights of its own.
const FAR = { "x-forwarded-for": "192.0.2.1" };

const api = (path, secret, options = {}) =>
  fetch(mast.url + path, { ...options, headers: { ...FAR, ...(secret ? { authorization: `Bearer ${secret}` } : {}) } });

before(async () => {
  mast = await Mast.start();
});

after(async () => {
  await mast?.close();
});

test("a stream key publishes to its path, and its deletion ends the session", async () => {
  const secret = await newKey("--publish", "live/cam1", "--name", "the camera");
  assert.match(secret, /^sk_[A-Za-z0-9]{32}$/);
  const publisher = publishFfmpeg(mast.rtmp(`live/${secret}`));
  try {
    await mast.onAir("live/cam1");
    const streams = await mast.get("/api/v1/streams");
    assert.deepEqual(streams.items.map((s) => s.path), ["live/cam1"], "the key is no path");

    const listed = JSON.parse(await key("ls", "--json"));
    assert.deepEqual(listed.keys.items, []);
    assert.equal(listed.stream_keys.items.length, 1);
    const [k] = listed.stream_keys.items;
    assert.equal(k.path, "live/cam1");
    assert.equal(k.name, "the camera");
    assert.equal(k.hint, secret.slice(0, 8));
    assert.equal(k.key, undefined);

    await key("rm", k.id);
    const exit = await exitOf(publisher);
    assert.notEqual(exit.code, 0, "ffmpeg was cut off");
    const again = publishFfmpeg(mast.rtmp(`live/${secret}`));
    assert.notEqual((await exitOf(again)).code, 0, "the deleted key opens nothing");
  } finally {
    await stopChild(publisher, "SIGKILL");
  }
});

test("scopes: each key does what it says, by every way to present it", async () => {
  const read = await newKey("--scope", "read");
  const watch = await newKey("--scope", "watch", "--path", "live/*");
  const admin = await newKey("--scope", "admin");
  assert.equal((await api("/api/v1/streams")).status, 401);
  assert.equal((await api("/api/v1/streams", read)).status, 200);
  assert.equal((await api("/metrics", read)).status, 200);
  assert.equal((await api("/api/v1/keys", read)).status, 403);
  assert.equal((await api("/api/v1/streams", watch)).status, 403);
  assert.equal((await api("/api/v1/keys", admin)).status, 200);
  assert.equal((await api(`/api/v1/streams?token=${read}`)).status, 200);
  const basic = { ...FAR, authorization: `Basic ${Buffer.from(`who:${read}`).toString("base64")}` };
  assert.equal((await fetch(`${mast.url}/api/v1/streams`, { headers: basic })).status, 200);
  assert.equal((await api("/api/v1/streams", `${read.slice(0, -1)}!`)).status, 403);

  const made = await api("/api/v1/stream-keys", admin, { method: "POST", body: '{"path":"live/x"}' });
  assert.equal(made.status, 201);
  const body = await made.json();
  secrets.push(body.key);
  assert.equal((await api(`/api/v1/keys/${body.id}`, admin, { method: "DELETE" })).status, 404);
  assert.equal((await api(`/api/v1/stream-keys/${body.id}`, read, { method: "DELETE" })).status, 403);
  assert.equal((await api(`/api/v1/stream-keys/${body.id}`, admin, { method: "DELETE" })).status, 204);
  const bad = await api("/api/v1/keys", admin, { method: "POST", body: '{"scopes":["root"]}' });
  assert.equal(bad.status, 400);
  assert.equal((await bad.json()).field, "scopes[0]");
});

test("keys outlive a restart; no secret is in the logs or on the disk", async () => {
  const read = secrets.find((s) => s.startsWith("mk_"));
  const log = mast.wholeLog;
  assert.equal((await mast.stop()).code, 0, mast.log.slice(-2000));
  await mast.run();
  assert.equal((await api("/api/v1/streams", read)).status, 200);
  assert.equal((await run(BIN, ["key", "ls", "--url", mast.url])).stdout.split("\n").filter(Boolean).length, 4);
  const files = await Promise.all((await readdir(mast.dir)).map((f) => readFile(join(mast.dir, f), "latin1").catch(() => "")));
  assert.ok(secrets.length >= 5);
  for (const secret of secrets) {
    assert.ok(!log.includes(secret) && !mast.wholeLog.includes(secret), "a key is in the log");
    assert.ok(!files.some((f) => f.includes(secret)), "a key is on the disk");
  }
});

test("guessing at speed is slowed down and refused; keys that are right are not", async () => {
  await mast.stop();
  mast.config.access = { users: [{ name: "op", password: "operator-1", api: true }] };
  await mast.run();
  const basic = (password) => fetch(`${mast.url}/api/v1/streams`, { headers: { authorization: `Basic ${Buffer.from(`op:${password}`).toString("base64")}` } });
  const read = secrets.find((s) => s.startsWith("mk_"));
  assert.equal((await basic("operator-1")).status, 200);
  let guesses = 0;
  await eventually("attempts are refused unheard", async () => {
    const reply = await basic(`guess-${guesses++}`);
    return reply.status === 429 && reply.headers.get("retry-after");
  }, { every: 1 }); // prettier-ignore
  await eventually("the right password is not heard either", async () => {
    await basic(`guess-${guesses++}`);
    return (await basic("operator-1")).status === 429;
  }, { every: 1 }); // prettier-ignore
  assert.equal((await api("/api/v1/streams", read)).status, 200, "a key cannot be guessed");
  const publisher = publishFfmpeg(mast.rtmp("live/sk_wrong"));
  assert.notEqual((await exitOf(publisher)).code, 0);
  assert.doesNotMatch(mast.wholeLog, /guess-|operator-1/);
});

test("tokens: right ones open what they say until they end, all others nothing", async () => {
  const secret = "a secret of more than thirty-two bytes";
  let rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const part = (v) => Buffer.from(JSON.stringify(v)).toString("base64url");
  const jwt = (header, claims, signer) => {
    const input = `${part(header)}.${part(claims)}`;
    return `${input}.${signer(input).toString("base64url")}`;
  };
  const hs = (input) => createHmac("sha256", secret).update(input).digest();
  const rs = (input) => sign("sha256", Buffer.from(input), rsa.privateKey);
  const now = Math.floor(Date.now() / 1000);
  const may = (...permissions) => ({ exp: now + 600, mast_permissions: permissions });
  let fetches = 0;
  let kid = "one";
  let empty = false;
  const idp = createServer((req, res) => {
    fetches++;
    if (empty) return res.end();
    res.end(JSON.stringify({ keys: [{ ...rsa.publicKey.export({ format: "jwk" }), kid, use: "sig" }] }));
  });
  await new Promise((done) => idp.listen(0, "127.0.0.1", done));
  await mast.stop();
  mast.config.access = { jwt: { secret, jwks_url: `http://127.0.0.1:${idp.address().port}/keys` } };
  await mast.run();
  try {
    const streams = async (token) => (await api("/api/v1/streams", token)).status;
    assert.equal(await streams(jwt({ alg: "HS256" }, may({ action: "api" }), hs)), 200);
    const fetched = jwt({ alg: "RS256", kid: "one" }, may({ action: "api" }), rs);
    await eventually("the key set is fetched", async () => (await streams(fetched)) === 200);
    assert.equal(fetches, 1);
    const publisher = publishFfmpeg(`${mast.rtmp("live/tok")}?token=${jwt({ alg: "HS256" }, may({ action: "publish", path: "live/*" }), hs)}`);
    try {
      await mast.onAir("live/tok");
    } finally {
      await stopChild(publisher, "SIGKILL");
    }
    // From here on the address is slowed down, so the status is 403 or 429; never 200.
    for (const [what, token] of [
      ["expired", jwt({ alg: "HS256" }, { ...may({ action: "api" }), exp: now - 3600 }, hs)],
      ["not yet", jwt({ alg: "HS256" }, { ...may({ action: "api" }), nbf: now + 3600 }, hs)],
      ["without an end", jwt({ alg: "HS256" }, { mast_permissions: [{ action: "api" }] }, hs)],
      ["for something else", jwt({ alg: "HS256" }, may({ action: "publish" }), hs)],
      ["alg none", jwt({ alg: "none" }, may({ action: "api" }), () => Buffer.alloc(0))],
      ["public key as a secret", jwt({ alg: "HS256", kid: "one" }, may({ action: "api" }), (input) => createHmac("sha256", rsa.publicKey.export({ format: "pem", type: "spki" })).update(input).digest())],
      ["unknown kid", jwt({ alg: "RS256", kid: "two" }, may({ action: "api" }), rs)],
    ]) {
      assert.ok([403, 429].includes(await streams(token)), what);
    }
    assert.equal(await streams(fetched), 200, "a right token is not slowed down");

    // Another key: a token signed by it has the set fetched again, not each time.
    rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
    kid = "three";
    const rotated = jwt({ alg: "RS256", kid }, may({ action: "api" }), rs);
    await eventually("the new key is known", async () => (await streams(rotated)) === 200);
    assert.ok(fetches <= 4, `fetched ${fetches} times`);

    // An answer without keys, as of a proxy that is being restarted, is not the end of those that are known.
    empty = true;
    const unknown = jwt({ alg: "RS256", kid: "four" }, may({ action: "api" }), rs);
    await eventually("the empty answer", async () => {
      await streams(unknown);
      return /jwks_url: *an empty answer, keeping the keys/.test(mast.log);
    });
    assert.equal(await streams(rotated), 200);
  } finally {
    idp.close();
    idp.closeAllConnections();
  }
});

test("a program of the operator's is asked, and its answer counts", async () => {
  const asked = [];
  const door = createServer((req, res) => {
    let body = "";
    req.on("data", (d) => (body += d));
    req.on("end", () => {
      const q = JSON.parse(body);
      asked.push(q);
      const may = q.path === "live/free" || (q.user === "studio" && q.password === "callback-pass" && q.path === "live/door");
      res.statusCode = may ? 200 : q.path === "live/shut" ? 403 : 401;
      res.end();
    });
  });
  await new Promise((done) => door.listen(0, "127.0.0.1", done));
  await mast.stop();
  mast.config.access = { http: { url: `http://127.0.0.1:${door.address().port}/auth` } };
  await mast.run();
  try {
    const refused = publishFfmpeg(`${mast.rtmp("live/door")}?user=studio&pass=wrong`);
    assert.notEqual((await exitOf(refused)).code, 0);
    assert.equal(asked.at(-1).password, "wrong");
    const publisher = publishFfmpeg(`${mast.rtmp("live/door")}?user=studio&pass=callback-pass`);
    try {
      await mast.onAir("live/door");
      const q = asked.at(-1);
      assert.match(q.id, /^[0-9a-f-]{36}$/);
      assert.deepEqual({ ...q, id: "" }, {
        user: "studio", password: "callback-pass", token: "", ip: "127.0.0.1", action: "publish", path: "live/door",
        protocol: "rtmp", id: "", query: "user=studio&pass=callback-pass",
      }); // prettier-ignore
      // What is refused on one path says nothing of another, and who shows no credentials does not guess.
      const status = async (path, headers = {}) => (await fetch(`${mast.url}/${path}/index.m3u8`, { headers })).status;
      const studio = { authorization: `Basic ${Buffer.from("studio:callback-pass").toString("base64")}` };
      assert.equal(await status("live/shut", studio), 403);
      assert.equal(await status("live/door", studio), 200);
      for (let msn = 0; msn < 6; msn++) {
        assert.equal((await fetch(`${mast.url}/live/shut/index.m3u8?_HLS_msn=${msn}`)).status, 403);
      }
      assert.ok(![401, 403, 429].includes(await status("live/free")));
    } finally {
      await stopChild(publisher, "SIGKILL");
    }
    const before = asked.length;
    const key = publishFfmpeg(mast.rtmp("live/sk_nobody"));
    assert.notEqual((await exitOf(key)).code, 0);
    assert.equal(asked.length, before, "stream keys are nobody else's business");
  } finally {
    door.close();
    door.closeAllConnections();
  }
  // Nobody answers any more: what was answered a moment ago still counts, another question is refused.
  const kept = publishFfmpeg(`${mast.rtmp("live/door")}?user=studio&pass=callback-pass`);
  try {
    await mast.onAir("live/door");
  } finally {
    await stopChild(kept, "SIGKILL");
  }
  const late = publishFfmpeg(`${mast.rtmp("live/door")}?user=studio&pass=callback-pass&n=2`);
  assert.notEqual((await exitOf(late)).code, 0);
  assert.doesNotMatch(mast.wholeLog, /callback-pass/);
});
