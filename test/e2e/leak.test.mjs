// SPDX-License-Identifier: Apache-2.0
// Publishers and readers that come and go leave nothing: every gauge is back at zero, and memory does not grow with the
// number of them. A short form runs with every test; MAST_LONG=1 runs 1,000 publishers and 10,000 readers.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { cost } from "./lib/crowd.mjs";
import { eventually, Mast, sleep, stopChild } from "./lib/mast.mjs";

const LONG = process.env.MAST_LONG === "1";
const PUBLISHERS = LONG ? 1000 : 100;
const READERS = LONG ? 10000 : 1000;
const AT_ONCE = 200;
const IDLE_S = 3;

const LOAD = join(process.env.MAST_BUILD ?? new URL("../../build", import.meta.url).pathname, "bench/mast-load");

let mast;

before(async () => {
  mast = await Mast.start({ config: { log: { level: "warn" }, streams: { continuity: "0s" } } });
});

after(async () => {
  await mast?.close();
});

const load = (...args) => spawn(LOAD, args.map(String), { stdio: ["ignore", "pipe", "ignore"] });

async function metrics() {
  const text = await (await fetch(`${mast.url}/metrics`)).text();
  const values = {};
  for (const line of text.split("\n").filter((l) => l && !l.startsWith("#"))) {
    const [name, value] = line.split(" ");
    values[name] = Number(value);
  }
  return values;
}

async function idle() {
  await eventually(
    "everything is gone",
    async () => {
      const m = await metrics();
      return ["mast_publishers", "mast_readers", "mast_replicas", "mast_streams", "mast_samples", "mast_mse_sessions"].every((n) => m[n] === 0);
    },
  );
  return metrics();
}

// A connection outlives its session by the moment it takes to say goodbye.
const descriptorsBack = (n) => eventually("descriptors are back", async () => (await metrics()).mast_open_fds <= n + 2);

// Its exit code, when all that it wrote has been read.
const ended = (child) => new Promise((done) => child.once("close", done));

async function publishOnce(i) {
  const publisher = load("publish", "--url", mast.rtmp(`live/cycle-${i % 7}`), "--kbps", 800, "--fps", 50, "--gop", 5, "--seconds", 0.2);
  assert.equal(await ended(publisher), 0, `publisher ${i}`);
}

async function publishMany(n) {
  for (let i = 0; i < n; i += 7) {
    await Promise.all(Array.from({ length: Math.min(7, n - i) }, (_, k) => publishOnce(i + k)));
  }
}

// Each round is players that connect, get their first frames, and hang up when all have.
async function readMany(n, url) {
  let played = 0;
  for (let i = 0; i < n; i += AT_ONCE) {
    const players = load("play", "--url", url, "--clients", AT_ONCE, "--rate", 2000, "--warmup", 0, "--seconds", 0.2);
    let out = "";
    players.stdout.on("data", (d) => (out += d));
    await ended(players);
    played += JSON.parse(out).playing;
  }
  return played;
}

test(`${PUBLISHERS} publishers come and go: gauges at zero, memory flat`, async (t) => {
  await publishMany(PUBLISHERS / 5);
  const before = await idle();
  await publishMany(PUBLISHERS);
  const last = await idle();
  const grown = last.mast_resident_memory_bytes - before.mast_resident_memory_bytes;
  t.diagnostic(`resident ${(before.mast_resident_memory_bytes / 2 ** 20).toFixed(1)} MiB, grown by ${(grown / 1024).toFixed(0)} KiB over ${PUBLISHERS}`);
  assert.equal(last.mast_publishes_total - before.mast_publishes_total, PUBLISHERS);
  assert.ok(grown < 1024 * 1024 + PUBLISHERS * 512, `grown by ${grown} bytes`);
  await descriptorsBack(before.mast_open_fds);
});

for (const [name, url] of [["RTMP", () => mast.rtmp("live/read")], ["MSE", () => `ws://127.0.0.1:${mast.httpPort}/live/read/mse`]]) {
  test(`${READERS} ${name} readers come and go: gauges at zero, memory flat`, async (t) => {
    const publisher = load("publish", "--url", mast.rtmp("live/read"), "--kbps", 600);
    try {
      await mast.onAir("live/read");
      // As many at once as later, so that what a peak leaves in the allocator is there already.
      await readMany(Math.max(AT_ONCE * 2, READERS / 5), url());
      const nobody = async () => eventually("the readers are gone", async () => {
        const m = await metrics();
        return m.mast_readers === 0 ? m : null;
      });
      const before = await nobody();
      const played = await readMany(READERS, url());
      const last = await nobody();
      const grown = last.mast_resident_memory_bytes - before.mast_resident_memory_bytes;
      t.diagnostic(`${played} played; resident ${(before.mast_resident_memory_bytes / 2 ** 20).toFixed(1)} MiB, grown by ${(grown / 1024).toFixed(0)} KiB over ${READERS}`);
      assert.equal(played, READERS);
      assert.equal(last.mast_reads_total - before.mast_reads_total, READERS);
      assert.ok(grown < 2 * 1024 * 1024 + READERS * 50, `grown by ${grown} bytes`);
      await descriptorsBack(before.mast_open_fds);
    } finally {
      await stopChild(publisher);
    }
  });
}

test("an idle server is small, and hardly uses its core", async (t) => {
  const quiet = await Mast.start({ config: { log: { level: "warn" } } });
  try {
    const from = cost(quiet.pid);
    await sleep(IDLE_S * 1000);
    const to = cost(quiet.pid);
    const [mib, percent] = [to.rss / 1024, ((to.cpu - from.cpu) / IDLE_S) * 100];
    t.diagnostic(`idle: ${mib.toFixed(1)} MiB resident, ${percent.toFixed(2)} % of a core`);
    assert.ok(mib < 30, `${mib} MiB`);
    assert.ok(percent < 5, `${percent} % of a core`);
  } finally {
    await quiet.close();
  }
});
