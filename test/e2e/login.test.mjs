// SPDX-License-Identifier: Apache-2.0
// Logging in with the real program: the page in a browser, the cookie by hand, requests that other sites' pages send, names that
// somebody points here, a proxy in front, and what a changed user ends.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createServer, request } from "node:http";
import { dirname, resolve } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

import { startBrowser, waitPlaying } from "./lib/browser.mjs";
import { publishFfmpeg } from "./lib/ffmpeg.mjs";
import { eventually, exitOf, Mast, stopChild } from "./lib/mast.mjs";
import { WebSocketClient } from "./lib/ws.mjs";

const BIN = process.env.MAST_BIN ?? resolve(dirname(fileURLToPath(import.meta.url)), "../../build/src/app/mast");
const BOSS = { user: "boss", password: "boss-password-1" };
const EYE = { user: "eye", password: "eyes-password-1" };
const USERS = [
  { name: BOSS.user, password: BOSS.password, api: true, read: "*" },
  { name: EYE.user, password: EYE.password, read: "live/*" },
  { name: "cam", password: "cams-password-1", publish: "live/*" },
];
const PUBLISH = "live/cam?user=cam&pass=cams-password-1";

let mast;
let publisher;

// Any header goes, Host too: {status, headers, text, json}.
function ask(method, path, { headers = {}, body, port = mast.httpPort } = {}) {
  return new Promise((done, fail) => {
    const text = body && JSON.stringify(body);
    const asked = request({ host: "127.0.0.1", port, method, path, agent: false, headers: { ...(text ? { "content-length": Buffer.byteLength(text) } : {}), ...headers } }, (r) => {
      let got = "";
      r.on("data", (d) => (got += d));
      r.on("end", () => done({ status: r.statusCode, headers: r.headers, text: got, json: got.startsWith("{") ? JSON.parse(got) : null }));
    });
    asked.on("error", fail).end(text);
  });
}

async function logIn(who, options = {}) {
  const reply = await ask("POST", "/api/v1/session", { ...options, body: who });
  assert.equal(reply.status, 200, reply.text);
  return reply.headers["set-cookie"][0].split(";")[0];
}

const status = async (...args) => (await ask(...args)).status;

before(async () => {
  mast = await Mast.start({ config: { access: { users: USERS } } });
  publisher = publishFfmpeg(mast.rtmp(PUBLISH));
  const cookie = await logIn(BOSS);
  await eventually("the stream is on air", async () => (await ask("GET", "/api/v1/streams/live/cam", { headers: { cookie } })).json?.ready);
});

after(async () => {
  await stopChild(publisher, "SIGKILL");
  await mast?.close();
});

test("a cookie is given for the right words only, and does what its user may", async () => {
  assert.equal(await status("GET", "/api/v1/streams"), 401);
  const none = await ask("GET", "/api/v1/session");
  assert.equal(none.json.by, "nobody");
  const wrong = await ask("POST", "/api/v1/session", { body: { ...BOSS, password: "not-the-password" } });
  assert.equal(wrong.status, 401);
  assert.equal(wrong.headers["set-cookie"], undefined);
  assert.doesNotMatch(wrong.headers["www-authenticate"], /Basic/, "the browser must not ask");
  assert.equal(await status("POST", "/api/v1/session", { body: { user: "boss" } }), 400);

  const reply = await ask("POST", "/api/v1/session", { body: BOSS });
  assert.equal(reply.json.by, "cookie");
  assert.deepEqual(reply.json.scopes, ["watch", "read", "admin"]);
  const [line] = reply.headers["set-cookie"];
  assert.match(line, /^mast-session=[A-Za-z0-9_-]{43}; Path=\/; Max-Age=\d+; HttpOnly; SameSite=Strict$/);
  const cookie = line.split(";")[0];
  assert.equal(await status("GET", "/api/v1/streams", { headers: { cookie } }), 200);
  assert.equal(await status("GET", "/live/cam/index.m3u8", { headers: { cookie } }), 200);
  assert.equal(await status("GET", "/live/cam/index.m3u8"), 401);

  const eye = await logIn(EYE);
  assert.equal(await status("GET", "/api/v1/streams", { headers: { cookie: eye } }), 403, "logged in, but not allowed");
  assert.equal(await status("GET", "/live/cam/index.m3u8", { headers: { cookie: eye } }), 200);
  assert.equal(await status("GET", "/other/cam/index.m3u8", { headers: { cookie: eye } }), 403);
  assert.doesNotMatch(mast.wholeLog, new RegExp(`${cookie.slice(13)}|${eye.slice(13)}|password-1`), "no secret in the log");
});

test("logging out ends what plays by the cookie", async () => {
  const cookie = await logIn(EYE);
  const ws = await WebSocketClient.connect(`${mast.url}/live/cam/mse`, { headers: { cookie } });
  await new Promise((done) => ws.once("binary", done));
  const closed = new Promise((done) => ws.once("close", done));
  assert.equal(await status("DELETE", "/api/v1/session", { headers: { cookie } }), 204);
  await closed;
  await assert.rejects(WebSocketClient.connect(`${mast.url}/live/cam/mse`, { headers: { cookie } }), /401/);
  assert.equal((await ask("GET", "/api/v1/session", { headers: { cookie } })).json.by, "nobody");
});

// The event feed of who shows these headers: {first, ended}, promises.
function listen(headers) {
  let [began, ended] = [];
  const first = new Promise((done) => (began = done));
  const end = new Promise((done) => (ended = done));
  request({ host: "127.0.0.1", port: mast.httpPort, path: "/api/v1/events", agent: false, headers }, (r) => {
    assert.equal(r.statusCode, 200);
    r.once("data", began).on("end", ended);
  }).end();
  return { first, end };
}

test("the event feed ends with the login, key or user that opened it", async () => {
  const admin = { cookie: await logIn(BOSS) };
  const cookie = await logIn(BOSS);
  const made = (await ask("POST", "/api/v1/keys", { headers: admin, body: { scopes: ["read"] } })).json;
  const user = { name: "watcher", password: "watcher-password", api: true };
  assert.equal(await status("POST", "/api/v1/users", { headers: admin, body: user }), 201);
  const feeds = {
    admin: listen(admin),
    cookie: listen({ cookie }),
    key: listen({ authorization: `Bearer ${made.key}` }),
    user: listen({ authorization: `Basic ${Buffer.from(`${user.name}:${user.password}`).toString("base64")}` }),
  };
  await Promise.all(Object.values(feeds).map((f) => f.first));
  let adminEnded = false;
  feeds.admin.end.then(() => (adminEnded = true));
  assert.equal(await status("DELETE", "/api/v1/session", { headers: { cookie } }), 204);
  await feeds.cookie.end;
  assert.equal(await status("DELETE", `/api/v1/keys/${made.id}`, { headers: admin }), 204);
  await feeds.key.end;
  assert.equal(await status("DELETE", `/api/v1/users/${user.name}`, { headers: admin }), 204);
  await feeds.user.end;
  assert.equal(adminEnded, false, "others listen on");
  assert.equal(await status("DELETE", "/api/v1/session", { headers: admin }), 204);
  await feeds.admin.end;
});

test("other sites' pages and other names get nothing by a cookie", async () => {
  const cookie = await logIn(BOSS);
  const as = (headers) => ({ headers: { cookie, ...headers } });
  const evil = { origin: "http://evil.example" };
  assert.equal(await status("DELETE", "/api/v1/session", as(evil)), 403);
  assert.equal(await status("DELETE", "/api/v1/session", as({ origin: "null" })), 403);
  assert.equal(await status("DELETE", "/api/v1/session", as({ "sec-fetch-site": "cross-site" })), 403);
  assert.equal(await status("DELETE", "/api/v1/session", as({ "sec-fetch-site": "same-site" })), 403, "another port is another site");
  assert.equal(await status("POST", "/api/v1/keys", { ...as({ "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate" }), body: {} }), 403);
  assert.equal(await status("GET", "/api/v1/streams", as({ "sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors" })), 403);
  assert.equal(await status("GET", "/live/cam/index.m3u8", as(evil)), 401, "for media the cookie of a foreign page is nobody's");
  await assert.rejects(WebSocketClient.connect(`${mast.url}/live/cam/mse`, as(evil)), /403/);
  for (const host of ["evil.example", `evil.example:${mast.httpPort}`, "127.0.0.1.evil.example"]) {
    assert.equal(await status("GET", "/api/v1/streams", as({ host })), 421, host);
    assert.equal(await status("POST", "/api/v1/session", { headers: { host }, body: BOSS }), 421, host);
  }
  const own = { origin: mast.url, "sec-fetch-site": "same-origin" };
  assert.equal(await status("GET", "/api/v1/streams", as(own)), 200);
  assert.equal(await status("DELETE", "/api/v1/session", as(own)), 204);
});

test("the page asks, lists, plays, and forgets", async () => {
  const browser = await startBrowser();
  try {
    const page = await browser.newPage();
    await page.goto(mast.url);
    await page.locator(".login").waitFor();
    // What lies under it is not reached by the keyboard, and it does not go.
    for (let i = 0; i < 8; i++) {
      await page.keyboard.press("Tab");
      assert.ok(await page.evaluate(() => document.activeElement === document.body || document.activeElement.closest(".login") !== null));
    }
    await page.keyboard.press("Escape");
    await page.keyboard.press("Escape");
    await page.waitForFunction(() => document.querySelector(".login").matches(":modal"));
    await page.locator(".login input[name=user]").fill(EYE.user);
    await page.locator(".login input[name=password]").fill("wrong-password");
    await page.locator(".login button[type=submit]").click();
    await page.locator(".login .error", { hasText: "wrong" }).waitFor();
    await page.locator(".login input[name=user]").fill(BOSS.user);
    await page.locator(".login input[name=password]").fill(BOSS.password);
    await page.locator(".login button[type=submit]").click();
    await page.locator('a[href="/live/cam"]').first().waitFor();
    assert.equal(await page.locator(".login").count(), 0);
    assert.equal(await page.evaluate(() => document.cookie), "", "no script reads it");

    const player = await browser.newPage();
    await player.goto(`${mast.url}/live/cam`);
    await waitPlaying(player);
    await page.locator(".logout").click();
    await page.locator(".login").waitFor();
    // The player loses its connection, asks why, and shows the login as well.
    await player.locator(".login").waitFor();

    await player.getByRole("button", { name: /API key/ }).click();
    await player.locator(".login input[name=key]").fill("mk_nothing-that-opens-anything-here");
    await player.locator(".login button[type=submit]").click();
    await player.locator(".login .error", { hasText: "wrong" }).waitFor();
  } finally {
    await browser.close();
  }
});

// `mast user ...` with a password on its standard input: {code, out, err}.
function userCommand(args, password = "") {
  const child = spawn(BIN, ["user", ...args], { env: { ...process.env, MAST_URL: `http://${BOSS.user}:${BOSS.password}@127.0.0.1:${mast.httpPort}` } });
  let [out, err] = ["", ""];
  child.stdout.on("data", (d) => (out += d));
  child.stderr.on("data", (d) => (err += d));
  child.stdin.on("error", () => {}); // those that ask for no password may have ended
  child.stdin.end(`${password}\n`);
  return new Promise((done) => child.on("close", (code) => done({ code, out, err })));
}

test("users by the command: made, used, changed, deleted; the file's are not its business", async () => {
  const guest = { user: "guest", password: "guests-password-1" };
  assert.equal((await userCommand(["add", "guest", "--read", "live/*"], guest.password)).code, 0);
  const cookie = await logIn(guest);
  assert.equal(await status("GET", "/live/cam/index.m3u8", { headers: { cookie } }), 200);
  assert.match((await userCommand(["ls"])).out, /guest +api +watch live\/\*/);
  assert.equal((await userCommand(["passwd", "guest"], "another-password-1")).code, 0);
  assert.equal(await status("GET", "/live/cam/index.m3u8", { headers: { cookie } }), 401);
  const managed = await userCommand(["passwd", "eye"], "another-password-1");
  assert.equal(managed.code, 1);
  assert.match(managed.err, /configuration file.*409/);
  assert.equal((await userCommand(["rm", "guest"])).code, 0);
  assert.doesNotMatch((await userCommand(["ls"])).out, /guest/);

  // A hash in the file opens as the password did.
  const { out } = await userCommand(["hash"], "hashed-password-1");
  assert.match(out, /^scrypt:14:8:1:[A-Za-z0-9_-]{22}:[A-Za-z0-9_-]{43}\n$/);
  mast.config.access.users = [...USERS, { name: "hashed", password: out.trim(), read: "*" }];
  await mast.writeConfig();
  await eventually("the file is read", async () => (await ask("POST", "/api/v1/session", { body: { user: "hashed", password: "hashed-password-1" } })).status === 200);
  assert.doesNotMatch(mast.wholeLog, /password-1|scrypt:/);
});

// As nginx does it: appends who asked, and says how. `said` is what the client claims of itself.
async function startProxy(client, proto) {
  const server = createServer((req, res) => {
    const said = req.headers["x-forwarded-for"];
    const headers = { ...req.headers, "x-forwarded-for": said ? `${said}, ${client()}` : client(), "x-forwarded-proto": proto };
    const asked = request({ host: "127.0.0.1", port: mast.httpPort, method: req.method, path: req.url, headers }, (r) => {
      res.writeHead(r.statusCode, r.headers);
      r.pipe(res);
    });
    req.pipe(asked);
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  return server;
}

test("behind a trusted proxy each client is itself; others' words about it are not believed", async () => {
  let client = "203.0.113.1";
  const proxy = await startProxy(() => client, "https");
  const { port } = proxy.address();
  try {
    // Not trusted yet: the proxy is the client, and the cookie that of plain HTTP.
    assert.match(await logIn(BOSS, { port }), /^mast-session=/);
    mast.config.http.trusted_proxies = ["127.0.0.1"];
    await mast.writeConfig();
    const line = await eventually("the proxy is trusted", async () => {
      const reply = await ask("POST", "/api/v1/session", { port, body: BOSS });
      return reply.headers["set-cookie"]?.[0].startsWith("__Host-") && reply.headers["set-cookie"][0];
    });
    assert.match(line, /^__Host-mast-session=[^;]+; Path=\/; .*; Secure$/);
    const cookie = line.split(";")[0];
    assert.equal(await status("GET", "/api/v1/streams", { port, headers: { cookie } }), 200);

    // One client guesses until it is told to wait; another one behind the same proxy is not.
    const guess = (password) => ask("POST", "/api/v1/session", { port, body: { user: "boss", password } });
    client = "203.0.113.2";
    let last;
    for (let i = 0; i < 12 && last !== 429; i++) {
      last = (await guess(`wrong-password-${i}`)).status;
    }
    assert.equal(last, 429);
    client = "203.0.113.3";
    assert.equal((await guess("another-wrong-one")).status, 401);
    // Who claims to be that other one is still itself.
    client = "203.0.113.2";
    const lie = { port, headers: { "x-forwarded-for": "203.0.113.3" }, body: { user: "boss", password: "wrong-again" } };
    assert.equal(await status("POST", "/api/v1/session", lie), 429);
  } finally {
    proxy.closeAllConnections?.();
    proxy.close();
  }
});

test("logins outlive an upgrade and a restart, and end with a user who was removed meanwhile", async () => {
  const own = await Mast.start({ config: { watch: false, access: { users: USERS } } });
  const port = own.httpPort;
  const by = async (cookie) => (await ask("GET", "/api/v1/session", { port, headers: { cookie } })).json.by;
  const startedAt = async (cookie) => (await ask("GET", "/api/v1/version", { port, headers: { cookie } })).json.started;
  let feed;
  let over = false;
  const feeding = (async () => {
    while (!over) {
      feed = publishFfmpeg(own.rtmp(PUBLISH), { size: "320x180" });
      await exitOf(feed);
    }
  })();
  const browser = await startBrowser();
  try {
    const boss = await logIn(BOSS, { port });
    const gone = await logIn(BOSS, { port });
    const eye = await logIn(EYE, { port });
    assert.equal(await status("DELETE", "/api/v1/session", { port, headers: { cookie: gone } }), 204);
    await eventually("on air", async () => (await ask("GET", "/api/v1/streams/live/cam", { port, headers: { cookie: boss } })).json?.ready);
    const page = await browser.newPage();
    await page.goto(`${own.url}/live/cam`);
    await page.locator(".login input[name=user]").fill(EYE.user);
    await page.locator(".login input[name=password]").fill(EYE.password);
    await page.locator(".login button[type=submit]").click();
    await waitPlaying(page);

    const before = await startedAt(boss);
    own.child.kill("SIGUSR2");
    await eventually("the other program answers by the same cookie", async () => ![undefined, before].includes(await startedAt(boss)));
    assert.equal(await by(eye), "cookie");
    assert.equal(await by(gone), "nobody", "who logged out stays so");
    await eventually("the player is back by itself", () => page.evaluate(() => window.mast?.connections > 1));
    await waitPlaying(page);
    assert.equal(await page.locator(".login").count(), 0);

    assert.equal((await own.stop()).code, 0);
    own.config.access.users = USERS.filter((u) => u.name !== EYE.user);
    await own.run();
    assert.equal(await by(boss), "cookie");
    assert.equal(await by(eye), "nobody");
    await page.locator(".login").waitFor();
    assert.doesNotMatch(own.wholeLog, new RegExp(`${boss.slice(13)}|${eye.slice(13)}`), "no secret in the log");
  } finally {
    over = true;
    await browser.close();
    await stopChild(feed, "SIGKILL");
    await feeding;
    await own.close();
  }
});

test("a user who gets another password loses cookie, viewers and publishers", async () => {
  const eye = await logIn(EYE);
  const boss = await logIn(BOSS);
  const ws = await WebSocketClient.connect(`${mast.url}/live/cam/mse`, { headers: { cookie: eye } });
  const direct = await WebSocketClient.connect(`${mast.url}/live/cam/mse?user=${EYE.user}&pass=${EYE.password}`);
  const closed = Promise.all([ws, direct].map((w) => new Promise((done) => w.once("close", done))));
  mast.config.access.users = USERS.map((u) => (u.name === "eye" ? { ...u, password: "a-new-password" } : u.name === "cam" ? { ...u, publish: "other/*" } : u));
  await mast.writeConfig();
  await closed;
  await exitOf(publisher);
  assert.equal((await ask("GET", "/api/v1/session", { headers: { cookie: eye } })).json.by, "nobody");
  assert.equal(await status("GET", "/api/v1/streams", { headers: { cookie: boss } }), 200, "nothing was changed for the boss");
});
