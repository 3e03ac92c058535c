// SPDX-License-Identifier: Apache-2.0
// Attacks on a server that people watch (issue 3, "What must hold" 4): each is refused with the status that says why, leaves a
// line in the log that no flood can multiply, and neither the audience nor the memory notices. hostile.test.mjs has the broken
// bytes; this has those that are well formed.

import assert from "node:assert/strict";
import { createHmac, createPublicKey, generateKeyPairSync, sign } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { cost, Crowd, publishLoad } from "./lib/crowd.mjs";
import { eventually, Mast, stopChild, TEST_MS } from "./lib/mast.mjs";
import { answers, askRtmp, exchange, frame, rawGet, upgrade } from "./lib/raw.mjs";

const MEMORY_MAX_KIB = 64 << 10; // by which the server may grow over everything that happens here
const STUDIO = "user=studio&pass=publishing-1";
const basic = (user, password) => ({ Authorization: `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}` });
const BOSS = basic("boss", "the-boss-himself");

const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
const pem = rsa.publicKey.export({ format: "pem", type: "spki" });

let dir;
let mast;
let publisher;
let crowd;
let memory;
let loris; // what takes its time and is judged at the end
let patient;

before(async () => {
  dir = await mkdtemp(join(tmpdir(), "mast-attack-"));
  await writeFile(join(dir, "tokens.pem"), pem);
  mast = await Mast.start({
    config: {
      watch: false,
      log: { level: "info" },
      access: {
        users: [
          { name: "any", read: ["live/watched"] },
          { name: "studio", password: "publishing-1", publish: ["live/*"] },
          { name: "ann", password: "the-first-viewer", read: ["private/*"] },
          { name: "boss", password: "the-boss-himself", api: true },
        ],
        jwt: { key_file: join(dir, "tokens.pem"), issuer: "https://id.example.org", audience: "mast" },
      },
    },
  });
  publisher = publishLoad(mast.rtmp(`live/watched?${STUDIO}`), { report: 1 });
  await eventually("the stream is on air", async () => JSON.parse((await rawGet(mast.httpPort, "/api/v1/streams/live/watched", { headers: BOSS })).body).ready);
  const at = `127.0.0.1:${mast.httpPort}/live/watched`;
  crowd = new Crowd([["rtmp", 4, 0, mast.rtmp("live/watched")], ["ws", 4, 0, `ws://${at}/mse`], ["hls", 2, 0, `hls://${at}`], ["llhls", 2, 0, `llhls://${at}`]], { every: 0.3 });
  await eventually("everybody plays", () => crowd.playing() && crowd.reports > 1);
  memory = cost(mast.pid).rss;
  loris = startLoris();
});

after(async () => {
  await crowd?.stop();
  await stopChild(publisher);
  await mast?.close();
  await rm(dir, { recursive: true, force: true });
});

const metric = async (name) => Number(new RegExp(`^${name} (\\S+)$`, "m").exec((await rawGet(mast.httpPort, "/metrics", { headers: BOSS })).body)?.[1]);

// What must be true after each attack: those who watch get frame after frame on the connections they have had from the start.
async function undisturbed() {
  const from = crowd.reports;
  const frames = { rtmp: crowd.total.rtmp.frames, ws: crowd.total.ws.frames, llhls: crowd.total.llhls.frames };
  await eventually("everybody plays on", () => crowd.reports > from + 1 && crowd.playing() && Object.entries(frames).every(([label, n]) => crowd.total[label].frames > n));
  assert.equal(crowd.troubles(), "");
  const { rss } = cost(mast.pid);
  assert.ok(process.env.MAST_ASAN === "1" || rss < memory + MEMORY_MAX_KIB, `${rss} KiB, ${memory} before`);
  const streams = JSON.parse((await rawGet(mast.httpPort, "/api/v1/streams", { headers: BOSS })).body).items;
  assert.deepEqual(streams.map((s) => s.path), ["live/watched"]);
}

// Addresses that nobody has used: each attack has a clean record.
let addresses = 0;
const address = () => `127.0.${2 + ((addresses / 250) | 0)}.${1 + (addresses++ % 250)}`;

// ---- guessing ----

test("wrong keys at speed are not even heard, whatever they are said to; others are let in meanwhile", async () => {
  const GUESSES = 60;
  const [http, rtmp] = [mast.httpPort, mast.rtmpPort];
  const heardHttp = (r) => r.status === 401 || r.status === 403;
  const doors = {
    "HTTP Basic": (i, from) => rawGet(http, "/api/v1/streams", { from, headers: basic("boss", `guess-${i}-basic`) }).then(heardHttp),
    "a query": (i, from) => rawGet(http, `/private/x/index.m3u8?user=ann&pass=guess-${i}-query`, { from }).then(heardHttp),
    "a token": (i, from) => rawGet(http, "/metrics", { from, headers: { Authorization: `Bearer guess-${i}.token.x` } }).then(heardHttp),
    "a WebSocket": (i, from) => rawGet(http, `/private/x/mse?user=ann&pass=guess-${i}-ws`, { from, headers: upgrade() }).then(heardHttp),
    "RTMP publish": (i, from) => askRtmp(rtmp, { name: `x?user=studio&pass=guess-${i}-rtmp`, from }).then((r) => !/too many/.test(r.text)),
    "RTMP play": (i, from) => askRtmp(rtmp, { app: "private", name: `x?user=ann&pass=guess-${i}-play`, play: true, from }).then((r) => !/too many/.test(r.text)),
  };
  const before = mast.log.length;
  const judged = Object.fromEntries(
    Object.entries(doors).map(([name, door]) => [name, judge(name, door)]),
  );
  async function judge(name, door) {
    const from = address();
    let heard = 0;
    const all = Promise.all(Array.from({ length: GUESSES }, (_, i) => door(i, from).then((h) => (heard += h ? 1 : 0))));
    const good = rawGet(http, "/api/v1/streams", { from: address(), headers: BOSS });
    assert.equal((await good).status, 200, name);
    await all;
    // Three are free, and a few had the patience to wait.
    assert.ok(heard >= 1 && heard <= 12, `${name}: ${heard} of ${GUESSES} were heard`);
    await eventually(`${name}: the log names ${from}`, () => mast.log.slice(before).includes(`access: ${from}: refused over `));
  }
  await Promise.all([judged["HTTP Basic"], judged["a token"]]);
  // Those who ask for media are kept waiting for seconds: meanwhile there is other work.
  patient = Promise.all(Object.values(judged));
  patient.catch(() => {});
  await undisturbed();
});

// ---- tokens ----

test("JWT: what is signed by nobody, by something else, for somebody else, or too early or late opens nothing", async () => {
  const part = (v) => Buffer.from(typeof v === "string" ? v : JSON.stringify(v)).toString("base64url");
  const now = Math.floor(Date.now() / 1000);
  const good = { iss: "https://id.example.org", aud: "mast", exp: now + 600, mast_permissions: [{ action: "api" }, { action: "publish" }, { action: "read" }] };
  const make = (header, claims, signer) => {
    const input = `${part(header)}.${part(claims)}`;
    return `${input}.${signer(input).toString("base64url")}`;
  };
  const rs = (input) => sign("sha256", Buffer.from(input), rsa.privateKey);
  const other = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const ec = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const hmac = (secret) => (input) => createHmac("sha256", secret).update(input).digest();
  const RS = { alg: "RS256", typ: "JWT" };
  const right = make(RS, good, rs);
  const der = createPublicKey(pem).export({ format: "der", type: "spki" });
  const jwk = rsa.publicKey.export({ format: "jwk" });
  const table = {
    "alg none": make({ alg: "none" }, good, () => Buffer.alloc(0)),
    "alg nOnE": make({ alg: "nOnE" }, good, () => Buffer.alloc(0)),
    "alg none with a signature": make({ alg: "none" }, good, rs),
    "no alg": make({ typ: "JWT" }, good, rs),
    "alg is a list": make({ alg: ["RS256"] }, good, rs),
    "HS256 with the public key, PEM": make({ alg: "HS256" }, good, hmac(pem)),
    "HS256 with the public key, DER": make({ alg: "HS256" }, good, hmac(der)),
    "HS256 with the modulus": make({ alg: "HS256" }, good, hmac(Buffer.from(jwk.n, "base64url"))),
    "HS256 with nothing": make({ alg: "HS256" }, good, hmac("")),
    "RS512 said, RS256 done": make({ alg: "RS512" }, good, rs),
    "ES256 by a key of its own": make({ alg: "ES256" }, good, (i) => sign("sha256", Buffer.from(i), { key: ec.privateKey, dsaEncoding: "ieee-p1363" })),
    "another RSA key": make(RS, good, (i) => sign("sha256", Buffer.from(i), other.privateKey)),
    "its own key in the header": make({ ...RS, jwk: other.publicKey.export({ format: "jwk" }) }, good, (i) => sign("sha256", Buffer.from(i), other.privateKey)),
    "a key to be fetched": make({ ...RS, jku: `http://127.0.0.1:${mast.httpPort}/x`, x5u: "file:///etc/passwd" }, good, (i) => sign("sha256", Buffer.from(i), other.privateKey)),
    "a kid that is a path": make({ alg: "HS256", kid: "../../../../dev/null" }, good, hmac("")),
    "critical extensions": make({ ...RS, crit: ["exp2"], exp2: 1 }, good, rs),
    "b64 false": make({ ...RS, b64: false, crit: ["b64"] }, good, rs),
    "expired": make(RS, { ...good, exp: now - 3600 }, rs),
    "without an end": make(RS, { ...good, exp: undefined }, rs),
    "an end that is text": make(RS, { ...good, exp: String(now + 600) }, rs),
    "an end before time": make(RS, { ...good, exp: -1 }, rs),
    "from the future": make(RS, { ...good, nbf: now + 3600 }, rs),
    "of another issuer": make(RS, { ...good, iss: "https://id.example.org.evil.example" }, rs),
    "for another audience": make(RS, { ...good, aud: ["janus", "mast2"] }, rs),
    "for nobody": make(RS, { ...good, aud: undefined }, rs),
    "without permissions": make(RS, { ...good, mast_permissions: undefined }, rs),
    "permissions that are text": make(RS, { ...good, mast_permissions: "api" }, rs),
    "no signature": right.slice(0, right.lastIndexOf(".") + 1),
    "two parts": right.slice(0, right.lastIndexOf(".")),
    "four parts": `${right}.x`,
    "padded": `${right}==`,
    "another claim, the old signature": [part(RS), part({ ...good, sub: "boss" }), right.split(".")[2]].join("."),
    "nested": make({ ...RS, cty: "JWT" }, right, rs),
    "deeply nested claims": make(RS, `{"x":${"[".repeat(3000)}${"]".repeat(3000)}`, rs),
    "said twice": make(RS, `{"exp":1,${JSON.stringify(good).slice(1, -1)},"exp":1}`, rs),
  }; // prettier-ignore
  const bearer = (token) => ({ headers: { Authorization: `Bearer ${token}` } });
  assert.equal((await rawGet(mast.httpPort, "/api/v1/streams", { from: address(), ...bearer(right) })).status, 200, "the right one opens");
  const before = mast.log.length;
  await Promise.all(
    Object.entries(table).map(async ([what, token]) => {
      const from = address();
      const api = await rawGet(mast.httpPort, "/api/v1/streams", { from, ...bearer(token) });
      assert.ok([400, 401, 403].includes(api.status), `${what}: ${api.status} from the API`);
      const play = await rawGet(mast.httpPort, `/private/x/index.m3u8?jwt=${token.length < 4000 ? token : ""}`, { from });
      assert.ok([400, 401, 403].includes(play.status), `${what}: ${play.status} from HLS`);
      const published = await askRtmp(mast.rtmpPort, { name: `jwt?jwt=${token}`, from });
      assert.notEqual(published.code, "NetStream.Publish.Start", what);
    }),
  );
  const huge = make(RS, { ...good, x: "a".repeat(100000) }, rs);
  assert.equal((await rawGet(mast.httpPort, "/api/v1/streams", bearer(huge))).status, 431);
  assert.equal((await rawGet(mast.httpPort, `/live/watched/index.m3u8?jwt=${huge}`)).status, 414);
  assert.notEqual((await askRtmp(mast.rtmpPort, { name: `jwt?jwt=${huge}` })).code, "NetStream.Publish.Start");
  assert.ok(!mast.log.slice(before).includes(right.split(".")[2]), "no signature is in the log");
  await undisturbed();
});

// ---- paths ----

test("paths: tricks reach no file, no stream and no route; over HTTP, WebSocket and RTMP", async () => {
  const long = "a".repeat(300);
  const tricks = [
    "..", "../..", "../../../../../../etc/passwd", "live/../../mast.yml", "%2e%2e", "%2e%2e/%2e%2e/etc/passwd", "live/%2e%2e/%2e%2e/mast.yml",
    "..%2f..%2fetc%2fpasswd", "live%2fwatched", "live%5cwatched", "..\\..\\etc\\passwd", "..%5c..%5cetc%5cpasswd", "%252e%252e%252fetc%252fpasswd",
    "live/%00", "live/watched%00.html", "live/x%0d%0aX: y", "live/%c0%ae%c0%ae/x", "%c0%af", "%e0%80%af", "%f0%80%80%af", "live/%ff", "%", "%2", "%zz", "live/%u002e",
    ".", "./live", ".git/config", "live/.hidden", "live/~hls", "~hls", "live/x~opus", "live//watched", "/etc/passwd", "live/watched/../../mast.yml",
    "api", "api/x", "metrics", "healthz/x", "assets", ".well-known/x", "live/publish", "live/mse", "live/whip", "live/index.m3u8", "voice/x", "trpc/x",
    "a/b/c/d/e/f/g/h/i", `live/${long}`, "live/ä", "live/%f0%9f%98%80", "live/a b", "live/a%20b", "live/$(id)", "live/;id", "live/*", "live/a?b", "live/a#b", "C:/windows",
  ]; // prettier-ignore
  const http = mast.httpPort;
  const before = mast.log.length;
  await Promise.all(
    tricks.map(async (trick) => {
      const targets = [`/${trick}`, `/${trick}/index.m3u8`, `/live/${trick}`, `/live/watched/~hls/${trick}`, `/assets/${trick}`, `/api/v1/streams/${trick}`];
      for (const target of targets) {
        const r = await rawGet(http, target, { headers: BOSS });
        assert.ok((r.status >= 200 && r.status < 500) || r.status === 503, `${target}: ${r.status}`);
        assert.doesNotMatch(r.body, /root:.*:0:0|state_dir|the-boss-himself|BEGIN .*KEY/, target);
        // What is answered is the page (a path that could be a stream), or the stream that is asked for in another way of writing.
        if (r.status === 200 && !/^<!doctype html>/i.test(r.body)) {
          assert.match(decodeURI(target).replace(/^\/live\/\.\//, "/"), /\/(live\/watched|metrics|healthz|readyz)/, `${target}: ${r.body.slice(0, 100)}`);
        }
      }
      const ws = trick.includes("?") ? { status: 404 } : await rawGet(http, `/${trick}/mse`, { headers: { ...BOSS, ...upgrade() } });
      assert.ok([101, 400, 401, 403, 404].includes(ws.status), `${trick}/mse: ${ws.status}`);
      if (ws.status === 101) {
        assert.match(trick, /^[\w.~/-]+$/, `${trick}: a WebSocket`);
      }
      // RTMP has no encodings: the bytes are the name. Nothing but the rules of paths stands between it and a stream.
      for (const name of [trick, decodeURIComponent(trick.replace(/%(?![0-9a-f]{2})|%[89a-f][0-9a-f]/gi, "_"))]) {
        for (const ask of [{ app: "live", name }, { app: name, name: "x" }]) {
          const r = await askRtmp(mast.rtmpPort, { app: ask.app, name: `${ask.name}?${STUDIO}`, from: address() });
          if (r.code === "NetStream.Publish.Start") {
            assert.match(`${ask.app}/${ask.name}`, /^live\/+[\w.-]+(\/+[\w.-]+)*([?#].*)?$/, `published to ${ask.app} ${ask.name}`);
          }
        }
      }
    }),
  );
  assert.doesNotMatch(mast.log.slice(before), /[\0-\x09\x0b-\x1f\x7f]/, "the log is of printable characters");
  await eventually("no stream is left", async () => JSON.parse((await rawGet(http, "/api/v1/streams", { headers: BOSS })).body).items.length === 1);
  await undisturbed();
});

// ---- other people's pages ----

test("DNS rebinding and requests from other sites' pages are refused", async () => {
  const port = mast.httpPort;
  const names = ["evil.example", `evil.example:${port}`, "localhost.evil.example", "127.0.0.1.evil.example", "127.0.0.1@evil.example", "2130706433", "0x7f.1", "localhost.", "", "[::1].evil", "localhost:80:80", "a b", "127.0.0.1, evil.example", "evil.example#localhost"];
  const targets = ["/", "/api/v1/streams", "/metrics", "/live/watched", "/live/watched/index.m3u8", "/api/v1/events"];
  for (const Host of names) {
    for (const target of targets) {
      const { status } = await rawGet(port, target, { headers: { Host, ...BOSS } });
      assert.ok([400, 421].includes(status), `Host '${Host}', ${target}: ${status}`);
    }
    const { status } = await rawGet(port, "/live/watched/mse", { headers: { Host, ...upgrade() } });
    assert.ok([400, 421].includes(status), `Host '${Host}', WebSocket: ${status}`);
  }
  const own = `http://127.0.0.1:${port}`;
  assert.equal((await rawGet(port, `${own}/healthz`)).status, 200);
  assert.equal((await rawGet(port, "http://evil.example/api/v1/streams", { headers: BOSS })).status, 400);
  for (const Origin of ["https://evil.example", "null", `http://127.0.0.1:${port + 1}`, `https://127.0.0.1:${port + 1}`, "http://127.0.0.1", `${own}.evil.example`, `http://localhost:${port}`, "file://", ""]) {
    const foreign = { headers: { Origin, ...BOSS, "Content-Type": "text/plain" } };
    assert.equal((await rawGet(port, "/api/v1/reload", { method: "POST", ...foreign })).status, 403, `POST from ${Origin}`);
    assert.equal((await rawGet(port, "/api/v1/keys/x", { method: "DELETE", ...foreign })).status, 403, `DELETE from ${Origin}`);
    assert.equal((await rawGet(port, "/api/v1/streams", foreign)).status, 403, `GET from ${Origin}`);
    assert.equal((await rawGet(port, "/live/watched/mse", { headers: { Origin, ...upgrade() } })).status, 403, `WebSocket from ${Origin}`);
  }
  assert.equal((await rawGet(port, "/api/v1/reload", { method: "POST", headers: { Origin: own, ...BOSS } })).status, 200);
  await undisturbed();
});

// ---- smuggling ----

test("request smuggling: where two readers could disagree, there is one answer and no second request", async () => {
  const port = mast.httpPort;
  const host = `Host: 127.0.0.1:${port}\r\n`;
  const hidden = `GET /healthz HTTP/1.1\r\n${host}\r\n`; // what would be smuggled; it would be answered with 200
  const post = `POST /api/v1/reload HTTP/1.1\r\n${host}`;
  const body = (fields, text) => `${post}${fields}\r\n${text}`;
  const table = {
    "length and chunked": body(`Content-Length: 5\r\nTransfer-Encoding: chunked\r\n`, `0\r\n\r\n${hidden}`),
    "chunked and length": body(`Transfer-Encoding: chunked\r\nContent-Length: ${hidden.length + 5}\r\n`, `0\r\n\r\n${hidden}`),
    "two lengths": body(`Content-Length: 0\r\nContent-Length: ${hidden.length}\r\n`, hidden),
    "the same length twice": body("Content-Length: 0\r\nContent-Length: 0\r\n", hidden),
    "a list of lengths": body("Content-Length: 0, 0\r\n", hidden),
    "a length with a sign": body("Content-Length: +0\r\n", hidden),
    "a negative length": body("Content-Length: -1\r\n", hidden),
    "a hexadecimal length": body("Content-Length: 0x0\r\n", hidden),
    "a length over 64 bits": body("Content-Length: 18446744073709551616\r\n", hidden),
    "an empty length": body("Content-Length: \r\n", hidden),
    "chunked, identity": body("Transfer-Encoding: chunked, identity\r\n", `0\r\n\r\n${hidden}`),
    "xchunked": body("Transfer-Encoding: xchunked\r\n", `0\r\n\r\n${hidden}`),
    "chunked twice": body("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", `0\r\n\r\n${hidden}`),
    "chunked with a tab": body("Transfer-Encoding:\x0bchunked\r\n", `0\r\n\r\n${hidden}`),
    "chunked in quotes": body('Transfer-Encoding: "chunked"\r\n', `0\r\n\r\n${hidden}`),
    "a blank before the colon": body("Transfer-Encoding : chunked\r\nContent-Length: 0\r\n", hidden),
    "a folded line": body("X: y\r\n Transfer-Encoding: chunked\r\n", hidden),
    "a bare LF": body("X: y\nContent-Length: 0\r\n", hidden),
    "a bare CR": body("X: y\rContent-Length: 0\r\n", hidden),
    "a NUL": body("X: y\0z\r\n", hidden),
    "chunked in 1.0": `POST /api/v1/reload HTTP/1.0\r\n${host}Transfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n0\r\n\r\n${hidden}`,
    "two hosts": `GET /healthz HTTP/1.1\r\n${host}Host: evil.example\r\n\r\n${hidden}`,
    "a chunk size that overflows": body("Transfer-Encoding: chunked\r\n", `10000000000000000\r\n${hidden}`),
    "a chunk size with a sign": body("Transfer-Encoding: chunked\r\n", `+0\r\n\r\n${hidden}`),
    "a chunk size 0x0": body("Transfer-Encoding: chunked\r\n", `0x0\r\n\r\n${hidden}`),
    "a chunk that ends in LF": body("Transfer-Encoding: chunked\r\n", `0\n\n${hidden}`),
    "an LF in a chunk's extension": body("Transfer-Encoding: chunked\r\n", `0;a\nb\r\n\r\n${hidden}`),
    "more chunk than it says": body("Transfer-Encoding: chunked\r\n", `1\r\nabc\r\n0\r\n\r\n${hidden}`),
    "a target with a blank": `GET /healthz /x HTTP/1.1\r\n${host}\r\n${hidden}`,
    "a version of its own": `GET /healthz HTTP/1.10\r\n${host}\r\n${hidden}`,
    "a body without need of login": `POST /api/v1/reload HTTP/1.1\r\n${host}Content-Length: ${hidden.length}\r\n\r\n${hidden}`,
  }; // prettier-ignore
  await Promise.all(
    Object.entries(table).map(async ([what, bytes]) => {
      const reply = await exchange(port, Buffer.from(bytes, "latin1"), { from: address() });
      const all = answers(reply.text);
      assert.equal(all.length, 1, `${what}: ${all.map((a) => a.status)}`);
      assert.ok([400, 401, 403, 411, 413, 501, 505].includes(all[0].status), `${what}: ${all[0].status}`);
      assert.ok(reply.closed, `${what}: the connection is over`);
    }),
  );
  await undisturbed();
});

// ---- floods ----

test("header floods, requests without end, and answers that nobody reads", async () => {
  const port = mast.httpPort;
  const get = `GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n`;
  const many = Array.from({ length: 10000 }, (_, i) => `X-${i}: ${i}\r\n`).join("");
  const statusOf = async (bytes) => answers((await exchange(port, bytes)).text)[0]?.status;
  assert.equal(await statusOf(`${get}${many}\r\n`), 431);
  assert.equal(await statusOf(`${get}X: ${"a".repeat(1 << 20)}\r\n\r\n`), 431);
  assert.equal(await statusOf(`${get}${"X".repeat(1 << 20)}`), 431);
  assert.equal(await statusOf(`GET /${"a".repeat(1 << 20)}`), 414);
  assert.equal(await statusOf(`${"A".repeat(1 << 20)} / HTTP/1.1\r\n\r\n`), 414);
  assert.ok([400, 431].includes(await statusOf(`${get}Cookie: ${"a=b; ".repeat(50000)}\r\n\r\n`)));
  // Thousands of requests on each of forty connections whose client never reads: what waits is bounded, not their number.
  const request = `${get}Authorization: ${BOSS.Authorization}\r\n\r\n`;
  const mute = await Promise.all(Array.from({ length: 40 }, () => opened(port)));
  for (const s of mute) {
    s.pause();
    s.write(request.repeat(2000));
  }
  await undisturbed();
  mute.forEach((s) => s.destroy());
});

function opened(port, from) {
  return new Promise((done, fail) => {
    const s = connect({ port, host: "127.0.0.1", localAddress: from }, () => done(s));
    s.on("error", fail);
    s.on("error", () => {});
  });
}

test("WebSockets: floods of fragments, pings and what may not be sent", async () => {
  const port = mast.httpPort;
  const hello = `GET /live/watched/mse HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n${Object.entries(upgrade()).map(([k, v]) => `${k}: ${v}\r\n`).join("")}\r\n`;
  const closeCode = (text) => {
    const b = Buffer.from(text, "latin1");
    for (let at = b.lastIndexOf(0x88); at >= 0; at = at ? b.lastIndexOf(0x88, at - 1) : -1) {
      if (at + 2 + b[at + 1] === b.length && b[at + 1] >= 2) {
        return b.readUInt16BE(at + 2);
      }
    }
    return null;
  };
  const many = (n, f) => Buffer.concat(Array(n).fill(f));
  const table = {
    "a message in 100,000 empty fragments and one too large": [[1009, 1002, 1008], Buffer.concat([frame(1, undefined, { final: false }), many(100000, frame(0, undefined, { final: false })), many(100, frame(0, Buffer.alloc(1000), { final: false }))])],
    "a message over the bound": [[1009], Buffer.concat(Array(100).fill(frame(0, Buffer.alloc(4096), { final: false })).toSpliced?.(0, 1, frame(1, Buffer.alloc(4096), { final: false })) ?? [frame(1, Buffer.alloc(100000))])],
    "a continuation of nothing": [[1002], frame(0, Buffer.from("x"))],
    "a message within a message": [[1002], Buffer.concat([frame(1, Buffer.from("a"), { final: false }), frame(1, Buffer.from("b"))])],
    "a ping in fragments": [[1002], frame(9, undefined, { final: false })],
    "a ping of 126 bytes": [[1002], frame(9, Buffer.alloc(126))],
    "text that is no UTF-8": [[1007], frame(1, Buffer.from([0xc0, 0xaf]))],
    "an opcode nobody knows": [[1002], frame(3)],
    "a close code that may not be sent": [[1002], frame(8, Buffer.from([3, 237]))],
    "a close of one byte": [[1002], frame(8, Buffer.from([3]))],
    "compression that was not agreed": [[1002], frame(1, Buffer.from("x"), { rsv: 4 })],
    "a frame of 2^40 bytes": [[1009, 1002], frame(2, undefined, { length: 2 ** 40 })],
  }; // prettier-ignore
  await Promise.all(
    Object.entries(table).map(async ([what, [codes, bytes]]) => {
      const reply = await exchange(port, [hello, bytes], { from: address() });
      assert.ok(reply.closed, `${what}: closed`);
      assert.ok(codes.includes(closeCode(reply.text)), `${what}: ${closeCode(reply.text)}`);
    }),
  );
  const bad = async (change) => (await rawGet(port, "/live/watched/mse", { headers: upgrade(change) })).status;
  assert.equal(await bad({ "Sec-WebSocket-Version": "12" }), 426);
  assert.equal(await bad({ "Sec-WebSocket-Key": "short" }), 400);
  assert.equal(await bad({ "Sec-WebSocket-Key": "" }), 400);
  // Pings by the million whose pongs nobody reads.
  const mute = await Promise.all(Array.from({ length: 10 }, () => opened(port)));
  for (const s of mute) {
    s.pause();
    s.write(Buffer.concat([Buffer.from(hello), many(50000, frame(9, Buffer.alloc(100)))]));
  }
  await undisturbed();
  mute.forEach((s) => s.destroy());
});

test("HLS: numbers far ahead are refused, and a client that blocks a thousand requests holds only those", async () => {
  const port = mast.httpPort;
  const list = (await rawGet(port, "/live/watched/~hls/video1.m3u8")).body;
  const msn = Number(/#EXT-X-MEDIA-SEQUENCE:(\d+)/.exec(list)[1]) + list.split("#EXTINF").length - 1;
  for (const query of [`_HLS_msn=${msn + 10}`, "_HLS_msn=18446744073709551615", "_HLS_msn=18446744073709551616", "_HLS_msn=-1", "_HLS_msn=1e9", "_HLS_msn=", "_HLS_part=0", `_HLS_msn=${msn}&_HLS_part=999999999999`, `_HLS_msn=${msn}&_HLS_part=-1`, `_HLS_msn=${msn}&_HLS_msn=${msn + 10}`, "_HLS_skip=MAYBE&_HLS_msn=x"]) {
    const { status } = await rawGet(port, `/live/watched/~hls/video1.m3u8?${query}`);
    assert.equal(status, 400, query);
  }
  // One connection after the other on which many ask for what is not there yet, and nobody waits for the answer.
  const waiting = await metric("mast_hls_waiting");
  const ahead = `GET /live/watched/~hls/video1.m3u8?_HLS_msn=${msn + 1} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n\r\n`;
  for (let i = 0; i < 10; i++) {
    const all = await Promise.all(Array.from({ length: 100 }, () => opened(port)));
    for (const s of all) {
      s.write(ahead.repeat(10));
    }
    all.forEach((s, k) => (k % 2 ? s.destroy() : s.resetAndDestroy?.() ?? s.destroy()));
  }
  await undisturbed();
  await eventually("nobody waits for those who left", async () => (await metric("mast_hls_waiting")) <= waiting + 4);
});

test("events: listeners who never read are cut off, and there is an end to their number", async () => {
  const port = mast.httpPort;
  const ask = `GET /api/v1/events HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nAuthorization: ${BOSS.Authorization}\r\n\r\n`;
  const all = await Promise.all(Array.from({ length: 300 }, () => opened(port)));
  let refused = 0;
  all.forEach((s) => {
    s.on("data", (d) => (refused += /^HTTP\/1\.1 503/.test(d.toString("latin1")) ? 1 : 0));
    s.write(ask);
  });
  await eventually("the last ones are refused", () => refused >= 300 - 256);
  assert.ok((await metric("mast_event_clients")) <= 256);
  await undisturbed();
  all.forEach((s) => s.destroy());
  await eventually("all are gone", async () => (await metric("mast_event_clients")) === 0);
});

test("bodies: deep, huge, broken and repeated JSON is refused before it is understood", async () => {
  const port = mast.httpPort;
  const put = async (body, extra = {}) => {
    const bytes = Buffer.isBuffer(body) ? body : Buffer.from(body);
    const head = `POST /api/v1/keys HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nConnection: close\r\nAuthorization: ${BOSS.Authorization}\r\nContent-Type: application/json\r\n`;
    const length = extra.length ?? bytes.length;
    return answers((await exchange(port, [`${head}Content-Length: ${length}\r\n\r\n`, bytes])).text)[0]?.status;
  };
  const table = {
    "arrays in arrays": "[".repeat(50000),
    "objects in objects": '{"a":'.repeat(10000),
    "a deep value that nobody asked for": `{"scopes":["read"],"x":${"[".repeat(5000)}${"]".repeat(5000)}}`,
    "scopes without end": `{"scopes":[${'"read",'.repeat(5000)}"read"]}`,
    "a name of 50 kB": `{"scopes":["read"],"name":"${"a".repeat(50000)}"}`,
    "a key twice": '{"scopes":["read"],"scopes":["admin"]}',
    "a NUL in a string": '{"scopes":["read"],"name":"a\\u0000b"}',
    "half a surrogate": '{"scopes":["read"],"name":"\\ud800"}',
    "bytes that are no UTF-8": Buffer.from('{"scopes":["read"],"name":"\xff\xfe"}', "latin1"),
    "a number over all bounds": '{"scopes":["read"],"expires_at":1e999999}',
    "two values": '{"scopes":["read"]}{"scopes":["admin"]}',
    "nothing": "",
    "a list": "[]",
    "null": "null",
  };
  for (const [what, body] of Object.entries(table)) {
    const status = await put(body);
    assert.ok([400, 413, 422].includes(status), `${what}: ${status}`);
  }
  assert.equal(await put("x".repeat(4 << 20)), 413);
  assert.equal(await put("{", { length: 1e12 }), 413);
  const keys = JSON.parse((await rawGet(port, "/api/v1/keys", { headers: BOSS })).body).items;
  assert.deepEqual(keys, []);
  await undisturbed();
});

// ---- slow peers: started with the tests, judged after them ----

// Peers that say a little of something and then a byte now and then; resolves when the server has hung up on all of them.
function startLoris() {
  const half = Buffer.concat([Buffer.from([3]), Buffer.alloc(700)]);
  const clientHello = Buffer.from([22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]);
  const kinds = [
    [mast.rtmpPort, half], [mast.rtmpPort, Buffer.alloc(0)], [mast.rtmpPort, Buffer.concat([Buffer.from([3]), Buffer.alloc(3072)])],
    [mast.rtmpsPort, clientHello], [mast.rtmpsPort, Buffer.alloc(0)],
    [mast.httpPort, "GET / HTTP/1.1\r\nHost: localhost\r\nX: "], [mast.httpPort, "GE"],
    [mast.httpPort, "POST /api/v1/reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n{"],
  ]; // prettier-ignore
  const drip = (port, first, from) =>
    new Promise((done) => {
      const s = connect({ port, host: "127.0.0.1", localAddress: from }, () => s.write(first));
      const timer = setInterval(() => s.write("a"), 1000);
      s.on("data", () => {});
      s.on("error", () => {});
      s.on("close", () => done(clearInterval(timer)));
    });
  return Promise.all(kinds.flatMap(([port, first]) => Array.from({ length: 25 }, () => drip(port, first, address()))));
}

test("two hundred slow peers on every port have been dropped, and the patient guessers were not heard either", { timeout: TEST_MS }, async () => {
  await loris;
  await patient;
  assert.doesNotMatch(mast.wholeLog, /guess-\d/);
  await undisturbed();
});

test("after all of it the log is of a size, and everything else as before", async () => {
  const lines = mast.log.split("\n").length;
  assert.ok(lines < 20000, `${lines} lines`);
  assert.ok(!mast.wholeLog.includes("publishing-1") && !mast.wholeLog.includes("the-boss-himself") && !mast.wholeLog.includes("the-first-viewer"));
  assert.ok((await metric("mast_http_connections")) < 100);
  assert.equal(await metric("mast_children"), 0);
});
