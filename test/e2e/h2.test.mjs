// SPDX-License-Identifier: Apache-2.0
// HTTP/2 of the real program: curl, node and Chromium over ALPN, HLS with its blocking playlists over one connection, and
// clients that flood.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { connect as connectH2, constants } from "node:http2";
import { after, before, describe, test } from "node:test";
import { connect as connectTls } from "node:tls";

import { startBrowser, waitPlaying } from "./lib/browser.mjs";
import { publishFfmpeg } from "./lib/ffmpeg.mjs";
import { eventually, Mast, stopChild } from "./lib/mast.mjs";

const PATH = "live/h2";

let mast;
let publisher;

before(async () => {
  mast = await Mast.start({ config: { http: { tls: { enabled: true } } } });
  publisher = publishFfmpeg(mast.rtmp(PATH), { size: "320x180" });
  await mast.onAir(PATH);
});

after(async () => {
  await stopChild(publisher, "SIGKILL");
  await mast?.close();
});

const curl = (...args) => execFileSync("curl", ["-sS", "--max-time", "60", "-k", ...args], { encoding: "utf8" });

async function open() {
  const session = connectH2(mast.url, { rejectUnauthorized: false });
  session.on("error", () => {});
  await new Promise((done, fail) => session.once("connect", done).once("error", fail));
  return session;
}

// {status, headers, body, code}: code is that of the stream's end, 0 when all went well.
function ask(session, path, { headers = {}, body } = {}) {
  return new Promise((done) => {
    const stream = session.request({ ":path": path, ...headers }, { endStream: body === undefined });
    const answer = { status: 0, headers: {}, body: Buffer.alloc(0), stream };
    stream.on("response", (h) => Object.assign(answer, { status: h[":status"], headers: h }));
    stream.on("data", (d) => (answer.body = Buffer.concat([answer.body, d])));
    stream.on("error", () => {});
    stream.on("close", () => done(Object.assign(answer, { code: stream.rstCode })));
    if (body !== undefined) {
      stream.end(body);
    }
  });
}

// The program answers a new client.
async function assertUnharmed() {
  const session = await open();
  assert.equal((await ask(session, "/healthz")).body.toString(), "ok\n");
  session.close();
}

describe("http/2", { concurrency: false }, () => {
  test("curl: ALPN chooses, the rest is the same", () => {
    const say = ["-o", "/dev/null", "-w", "%{http_version} %{http_code}"];
    assert.equal(curl("--http2", ...say, `${mast.url}/healthz`), "2 200");
    assert.equal(curl("--http1.1", ...say, `${mast.url}/healthz`), "1.1 200");
    assert.equal(curl("--no-alpn", ...say, `${mast.url}/healthz`), "1.1 200");
    for (const [version, path] of [2, 1].flatMap((v) => ["/healthz", "/", "/nothing/index.m3u8", `/${PATH}/index.m3u8`].map((p) => [v, p]))) {
      const head = curl(version === 2 ? "--http2" : "--http1.1", "-D", "-", "-o", "/dev/null", `${mast.url}${path}`);
      assert.match(head.toLowerCase(), /\r\ndate: .* gmt\r\n/, path);
    }
    const names = (version) =>
      curl(version, "-D", "-", "-o", "/dev/null", `${mast.url}/`)
        .toLowerCase().split("\r\n").slice(1).map((l) => l.split(":")[0]).filter((n) => n && n !== "connection").sort(); // prettier-ignore
    assert.deepEqual(names("--http2"), names("--http1.1"));
  });

  test("RTMPS does not speak it", async () => {
    await assert.rejects(
      new Promise((done, fail) => {
        const socket = connectTls({ port: mast.rtmpsPort, host: "127.0.0.1", ALPNProtocols: ["h2"], rejectUnauthorized: false });
        socket.on("secureConnect", () => (socket.alpnProtocol === "h2" ? done() : fail(new Error("other"))));
        socket.on("error", fail);
      }),
    );
  });

  test("one connection: playlists that block, parts, and a player's requests beside them", async () => {
    const session = await open();
    const text = async (path) => {
      const answer = await ask(session, path);
      assert.equal(answer.status, 200, `${path}: ${answer.body}`);
      return answer.body.toString();
    };
    const main = (await text(`/${PATH}/index.m3u8`)).split("\n").find((l) => l && !l.startsWith("#"));
    const media = new URL(main, `${mast.url}/${PATH}/`).pathname;
    const at = async () => {
      const list = await text(media);
      const sequence = Number(list.match(/#EXT-X-MEDIA-SEQUENCE:(\d+)/)[1]);
      return { list, next: sequence + (list.match(/#EXTINF/g) ?? []).length };
    };
    // Twenty waits for the next segment, all answered, while small requests pass them.
    const { next } = await at();
    const waits = Array.from({ length: 20 }, () => ask(session, `${media}?_HLS_msn=${next}&_HLS_part=0`));
    assert.equal((await ask(session, "/healthz")).status, 200);
    for (const answer of await Promise.all(waits)) {
      assert.equal(answer.status, 200);
      assert.ok(answer.body.includes("#EXT-X-PART:"));
    }
    const { list } = await at();
    const uris = [...list.matchAll(/URI="([^"]+)"/g)].map((m) => new URL(m[1], `${mast.url}${media}`));
    assert.ok(uris.length > 2);
    const whole = new Map();
    await Promise.all(
      uris.slice(0, -1).map(async (u) => {
        const answer = await ask(session, u.pathname + u.search);
        if (answer.status === 200) {
          whole.set(u.pathname + u.search, answer.body);
        }
      }),
    );
    assert.ok(whole.size > 2);
    // The same bytes as over HTTP/1.1.
    for (const [path, body] of [...whole].slice(-2)) {
      const again = execFileSync("curl", ["-sSk", "--http1.1", `${mast.url}${path}`], { maxBuffer: 64 << 20 });
      assert.ok(again.equals(body), path);
    }
    session.close();
  });

  test("ninety feeds and nine playlists on one connection: their client leaves, nothing stays", async () => {
    const session = await open();
    const before = await mast.metric("mast_http_connections");
    assert.ok((await mast.metric("mast_http2_connections")) >= 1);
    const main = (await ask(session, `/${PATH}/index.m3u8`)).body.toString().split("\n").find((l) => l && !l.startsWith("#")); // prettier-ignore
    const media = new URL(main, `${mast.url}/${PATH}/`).pathname;
    const waits = Array.from({ length: 90 }, () => ask(session, "/api/v1/events"));
    const more = Array.from({ length: 9 }, () => ask(session, media));
    assert.ok((await Promise.all(more)).every((a) => a.status === 200));
    session.destroy();
    await Promise.all(waits);
    await eventually("the connection is gone", async () => (await mast.metric("mast_http_connections")) < before + 1);
  });

  test("the rules of HTTP/1.1 hold", async () => {
    const session = await open();
    for (const path of ["/live/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/live%2fh2/index.m3u8", "/a%00b", "/\\..\\x"]) {
      const answer = await ask(session, path);
      assert.ok([400, 404].includes(answer.status), `${path}: ${answer.status}`);
    }
    assert.equal((await ask(session, "/healthz", { headers: { ":authority": "localhost", host: "elsewhere.example" } })).status, 400);
    const rebound = await ask(session, "/api/v1/streams", { headers: { ":authority": "elsewhere.example" } });
    assert.equal(rebound.status, 421);
    assert.equal((await ask(session, `/${PATH}/mse`)).status, 426);
    session.close();
  });

  test("Chromium: the page, and HLS, over h2", async () => {
    const browser = await startBrowser({ ignoreHTTPSErrors: true });
    try {
      const page = await browser.newPage();
      await page.goto(`${mast.url}/${PATH}`);
      await waitPlaying(page);
      const hops = async () =>
        page.evaluate(() => performance.getEntriesByType("resource").concat(performance.getEntriesByType("navigation")).map((e) => `${e.nextHopProtocol} ${e.name}`)); // prettier-ignore
      assert.ok((await hops()).filter((h) => /\.(js|css)\b/.test(h)).every((h) => h.startsWith("h2 ")), String(await hops()));
      const seen = await page.evaluate(async (path) => {
        const text = async (u) => (await fetch(u)).text();
        const first = (await text(`/${path}/index.m3u8`)).split("\n").find((l) => l && !l.startsWith("#"));
        const media = new URL(first, `${location.origin}/${path}/`).href;
        const list = await text(media);
        const part = new URL([...list.matchAll(/URI="([^"]+)"/g)].at(-2)[1], media).href;
        const bytes = (await (await fetch(part)).arrayBuffer()).byteLength;
        return { bytes, hops: [media, part].map((u) => performance.getEntriesByName(u)[0]?.nextHopProtocol) };
      }, PATH);
      assert.ok(seen.bytes > 0);
      assert.deepEqual(seen.hops, ["h2", "h2"]);
      assert.deepEqual(page.mastErrors, []);
    } finally {
      await browser.close();
    }
  });
});

// ---- floods: frames by hand over TLS ----

const frame = (type, flags, stream, payload = Buffer.alloc(0)) => {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
};
const HELLO = Buffer.concat([Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), frame(4, 0, 0)]);
const literal = (name, value) => Buffer.concat([Buffer.from([0, name.length]), Buffer.from(name), Buffer.from([value.length]), Buffer.from(value)]);
const request = (path) => Buffer.concat([literal(":method", "GET"), literal(":scheme", "https"), literal(":path", path), literal(":authority", "localhost")]);
const times = (n, make) => Buffer.concat(Array.from({ length: n }, (_, i) => make(i)));

const FLOODS = {
  "rapid reset": times(3000, (i) => Buffer.concat([frame(1, 5, 2 * i + 1, request(`/${PATH}/index.m3u8`)), frame(3, 0, 2 * i + 1, Buffer.from([0, 0, 0, 8]))])),
  "CONTINUATION": Buffer.concat([frame(1, 1, 1, request("/")), times(3000, () => frame(9, 0, 1, literal("a", "b")))]),
  "PING": times(5000, () => frame(6, 0, 0, Buffer.alloc(8))),
  "SETTINGS": times(5000, () => frame(4, 0, 0)),
  "HPACK bomb": frame(1, 5, 1, Buffer.concat([request("/"), Buffer.from([0x40, 1, 120, 0x7f, 0x80 | (2873 & 0x7f), 2873 >> 7]), Buffer.alloc(3000, "z"), Buffer.alloc(12000, 0x80 | 62)])),
  "streams": times(4000, (i) => frame(1, 5, 2 * i + 1, request("/api/v1/events"))),
}; // prettier-ignore

// Resolves when the server has closed the connection, to the code of its GOAWAY; null when none came through.
function flood(bytes) {
  return new Promise((done, fail) => {
    const got = [];
    const socket = connectTls({ port: mast.httpPort, host: "127.0.0.1", ALPNProtocols: ["h2"], rejectUnauthorized: false });
    socket.on("secureConnect", () => socket.write(Buffer.concat([HELLO, bytes])));
    socket.on("data", (d) => got.push(d));
    socket.on("error", () => {});
    socket.on("close", () => {
      const all = Buffer.concat(got);
      for (let at = 0; at + 9 <= all.length; at += 9 + all.readUIntBE(at, 3)) {
        if (all[at + 3] === 7) {
          return done(all.readUInt32BE(at + 13));
        }
      }
      done(null);
    });
    socket.setTimeout(60000, () => fail(new Error("not closed")));
  });
}

test("floods are cut off and said in the log; others are answered meanwhile, and the stream stays", async () => {
  const session = await open();
  const connections = await mast.metric("mast_http_connections");
  for (const [name, bytes] of Object.entries(FLOODS)) {
    const code = await flood(bytes);
    assert.notEqual(code, constants.NGHTTP2_NO_ERROR, name);
    assert.equal((await ask(session, `/${PATH}/index.m3u8`)).status, 200, name);
  }
  await eventually("they are gone", async () => (await mast.metric("mast_http_connections")) <= connections);
  assert.match(mast.log, /warn .*io\.http2: 127\.0\.0\.1:\d+: (floods its connection with frames|cuts a header block)/);
  assert.ok((await mast.stream(PATH)).on_air);
  session.close();
  await eventually("no HTTP/2 is left", async () => (await mast.metric("mast_http2_connections")) === 0);
  await assertUnharmed();
});
