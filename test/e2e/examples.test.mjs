// SPDX-License-Identifier: Apache-2.0
// The examples do what they say: the C programs, which are built from the public headers and the shared library only, and the
// same over HTTP in Python.

import assert from "node:assert/strict";
import dgram from "node:dgram";
import { join, resolve } from "node:path";
import { after, before, test } from "node:test";

import { startProgram } from "./lib/ffmpeg.mjs";
import { Janus } from "./lib/janus.mjs";
import { eventually, Hopeless, Mast, stopChild, TEST_MS } from "./lib/mast.mjs";
import { inOwnNetwork } from "./lib/netns.mjs";
import { WebrtcBrowser } from "./lib/webrtc-page.mjs";
import { sameWorld, world } from "./lib/world.mjs";

const ROOT = resolve(import.meta.dirname ?? new URL(".", import.meta.url).pathname, "../..");
const BUILD = process.env.MAST_BUILD;

if (inOwnNetwork(import.meta.url)) {
  defineTests();
}

// It prints on two channels; what it says is in .log.
function example(name, args, env = {}) {
  return start(join(BUILD, "examples", `example_${name}`), args, { env: { ...process.env, MAST_LIBEXEC_DIR: join(BUILD, "src/io"), ...env } });
}

function start(...program) {
  const child = startProgram(...program);
  child.closed = new Promise((done) => child.once("close", done));
  return child;
}

// Its exit code, once all that it wrote is in .log.
async function endOf(child) {
  await child.closed;
  return child.exitCode;
}

const says = (child, what) =>
  eventually(`it says ${what}`, () => {
    if (child.exitCode !== null) {
      throw new Hopeless(child.log);
    }
    return what.test(child.log);
  });

function defineTests() {
  let janus;
  let browser;

  before(async () => {
    janus = await Janus.start({ rooms: { "room-4321": { room: 4321, description: "permanent", publishers: 4, videocodec: "h264" } } });
    browser = await WebrtcBrowser.start();
  });

  after(async () => {
    await browser?.close();
    await janus?.close();
  });

  const keys = () => ({ JANUS_STREAMING_KEY: janus.streamingKey, JANUS_ROOM_KEY: janus.roomKey });

  test("a publisher of a room becomes a mountpoint, until the program ends", { timeout: TEST_MS }, async () => {
    const publisher = await browser.publish(janus, { room: 4321, display: "camera", audio: [440] });
    const before = await world({ janus });
    const child = example("videoroom_to_mountpoint", [janus.url, "4321", String(publisher.id), "9901"], keys());
    try {
      await says(child, /br_\w+: (running|degraded)/);
      const viewer = await browser.watch(janus, { id: 9901 });
      await viewer.sees();
      await viewer.hears({ hz: 440 });
      await viewer.leave();
      child.kill("SIGTERM");
      assert.equal(await endOf(child), 0, child.log);
      assert.match(child.log, /: stopped/);
      await sameWorld(before, { janus });
    } finally {
      await stopChild(child, "SIGKILL");
      await publisher.leave();
    }
  });

  test("what Janus refuses is said in its words, and nothing is left", { timeout: TEST_MS }, async () => {
    const before = await world({ janus });
    const child = example("videoroom_to_mountpoint", [janus.url, "999", "1", "9902"], { ...keys(), JANUS_STREAMING_KEY: "wrong" });
    assert.equal(await endOf(child), 1, child.log);
    assert.match(child.log, /: failed/);
    await sameWorld(before, { janus });
  });

  test("a program is kept running", { timeout: TEST_MS }, async () => {
    const child = example("managed_process", ["sh", "-c", "echo I am $$ >&2; exec sleep 1000"]);
    try {
      const pids = () => [...child.log.matchAll(/it says: I am (\d+)/g)].map((m) => Number(m[1]));
      await eventually("it runs", () => pids().length === 1);
      const [first] = pids();
      process.kill(first, "SIGKILL");
      await eventually("it runs again", () => pids().length === 2);
      assert.match(child.log, /backoff killed by SIGKILL/);
      const second = pids()[1];
      assert.notEqual(second, first);
      child.kill("SIGINT");
      assert.equal(await endOf(child), 0, child.log);
      assert.throws(() => process.kill(second, 0), /ESRCH/);
    } finally {
      await stopChild(child, "SIGKILL");
    }
  });

  test("a relay sends RTP to both ports", { timeout: TEST_MS }, async () => {
    const sockets = [];
    const seen = [new Set(), new Set()];
    for (const types of seen) {
      const socket = dgram.createSocket("udp4").on("message", (m) => types.add(m[1] & 0x7f));
      await new Promise((done) => socket.bind(0, "127.0.0.1", done));
      sockets.push(socket);
    }
    const child = example("relay", ["test", ...sockets.map((s) => String(s.address().port))]);
    try {
      await says(child, /start: it runs/);
      await eventually("RTP of both payload types arrives", () => seen[0].has(96) && seen[1].has(111));
      child.kill("SIGTERM");
      assert.equal(await endOf(child), 0, child.log);
      assert.match(child.log, /test: stopped/);
    } finally {
      await stopChild(child, "SIGKILL");
      sockets.forEach((s) => s.close());
    }
  });

  // A slot for a browser, and a publisher that is not there: what is asked needs no browser here.
  test("the same over HTTP, in Python", { timeout: TEST_MS }, async () => {
    const before = await world({ janus });
    const main = { name: "main", url: janus.url, admin_key: janus.streamingKey, room_admin_key: janus.roomKey };
    const mast = await Mast.start({ config: { janus: [main] } });
    const python = (...args) =>
      start("python3", ["-B", ...args], { cwd: join(ROOT, "examples/python"), env: { ...process.env, MAST_URL: mast.url } });
    const media = '[{"type": "video", "mid": "v", "port": 0, "pt": 96, "codec": "h264"}]';
    const request = `source_kind="frontend_owned", room_id=4321, mountpoint_spec={"id": 9903, "media": ${media}}`;
    const child = python("-c", `import sys; from mast_http import *; sys.exit(run_until_asked(Mast(), ${request}))`);
    try {
      await says(child, /br_\w+: (running|degraded)/);
      await says(child, /"healthy": /);
      assert.ok((await janus.mountpoints()).some((m) => m.id === 9903));
      child.kill("SIGTERM");
      assert.equal(await endOf(child), 0, child.log);
      assert.match(child.log, /: stopped/);
      const nobody = python("videoroom_to_mountpoint.py", "4321", "777", "9903");
      assert.equal(await endOf(nobody), 1);
      assert.match(nobody.log, /failed publisher: publisher 777 does not publish in room 4321/);
      // The same events as numbers, by the same names.
      const numbers = (await mast.fetch("/metrics")).text;
      assert.match(numbers, /^mast_broadcast_events_total\{type="broadcast_starting"\} 2$/m);
      assert.match(numbers, /^mast_broadcast_events_total\{type="broadcast_running"\} [01]$/m);
      assert.match(numbers, /^mast_broadcast_events_total\{type="broadcast_failed"\} 1$/m);
      assert.match(numbers, /^mast_broadcast_events_total\{type="janus_resource_closed"\} [1-9]/m);
      assert.match(numbers, /^mast_broadcast_errors_total\{phase="start"\} 1$/m);
      const wrong = python("-c", 'import sys; from mast_http import *; sys.exit(run_until_asked(Mast(), source_kind="nonsense"))');
      assert.equal(await endOf(wrong), 1);
      assert.match(wrong.log, /400 invalid-body/);
    } finally {
      await stopChild(child, "SIGKILL");
      await mast.close();
    }
    await sameWorld(before, { janus });
  });
}
