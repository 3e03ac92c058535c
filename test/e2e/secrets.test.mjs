// SPDX-License-Identifier: Apache-2.0
// Every kind of secret goes through the real program, in use, mistyped and in broken requests; then logs (at trace), events, all
// answers of the API, metrics, what commands print, command lines and the environment of children are searched for them
// (issue 3, "What must hold" 4).

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createHmac } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, get } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { makeCertificate } from "./lib/certificate.mjs";
import { childrenOf, publishLoad } from "./lib/crowd.mjs";
import { eventually, Mast, stopChild } from "./lib/mast.mjs";
import { askRtmp, exchange, rawGet, upgrade } from "./lib/raw.mjs";

// The words that must not be seen again, by what they are.
const secrets = {
  "a user's password": "first-Password-of-studio",
  "another's password": "second-Password-of-ann",
  "the API user's password": "third-Password-of-boss",
  "a mistyped password": "fourth-Password-mistyped",
  "the JWT secret": "fifth-secret-that-signs-the-tokens-of-all",
  "the callback's credentials": "sixth-Password-of-callback",
  "a webhook's signing secret": "seventh-secret-of-the-webhook",
  "a webhook's header": "eighth-Token-in-a-header",
  "a webhook's URL": "ninth-Password-in-the-url",
  "a password in a refused configuration": "tenth-7",
};

let dir;
let mast;
let events = "";
let listening;
const texts = {}; // what was said, by where
const children = new Set();

const basic = (user, password) => ({ Authorization: `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}` });
const S = (what) => secrets[what];
let BOSS;

before(async () => {
  dir = await mkdtemp(join(tmpdir(), "mast-secrets-"));
  const files = { certificate: join(dir, "tls.crt"), key: join(dir, "tls.key") };
  makeCertificate(files, "secret");
  secrets["the TLS key"] = readFileSync(files.key, "utf8").split("\n")[1];
  BOSS = basic("boss", S("the API user's password"));
  // Nobody listens there: what fails is logged, with its address.
  const nobody = "127.0.0.1:9";
  mast = await Mast.start({
    env: { MAST_ACCESS_JWT_SECRET: S("the JWT secret") },
    config: {
      watch: false,
      log: { level: "trace" },
      http: { tls: { enabled: true, plain: true, ...files } },
      rtmps: files,
      access: {
        users: [
          { name: "studio", password: S("a user's password"), publish: ["live/*"] },
          { name: "ann", password: S("another's password"), read: ["live/*"] },
          { name: "boss", password: S("the API user's password"), api: true },
        ],
        http: { url: `http://asker:${S("the callback's credentials")}@${nobody}/auth?key=${S("the callback's credentials")}`, timeout: "1s" },
      },
      webhooks: [
        {
          name: "deaf",
          url: `http://hook:${S("a webhook's URL")}@${nobody}/in?token=${S("a webhook's URL")}`,
          secret: S("a webhook's signing secret"),
          headers: { Authorization: `Bearer ${S("a webhook's header")}` },
        },
      ],
    },
  });
  Object.defineProperty(mast, "url", { value: `http://127.0.0.1:${mast.httpPort}` });
});

after(async () => {
  await mast?.close();
  await rm(dir, { recursive: true, force: true });
});

async function api(method, path, body, headers = BOSS) {
  const reply = await fetch(mast.url + path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  const text = await reply.text();
  return { status: reply.status, text, json: /json/.test(reply.headers.get("content-type") ?? "") ? JSON.parse(text) : null, headers: reply.headers };
}

// The answer that shows a secret for the only time.
async function made(what, path, body, field) {
  const reply = await api("POST", path, body);
  assert.equal(reply.status, 201, `${what}: ${reply.text}`);
  secrets[what] = reply.json[field];
  assert.ok(secrets[what]?.length >= 16, what);
  return reply.json;
}

function jwt(claims) {
  const part = (v) => Buffer.from(JSON.stringify(v)).toString("base64url");
  const input = `${part({ alg: "HS256" })}.${part(claims)}`;
  return `${input}.${createHmac("sha256", S("the JWT secret")).update(input).digest("base64url")}`;
}

// Not by fetch(): in Node 18 a body that is read does not hear of its abort.
function listen() {
  return new Promise((done, fail) => {
    const asked = get(`${mast.url}/api/v1/events`, { headers: BOSS }, (reply) => {
      reply.on("data", (part) => (events += part));
      reply.on("error", () => {});
      const stop = () =>
        new Promise((ended) => {
          reply.on("close", ended);
          reply.destroy();
        });
      done(stop);
    });
    asked.on("error", fail);
  });
}

test("secrets of every kind are made and used, rightly and wrongly, on every protocol", async () => {
  const stopListening = await listen();
  listening = stopListening;
  await made("an API key", "/api/v1/keys", { scopes: ["read"], name: "reader" }, "key");
  await made("a watching key", "/api/v1/keys", { scopes: ["watch"], paths: ["live/*"] }, "key");
  const streamKey = await made("a stream key", "/api/v1/stream-keys", { path: "live/keyed" }, "key");
  await made("a webhook's made secret", "/api/v1/webhooks", { url: "https://192.0.2.1/in", events: ["stream.*"] }, "secret");
  const end = Math.floor(Date.now() / 1000) + 600;
  const token = jwt({ exp: end, mast_permissions: [{ action: "read" }, { action: "api" }] });
  secrets["a token"] = token.split(".")[2];
  const login = await api("POST", "/api/v1/session", { user: "boss", password: S("the API user's password") }, {});
  secrets["a session's cookie"] = /=([^;]+)/.exec(login.headers.get("set-cookie"))[1];
  const wrongLogin = await api("POST", "/api/v1/session", { user: "boss", password: S("a mistyped password") }, {});
  assert.ok(wrongLogin.status >= 400);

  // Publishers: a password, a stream key, and both wrong.
  const publishers = [publishLoad(mast.rtmp(`live/open?user=studio&pass=${S("a user's password")}`)), publishLoad(mast.rtmp(`live/${S("a stream key")}`))];
  const onAir = (path) => eventually(`${path} is on air`, async () => (await api("GET", `/api/v1/streams/${path}`)).json?.ready);
  await Promise.all(["live/open", "live/keyed"].map(onAir));
  secrets["a mistyped stream key"] = `${S("a stream key").slice(0, -4)}WXYZ`;
  let from = 1;
  const far = () => ({ from: `127.0.9.${from++}` });
  const [http, rtmp] = [mast.httpPort, mast.rtmpPort];
  const wrong = S("a mistyped password");
  const ask = (credentials) => [
    rawGet(http, `/live/open/index.m3u8?${credentials}`, far()),
    rawGet(http, `/live/open/mse?${credentials}`, { ...far(), headers: upgrade() }),
    rawGet(http, `/live/open?${credentials}`, far()),
    rawGet(http, `/live/nothing/index.m3u8?${credentials}`, far()),
    rawGet(http, `/api/v1/streams?${credentials}`, far()),
    rawGet(http, `/api/v1/nonsense?${credentials}`, far()),
    rawGet(http, `/metrics?${credentials}`, far()),
    rawGet(http, `/live/../../x?${credentials}`, far()),
    rawGet(http, `/live/%zz?${credentials}`, far()),
    rawGet(http, `/live/open/index.m3u8?${credentials}&_HLS_msn=x`, far()),
    askRtmp(rtmp, { name: `open?${credentials}`, play: true, ...far() }),
    askRtmp(rtmp, { app: `live?${credentials}`, name: "open", play: true, ...far() }),
    askRtmp(rtmp, { name: `other?${credentials}`, ...far() }),
    askRtmp(rtmp, { name: `../x?${credentials}`, ...far() }),
    askRtmp(rtmp, { app: `..?${credentials}`, name: "x", ...far() }),
  ]; // prettier-ignore
  const replies = await Promise.all([
    ...[`user=ann&pass=${S("another's password")}`, `user=ann&password=${wrong}`, `token=${S("a watching key")}`, `token=${S("an API key")}`, `jwt=${token}`, `token=${wrong}`].flatMap(ask),
    askRtmp(rtmp, { name: S("a mistyped stream key"), ...far() }),
    askRtmp(rtmp, { app: `live/${S("a stream key")}`, name: "", ...far() }),
    askRtmp(rtmp, { name: S("a stream key"), play: true, ...far() }),
    rawGet(http, `/live/${S("a stream key")}/index.m3u8`, far()),
    rawGet(http, `/live/${S("a stream key")}/mse`, { ...far(), headers: upgrade() }),
    rawGet(http, `/live/${S("a stream key")}`, far()),
    rawGet(http, `/api/v1/streams/live/${S("a stream key")}`, { ...far(), headers: BOSS }),
    rawGet(http, "/api/v1/streams", { ...far(), headers: { Authorization: `Bearer ${S("a mistyped stream key")}` } }),
    rawGet(http, "/api/v1/streams", { ...far(), headers: { Authorization: `Basic ${wrong}` } }),
    rawGet(http, "/api/v1/streams", { ...far(), headers: { Authorization: `Nonsense ${wrong}` } }),
    rawGet(http, "/api/v1/streams", { ...far(), headers: { Cookie: `mast-session=${S("a session's cookie")}` } }),
    rawGet(http, "/api/v1/streams", { ...far(), headers: { ...basic("boss", wrong), Host: "evil.example" } }),
    // Cut off in the middle, and broken around a secret.
    exchange(http, `GET /live/open?pass=${wrong} HTTP/9\r\n\r\n`),
    exchange(http, `GET /x HTTP/1.1\r\nHost: localhost\r\nAuthorization : Bearer ${wrong}\r\n\r\n`),
    exchange(http, `GET /x HTTP/1.1\r\nHost: localhost\r\nCookie: mast-session=${wrong}\x01\r\n\r\n`),
    exchange(http, `${wrong} ${wrong} ${wrong}\r\n\r\n`),
  ]);
  assert.equal(replies[0].status, 200);
  texts["answers to viewers"] = replies.map((r) => `${r.head ?? ""}${r.body ?? ""}${r.text ?? ""}`).join("\n"); // playlists carry on what they were asked with

  // Objects with secrets, changed, broken, and asked for.
  for (const body of [
    { scopes: ["nothing"], name: wrong },
    { url: `ftp://x:${wrong}@y/`, secret: wrong },
    { url: "https://192.0.2.1/x", secret: wrong, headers: { Authorization: 5 } },
    { url: "https://192.0.2.1/x", secret: 5, headers: { "bad header": wrong } },
  ]) {
    for (const path of ["/api/v1/keys", "/api/v1/webhooks", "/api/v1/session"]) {
      const r = await api("POST", path, body);
      texts[`answer of POST ${path}`] = (texts[`answer of POST ${path}`] ?? "") + (r.status === 201 ? "" : r.text.replaceAll(JSON.stringify(wrong), ""));
    }
  }
  for (const p of publishers) {
    await stopChild(p);
  }
  await api("DELETE", `/api/v1/stream-keys/${streamKey.id}`);
});

test("commands and reloads that fail at a secret do not print it", async () => {
  const kept = structuredClone(mast.config);
  const run = (...args) =>
    new Promise((done) => {
      const child = execFile(process.env.MAST_BIN, args, { env: { ...process.env, MAST_ACCESS_JWT_SECRET: "" } }, (e, out, err) => done(out + err));
      children.add(child.pid);
    });
  const broken = [
    (c) => (c.access.users[0].password = S("a password in a refused configuration")),
    (c) => (c.access.jwt = { secret: "sixteen-bytes-no" }),
    (c) => (c.webhooks[0].secret = "eleven-byte"),
    (c) => (c.webhooks[0].secret = [S("a webhook's signing secret")]),
    (c) => (c.access.users = { name: S("a user's password") }),
    (c) => (c.access.http.url = `ftp://asker:${S("the callback's credentials")}@127.0.0.1/`),
    (c) => (c.webhooks[0].url = `ftp://hook:${S("a webhook's URL")}@127.0.0.1/`),
    (c) => (c.webhooks[0].headers = { "no header": S("a webhook's header") }),
  ];
  secrets["a JWT secret that is too short"] = "sixteen-bytes-no";
  secrets["a webhook secret that is too short"] = "eleven-byte";
  for (const [i, change] of broken.entries()) {
    change(mast.config);
    await mast.writeConfig();
    const reply = await api("POST", "/api/v1/reload");
    assert.equal(reply.status, 422, `broken ${i}: ${reply.text}`);
    texts[`answer to broken configuration ${i}`] = reply.text;
    texts[`mast check of ${i}`] = await run("check", mast.configFile);
    mast.config = structuredClone(kept);
  }
  await mast.writeConfig();
  texts["answer to a good reload"] = (await api("POST", "/api/v1/reload")).text;
  texts["mast check"] = await run("check", mast.configFile);
  texts["mast doctor"] = await run("doctor", "--config", mast.configFile);
});

test("the API shows none of them in any answer, nor do events, metrics, the log and /proc", async () => {
  const { paths } = (await api("GET", "/api/openapi.json")).json;
  const ids = {};
  for (const list of ["keys", "stream-keys", "webhooks"]) {
    const { json } = await api("GET", `/api/v1/${list}`);
    ids[list] = json.items?.[0]?.id;
  }
  let asked = 0;
  for (const [path, methods] of Object.entries(paths)) {
    if (!methods.get || /events/.test(path)) {
      continue;
    }
    const list = path.split("/")[3];
    const target = path.replace(/\{path\+?\}/g, "live/open").replace(/\{[^}]+\}/g, ids[list] ?? "x");
    const reply = await api("GET", target);
    texts[`GET ${target}`] = reply.text + JSON.stringify([...reply.headers]);
    asked++;
  }
  assert.ok(asked >= 8, `${asked} routes`);
  texts["GET /metrics"] = (await api("GET", "/metrics")).text;
  await listening();
  assert.match(events, /stream\.published/);
  texts.events = events;
  texts["the log"] = mast.wholeLog;
  // What is said of who asked is there, so the search looked at something.
  assert.match(mast.log, /debug.*127\.0\.9\.\d/);
  assert.match(texts["answers to viewers"], /#EXTM3U/);
  texts["the command line"] = readFileSync(`/proc/${mast.pid}/cmdline`, "latin1");
  for (const pid of childrenOf(mast.pid)) {
    texts[`child ${pid}`] = readFileSync(`/proc/${pid}/cmdline`, "latin1") + readFileSync(`/proc/${pid}/environ`, "latin1");
  }
  texts["names of threads"] = readdirSync(`/proc/${mast.pid}/task`).map((t) => readFileSync(`/proc/${mast.pid}/task/${t}/comm`, "latin1")).join();
  const found = [];
  for (const [where, text] of Object.entries(texts)) {
    for (const [what, secret] of Object.entries(secrets)) {
      // What a viewer presented is in the playlists made for that viewer, so that its player presents it again.
      const presented = where === "answers to viewers" && ["another's password", "a watching key", "a token"].includes(what);
      for (const form of [secret, Buffer.from(secret).toString("base64"), encodeURIComponent(secret)]) {
        if (!presented && secret.length > 5 && text.includes(form)) {
          const at = text.indexOf(form);
          found.push(`${what} in ${where}: ...${text.slice(Math.max(0, at - 100), at + 60)}`);
          break;
        }
      }
    }
  }
  assert.deepEqual(found, []);
});
