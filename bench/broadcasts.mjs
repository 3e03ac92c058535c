// SPDX-License-Identifier: Apache-2.0
// Broadcasts with a real Janus: how many start and stop a second, what a running one costs, how soon its first picture is there.
//
//   node bench/broadcasts.mjs [--quick] [--only rate|idle|forwards|first] [--check 2s] [--out FILE]
//
// Broadcasts of the API, each with a room and a mountpoint (video and audio) of its own and nobody in it, or, of one publisher in
// a browser, with a mountpoint and a forward. Janus, browser, server and this program share the machine, unpinned: what a start
// costs is mostly Janus' (a thread and sockets for each mountpoint).

import { rmSync, writeFileSync } from "node:fs";

import { janusConfig } from "../test/e2e/lib/broadcast.mjs";
import { Janus } from "../test/e2e/lib/janus.mjs";
import { Mast } from "../test/e2e/lib/mast.mjs";
import { enterOwnNetwork } from "../test/e2e/lib/netns.mjs";
import { WebrtcBrowser } from "../test/e2e/lib/webrtc-page.mjs";
import { cpuSeconds, median, option, residentKib, sleep } from "./lib.mjs";

enterOwnNetwork();

const quick = process.argv.includes("--quick");
const BATCH = quick ? 20 : 200;
const LEVELS = quick ? [10, 20] : [250, 500, 1000];
const FORWARD_LEVELS = quick ? [10] : [250, 1000];
const AT_ONCE = 50; // while a level fills
const SECONDS = quick ? 4 : 20;
const OPENS = quick ? 3 : 10;
const ROOM = 1;
const rows = [];

// Broadcasts by number, each with its own room and mountpoint.
const MEDIA = [
  { type: "video", mid: "v", port: 0, pt: 96, codec: "h264", fmtp: "packetization-mode=1;profile-level-id=42e01f;level-asymmetry-allowed=1" },
  { type: "audio", mid: "a", port: 0, pt: 111, codec: "opus" },
];
const slot = (n) => ({
  source_kind: "frontend_owned",
  room_id: 100000 + n,
  room_spec: { publishers: 2 },
  mountpoint_spec: { id: 200000 + n, media: MEDIA },
});
const ofPublisher = (publisher, media) => (n) => ({
  source_kind: "videoroom",
  room_id: ROOM,
  publisher_id: publisher.id,
  mountpoint_spec: { id: 300000 + n, media },
});

async function ask(mast, method, path, body) {
  const init = body ? { method, body: JSON.stringify(body), headers: { "content-type": "application/json" } } : { method };
  const reply = await mast.fetch(`/api/v1/broadcasts${path}?wait=60s`, init);
  const result = JSON.parse(reply.text);
  if (reply.status >= 300) {
    throw new Error(`${method} ${path}: ${reply.status} ${reply.text}`);
  }
  return result;
}

async function start(mast, request) {
  const { broadcast_id, state, reason } = await ask(mast, "POST", "", request);
  if (state !== "running") {
    throw new Error(`${broadcast_id} is ${state}: ${reason}`);
  }
  return broadcast_id;
}

async function stop(mast, id) {
  const { state, reason } = await ask(mast, "DELETE", `/${id}`);
  if (state !== "stopped") {
    throw new Error(`${id} is ${state}: ${reason}`);
  }
}

// Does each() with all of them, so many at once: {seconds, results}.
async function all(items, atOnce, each) {
  const from = performance.now();
  const queue = items.slice();
  const results = [];
  const work = async () => {
    for (let next = queue.shift(); next; next = queue.shift()) {
      results.push(await each(next));
    }
  };
  await Promise.all(Array.from({ length: atOnce }, work));
  return { seconds: (performance.now() - from) / 1000, results };
}

const numbers = (from, to) => Array.from({ length: to - from }, (_, i) => from + i);

// Media of its own for each: ports for as many as there are, in a network where all are free.
async function servers() {
  const janus = await Janus.start({ streaming: { rtp_port_range: "33000-60999" }, general: { debug_level: 2 } });
  try {
    const config = { ...janusConfig(janus), log: { level: "warn" }, broadcasts: { check: option("--check") ?? "2s", keep: 1 } };
    const mast = await Mast.start({ config });
    const close = async () => {
      await mast.stop("SIGKILL"); // with all that still runs: Janus goes too
      rmSync(mast.dir, { recursive: true, force: true });
      await janus.close();
    };
    return { janus, mast, close };
  } catch (e) {
    await janus.close();
    throw e;
  }
}

function report(row, text) {
  rows.push(row);
  console.log(text);
}

// ---- how many a second ----

async function rate() {
  const { janus, mast, close } = await servers();
  await start(mast, slot(0)); // the connection to Janus is there from now on
  for (const atOnce of [1, BATCH]) {
    const requests = numbers(1, BATCH + 1).map(slot);
    const cpu = () => [cpuSeconds(mast.pid), cpuSeconds(janus.pid)];
    const before = cpu();
    const starts = await all(requests, atOnce, (r) => start(mast, r));
    const between = cpu();
    const stops = await all(starts.results, atOnce, (id) => stop(mast, id));
    const after = cpu();
    const ms = (from, to) => from.map((v, i) => (((to[i] - v) * 1000) / BATCH).toFixed(2));
    const [started, stopped] = [BATCH / starts.seconds, BATCH / stops.seconds];
    const [up, down] = [ms(before, between), ms(between, after)];
    report(
      { what: "rate", atOnce, started, stopped, startCpuMs: up, stopCpuMs: down },
      `${BATCH} broadcasts, ${String(atOnce).padStart(3)} at once: ${started.toFixed(0)} started/s (CPU each: mast ${up[0]} ms, Janus ${up[1]} ms), ` +
        `${stopped.toFixed(0)} stopped/s (mast ${down[0]} ms, Janus ${down[1]} ms)`,
    );
  }
  await close();
}

// ---- what running ones cost ----

async function level(what, { mast, janus }, make, from, to, empty) {
  await all(numbers(from, to).map(make), AT_ONCE, (r) => start(mast, r));
  await sleep(5000); // some rounds of checks: what they hold is there
  const [at, m, j] = [performance.now(), cpuSeconds(mast.pid), cpuSeconds(janus.pid)];
  await sleep(SECONDS * 1000);
  const seconds = (performance.now() - at) / 1000;
  const [mastCpu, janusCpu] = [(cpuSeconds(mast.pid) - m) / seconds, (cpuSeconds(janus.pid) - j) / seconds];
  const rss = residentKib(mast.pid);
  const kib = (rss - empty) / to;
  report(
    { what, running: to, rss, kib, mastCpu, janusCpu },
    `${String(to).padStart(5)} running ${what}: mast ${rss} KiB resident, ${kib.toFixed(1)} KiB each; CPU of a core: ` +
      `mast ${(mastCpu * 100).toFixed(1)} %, Janus ${(janusCpu * 100).toFixed(1)} %`,
  );
}

async function fill(what, s, make, levels) {
  await stop(s.mast, await start(s.mast, make(0)));
  await sleep(1000);
  const empty = residentKib(s.mast.pid);
  report({ what, running: 0, rss: empty }, `    0 running ${what}: mast ${empty} KiB resident`);
  let from = 0;
  for (const to of levels) {
    await level(what, s, make, from, to, empty);
    from = to;
  }
}

async function idle() {
  const slots = await servers();
  await fill("slots", slots, slot, LEVELS);
  await slots.close();
}

// One small picture a second: what is measured is the server, not how Janus forwards.
async function forwards() {
  const s = await servers();
  const browser = await WebrtcBrowser.start();
  await s.janus.videoroom({ request: "create", room: ROOM, publishers: 4, videocodec: "h264" });
  const publisher = await browser.publish(s.janus, { room: ROOM, size: [160, 120], rate: 1, audio: false });
  await fill("forwards of one publisher", s, ofPublisher(publisher, MEDIA.slice(0, 1)), FORWARD_LEVELS);
  await browser.close();
  await s.close();
}

// ---- the first picture ----

async function first() {
  const { janus, mast, close } = await servers();
  const browser = await WebrtcBrowser.start();
  await janus.videoroom({ request: "create", room: ROOM, publishers: 4, videocodec: "h264" });
  const publisher = await browser.publish(janus, { room: ROOM, size: [640, 360] });
  const request = ofPublisher(publisher, MEDIA);
  let viewer;
  const runs = [];
  for (let n = 0; n <= OPENS; n++) {
    const from = performance.now();
    const id = await start(mast, request(n));
    const up = performance.now();
    if (viewer) {
      viewer.options.id = 300000 + n;
      await viewer.watch(); // in the page that is open: a tab is no part of it
    } else {
      viewer = await browser.watch(janus, { id: 300000 + n });
    }
    const connected = performance.now();
    while (!((await viewer.stats()).tracks.find((t) => t.kind === "video")?.frames > 0)) {
      await sleep(5);
    }
    runs.push({ up: up - from, connected: connected - up, waited: performance.now() - connected, picture: performance.now() - from });
    await viewer.call("leave");
    await stop(mast, id);
  }
  runs.shift(); // opened the tab and the connection to Janus
  const of = (key) => runs.map((r) => r[key]);
  const [up, connected, waited, picture] = ["up", "connected", "waited", "picture"].map((key) => median(of(key)));
  const worst = Math.max(...of("picture"));
  report(
    { what: "first", up, connected, waited, picture, worst },
    `first decoded picture after the POST, ${OPENS} times: median ${picture.toFixed(0)} ms, worst ${worst.toFixed(0)} ms; ` +
      `running after ${up.toFixed(0)} ms, viewer connected ${connected.toFixed(0)} ms later, picture ${waited.toFixed(0)} ms after that`,
  );
  await browser.close();
  await close();
}

for (const [name, measure] of Object.entries({ rate, idle, forwards, first })) {
  if (!option("--only") || option("--only") === name) {
    await measure();
  }
}
if (option("--out")) {
  writeFileSync(option("--out"), `${JSON.stringify(rows, null, 1)}\n`);
}
process.exit(0); // connections of fetch() that are kept alive
