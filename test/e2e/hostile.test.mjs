// SPDX-License-Identifier: Apache-2.0
// Hostile peers on every port while a stream is watched: each is dropped with a line in the log, nothing is left behind,
// and the viewer does not notice.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { connect } from "node:net";
import { after, before, test } from "node:test";

import { HISTORY_MS, waitedForCpu } from "./lib/crowd.mjs";
import { publishFfmpeg, startProgram } from "./lib/ffmpeg.mjs";
import { eventually, Mast, PATIENCE_MS, stopChild } from "./lib/mast.mjs";

const CONNECTS = 10000;
const AT_ONCE = 100;

let mast;
let publisher;
let viewer;
let seen = { samples: 0, waitedMs: 0 }; // by the last undisturbed(): what the viewer lost, how long it waited for a CPU

before(async () => {
  mast = await Mast.start({ config: { log: { level: "info" }, streams: { continuity: "1s" } } });
  publisher = publishFfmpeg(mast.rtmp("live/watched"));
  await mast.onAir("live/watched");
  viewer = startProgram("ffmpeg", ["-v", "warning", "-nostdin", "-i", mast.rtmp("live/watched"), "-c", "copy", "-f", "null", "-"]);
  await eventually("the viewer watches", async () => (await mast.stream("live/watched")).n_readers === 1);
});

after(async () => {
  await stopChild(publisher, "SIGKILL");
  await stopChild(viewer, "SIGKILL");
  await mast?.close();
});

// Sends bytes and waits until the server hangs up (or says so itself, with an answer); resolves with what it sent.
function provoke(port, chunks, { half = false, timeout = PATIENCE_MS } = {}) {
  return new Promise((done) => {
    const answer = [];
    const socket = connect(port, "127.0.0.1");
    const timer = setTimeout(() => socket.destroy(new Error("the server did not hang up")), timeout);
    socket.on("connect", () => {
      for (const chunk of chunks) {
        socket.write(chunk);
      }
      if (half) {
        socket.end();
      }
    });
    socket.on("data", (data) => answer.push(data));
    socket.on("error", (e) => answer.push(Buffer.from(`error: ${e.message}`)));
    socket.on("close", () => {
      clearTimeout(timer);
      done(Buffer.concat(answer));
    });
  });
}

async function sessions(protocol) {
  const text = await (await fetch(`${mast.url}/metrics`)).text();
  return text
    .split("\n")
    .filter((l) => l.startsWith(`mast_rtmp_sessions{protocol="${protocol}"`))
    .reduce((sum, l) => sum + Number(l.split(" ").pop()), 0);
}

// What must be true after each attack: only the publisher and the viewer are there, and the viewer's frames went on.
async function undisturbed() {
  await eventually("only the two sessions are left", async () => (await sessions("rtmp")) === 2 && (await sessions("rtmps")) === 0);
  const s = await mast.stream("live/watched");
  assert.equal(s.on_air, true);
  assert.equal(s.n_readers, 1);
  // Only a viewer that was not let run for as long as history reaches may lose something.
  const lost = { samples: s.dropped - seen.samples, waitedMs: waitedForCpu(viewer.pid) - seen.waitedMs };
  assert.ok(lost.samples === 0 || lost.waitedMs > HISTORY_MS, `the viewer lost ${lost.samples} samples, after ${lost.waitedMs} ms without a CPU`);
  seen = { samples: s.dropped, waitedMs: seen.waitedMs + lost.waitedMs };
  const samples = s.readers[0].samples;
  await eventually("samples go on", async () => (await mast.stream("live/watched")).readers[0].samples > samples + 10);
  assert.equal(viewer.exitCode, null, viewer.log);
}

const handshake = Buffer.concat([Buffer.from([3]), Buffer.alloc(1536, 1)]);
const c2 = Buffer.alloc(1536, 1);

test("random, truncated and oversized bytes on the RTMP port", async () => {
  const attacks = {
    "random bytes": [randomBytes(8192)],
    "no version we know": [Buffer.concat([Buffer.from([6]), randomBytes(4096)])],
    "random after the handshake": [handshake, c2, randomBytes(16384)],
    "a chunk that claims 16 MB": [handshake, c2, Buffer.from([3, 0, 0, 0, 0xff, 0xff, 0xff, 20, 0, 0, 0, 0]), Buffer.alloc(200000)],
    "a chunk size of zero": [handshake, c2, Buffer.from([2, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0, 0, 0, 0, 0])],
    "AMF that never ends": [handshake, c2, Buffer.concat([Buffer.from([3, 0, 0, 0, 0, 0, 120, 20, 0, 0, 0, 0]), Buffer.alloc(120, 3)])],
    "media before publish": [handshake, c2, Buffer.concat([Buffer.from([4, 0, 0, 0, 0, 0, 16, 9, 1, 0, 0, 0]), Buffer.alloc(16, 0x17)]), randomBytes(4096)],
  };
  for (const [name, chunks] of Object.entries(attacks)) {
    const before = mast.log.length;
    const answer = await provoke(mast.rtmpPort, chunks);
    assert.doesNotMatch(answer.toString("latin1"), /did not hang up/, name);
    await eventually(`a line in the log for: ${name}`, () => /rtmp\.session: 127\.0\.0\.1:\d+: .+/.test(mast.log.slice(before)));
  }
  await undisturbed();
});

test("peers that say half of something and stay are dropped in time: an RTMP handshake, a slow-loris request", async () => {
  const before = mast.log.length;
  const halves = [provoke(mast.rtmpPort, [handshake.subarray(0, 700)]), provoke(mast.httpPort, ["GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: "])];
  const [rtmp, http] = (await Promise.all(halves)).map((answer) => answer.toString("latin1"));
  assert.doesNotMatch(rtmp, /did not hang up/);
  assert.match(http, /^HTTP\/1\.1 408 /);
  await eventually("a line in the log", () => /rtmp\.session: 127\.0\.0\.1:\d+: .*in 10000 ms, dropping/.test(mast.log.slice(before)));
  await undisturbed();
});

test("garbage on the RTMPS and HTTP ports", async () => {
  assert.doesNotMatch((await provoke(mast.rtmpsPort, [randomBytes(4096)])).toString("latin1"), /did not hang up/);
  assert.doesNotMatch((await provoke(mast.rtmpsPort, [Buffer.from("GET / HTTP/1.1\r\n\r\n")])).toString("latin1"), /did not hang up/);
  const statusOf = async (...chunks) => Number((await provoke(mast.httpPort, chunks)).toString("latin1").split(" ")[1]);
  assert.equal(await statusOf(randomBytes(4096)), 400);
  assert.equal(await statusOf(`GET /${"a".repeat(20000)} HTTP/1.1\r\nHost: localhost\r\n\r\n`), 414);
  assert.equal(await statusOf(`GET / HTTP/1.1\r\nHost: localhost\r\nX: ${"a".repeat(100000)}\r\n\r\n`), 431);
  assert.equal(await statusOf("POST /api/v1/streams/kick/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n"), 413);
  assert.equal(
    await statusOf("POST /api/v1/streams/kick/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    400,
  );
  await undisturbed();
});

test("broken WebSocket frames end the session with the code that says why", async () => {
  const hello = `GET /live/watched/mse HTTP/1.1\r\nHost: 127.0.0.1:${mast.httpPort}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n`;
  const closeCode = (answer) => {
    // The close frame is the last thing sent: 0x88, length, code.
    const at = answer.lastIndexOf(Buffer.from([0x88]));
    for (let i = at; i >= 0; i = answer.lastIndexOf(Buffer.from([0x88]), i - 1)) {
      if (answer[i + 1] >= 2 && i + 2 + answer[i + 1] === answer.length) {
        return answer.readUInt16BE(i + 2);
      }
      if (i === 0) {
        break;
      }
    }
    return null;
  };
  const unmasked = Buffer.from([0x81, 0x02, 0x68, 0x69]);
  const reserved = Buffer.from([0xf1, 0x80, 0, 0, 0, 0]);
  const huge = Buffer.from([0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
  assert.equal(closeCode(await provoke(mast.httpPort, [hello, unmasked])), 1002);
  assert.equal(closeCode(await provoke(mast.httpPort, [hello, reserved])), 1002);
  assert.ok([1002, 1009].includes(closeCode(await provoke(mast.httpPort, [hello, huge]))));
  await undisturbed();
});

test(`${CONNECTS} connects and hang-ups leave every gauge where it was`, async () => {
  const fds = await mast.metric("mast_open_fds");
  const ports = [mast.rtmpPort, mast.httpPort, mast.rtmpsPort];
  const hangUp = (port) =>
    new Promise((done) => {
      const socket = connect(port, "127.0.0.1", () => {
        // Some say something first, some reset, some close in order.
        if (port === mast.rtmpPort) {
          socket.write(handshake);
        }
        socket[Math.random() < 0.5 ? "resetAndDestroy" : "end"]?.();
      });
      socket.on("error", () => {});
      socket.on("data", () => {});
      socket.on("close", done);
    });
  for (let i = 0; i < CONNECTS; i += AT_ONCE) {
    await Promise.all(Array.from({ length: AT_ONCE }, (_, k) => hangUp(ports[(i + k) % ports.length])));
  }
  await undisturbed();
  await eventually("descriptors are back", async () => (await mast.metric("mast_open_fds")) <= fds + 2);
  assert.ok((await mast.metric("mast_http_connections")) <= 3);
});

test("all gauges are zero when everybody has left", async () => {
  await stopChild(viewer, "SIGKILL");
  await stopChild(publisher, "SIGKILL");
  await eventually(
    "zero everywhere",
    async () => {
      const names = ["mast_publishers", "mast_readers", "mast_replicas", "mast_streams", "mast_samples", "mast_media_memory_bytes", "mast_children"];
      const values = await Promise.all(names.map((n) => mast.metric(n)));
      const left = names.filter((_, i) => values[i] !== 0).map((n, i) => `${n}`);
      if (left.length > 0) {
        throw new Error(`left: ${left} ${values}`);
      }
      return (await sessions("rtmp")) === 0;
    },
  );
});
