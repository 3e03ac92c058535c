// SPDX-License-Identifier: Apache-2.0
// Hours at 500 mixed readers with publishers that flap every five seconds, readers that come and go, reloads, API calls and
// event listeners (issue 3, "What must hold" 5). Writes MAST_SOAK_REPORT (default: soak.json in the build folder).
//
//   MAST_SOAK_MINUTES  240 when not given; 20 with MAST_ASAN=1
//   MAST_ASAN     1: MAST_BIN is a build with AddressSanitizer, whose memory is not judged, only what it reports

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { makeCertificate } from "../lib/certificate.mjs";
import { childrenOf, cost, Crowd, Flapper, folderBytes, publishLoad, slopeOf, waitedForCpu } from "../lib/crowd.mjs";
import { eventually, Mast, sleep, stopChild } from "../lib/mast.mjs";

const ASAN = process.env.MAST_ASAN === "1";
const MINUTES = Number(process.env.MAST_SOAK_MINUTES ?? (ASAN ? 20 : 240));
const EVERY_S = 10;
const WARM_UP = Math.min(10 * 60, MINUTES * 60 * 0.25);
const REPORT = process.env.MAST_SOAK_REPORT ?? join(process.env.MAST_BUILD ?? "/tmp", "soak.json");
const KBPS = Number(process.env.MAST_SOAK_KBPS ?? 250);

// The longest that a player of a stream that is always there may wait from frame to frame, beyond what the publisher and the
// load program were late themselves, and what the server had to wait for a CPU that others had: lost turns of a busy machine, the length of a part, two segments.
const GAP_MAX_MS = { rtmp: 1500, ws: 1500, wss: 1500, llhls: 2500, llhlss: 2500, hls: 6500 };

const FLAT_KIB_PER_HOUR = 1024;

let mast;

// [label, players, life, url]; the steady ones carry the name of their kind.
function audience() {
  const at = (scheme, path) =>
    ({
      rtmp: `rtmp://127.0.0.1:${mast.rtmpPort}/${path}`,
      ws: `ws://127.0.0.1:${mast.httpPort}/${path}/mse`,
      wss: `wss://127.0.0.1:${mast.httpPort}/${path}/mse`,
    })[scheme] ?? `${scheme}://127.0.0.1:${mast.httpPort}/${path}`;
  const spread = (label, scheme, count, life, paths) =>
    paths.map((p, i) => [label, Math.floor((count + paths.length - 1 - i) / paths.length), life, at(scheme, p)]);
  const steady = ["live/steady-1", "live/steady-2", "live/steady-3"];
  const flapping = ["live/flap-1", "live/flap-2", "live/flap-3", "live/flap-4"];
  return [
    ...spread("rtmp", "rtmp", 100, 0, steady),
    ...spread("ws", "ws", 80, 0, steady),
    ...spread("wss", "wss", 40, 0, steady),
    ...spread("hls", "hls", 80, 0, steady),
    ...spread("llhls", "llhls", 60, 0, steady),
    ...spread("llhlss", "llhlss", 20, 0, steady),
    ...spread("flap-rtmp", "rtmp", 20, 0, flapping),
    ...spread("flap-ws", "ws", 20, 0, flapping),
    ...spread("flap-hls", "hls", 10, 0, flapping),
    ...spread("flap-llhls", "llhls", 10, 0, flapping),
    ...spread("guest-rtmp", "rtmp", 20, 15, steady),
    ...spread("guest-ws", "ws", 15, 15, [...steady, ...flapping]),
    ...spread("guest-wss", "wss", 10, 15, steady),
    ...spread("guest-hls", "hls", 5, 30, steady),
    ...spread("guest-llhls", "llhls", 10, 15, [...steady, ...flapping]),
  ];
}

const get = async (path, options) => {
  const reply = await fetch(mast.url + path, options);
  return { status: reply.status, text: await reply.text() };
};

async function metrics() {
  const values = {};
  for (const line of (await get("/metrics")).text.split("\n").filter((l) => l && !l.startsWith("#"))) {
    values[line.slice(0, line.lastIndexOf(" "))] = Number(line.slice(line.lastIndexOf(" ") + 1));
  }
  return values;
}

// ---- what goes on beside the media; each runs until `over` ----

const seen = { api: 0, apiFailed: [], events: 0, eventClients: 0, reloads: 0, certificates: 0, flaps: 0, refused: 0 };
let over = false;

async function callApi() {
  const calls = ["/api/v1/streams", "/api/v1/streams/live/steady-1", "/api/v1/version", "/metrics", "/live/steady-2", "/api/v1/nonsense"];
  while (!over) {
    for (const path of calls) {
      const { status } = await get(path);
      seen.api++;
      if (status !== (path.endsWith("nonsense") ? 404 : 200)) {
        seen.apiFailed.push(`${path}: ${status}`);
      }
    }
    await sleep(2000);
  }
}

async function listen(lifeMs) {
  while (!over) {
    const stop = new AbortController();
    const timer = setTimeout(() => stop.abort(), lifeMs * (0.5 + Math.random()));
    seen.eventClients++;
    try {
      const reply = await fetch(`${mast.url}/api/v1/events`, { signal: stop.signal });
      for await (const part of reply.body) {
        seen.events += Buffer.from(part).toString().split("\ndata: ").length - 1;
        if (over) {
          stop.abort();
        }
      }
    } catch (e) {
      if (!stop.signal.aborted) {
        seen.apiFailed.push(`events: ${e.message}`);
        await sleep(1000);
      }
    }
    clearTimeout(timer);
  }
}

async function reloadNowAndThen() {
  for (let i = 1; !over; i++) {
    await sleep(15000);
    mast.config.log.level = i % 2 ? "warn" : "info";
    mast.config.http.hosts = i % 3 ? ["mast.example.org"] : [];
    mast.config.streams = { fanout_wait: i % 2 ? "20ms" : "40ms" };
    await mast.writeConfig();
    if (i % 4 === 0) {
      makeCertificate({ certificate: join(mast.dir, "tls.crt"), key: join(mast.dir, "tls.key") }, "soak");
      seen.certificates++;
    }
    const { status, text } = await get("/api/v1/reload", { method: "POST" });
    seen.reloads++;
    if (status !== 200) {
      seen.apiFailed.push(`reload: ${status} ${text}`);
    }
  }
}

// ---- the judgement ----

// What waited longer than it may, and was not kept waiting by who sends or by who counts.
function stallsOf(report, lateMs) {
  const excuse = report.own_late_ms + lateMs;
  return Object.entries(GAP_MAX_MS)
    .map(([label, max]) => ({ at: report.seconds, label, gap_ms: report.groups[label].gap_ms, excuse_ms: excuse, max }))
    .filter((s) => s.gap_ms - excuse > s.max);
}

function judge(samples, from) {
  const kept = samples.filter((s) => s.seconds >= from);
  const over = (key) => slopeOf(kept.map((s) => [s.seconds / 3600, s[key]]));
  const range = (key) => [Math.min(...kept.map((s) => s[key])), Math.max(...kept.map((s) => s[key]))];
  const cpu = (samples.at(-1).cpu - samples[0].cpu) / (samples.at(-1).seconds - samples[0].seconds);
  return {
    samples: kept.length,
    rss_kib: { ...over("rss"), range: range("rss") },
    fds: { ...over("fds"), range: range("fds") },
    threads: range("threads"),
    store_bytes: range("store"),
    media_memory_bytes: range("media"),
    log_bytes_per_hour: Math.round((samples.at(-1).log - samples[0].log) / (samples.at(-1).seconds - samples[0].seconds) * 3600),
    core: Number(cpu.toFixed(4)),
  };
}

test(`${MINUTES} minutes at 500 mixed readers, publishers flapping every 5 s`, async (t) => {
  mast = await Mast.start({ config: { watch: false, log: { level: "info" }, http: { tls: { enabled: true, plain: true } } } });
  t.after(() => mast.stop());
  Object.defineProperty(mast, "url", { value: `http://127.0.0.1:${mast.httpPort}` });
  makeCertificate({ certificate: join(mast.dir, "tls.crt"), key: join(mast.dir, "tls.key") }, "soak");
  const files = { certificate: join(mast.dir, "tls.crt"), key: join(mast.dir, "tls.key") };
  Object.assign(mast.config.http.tls, files);
  Object.assign(mast.config.rtmps, files);
  await mast.writeConfig();
  assert.equal((await get("/api/v1/reload", { method: "POST" })).status, 200);

  let logged = 0;
  mast.child.stderr.on("data", (d) => (logged += d.length));
  const steady = [1, 2, 3].map((i) => publishLoad(mast.rtmp(`live/steady-${i}`), { kbps: KBPS, report: EVERY_S }));
  const flappers = [1, 2, 3, 4].map((i) => new Flapper(mast.rtmp(`live/flap-${i}`), { kbps: KBPS, rude: i <= 2 }));
  // One that is away for longer than its readers are kept: its stream ends each time.
  flappers.push(new Flapper(mast.rtmp("live/ends"), { kbps: KBPS, downMs: 13000 }));
  await Promise.all(["live/steady-1", "live/steady-2", "live/steady-3"].map((p) => mast.onAir(p)));

  const samples = [];
  const stalls = [];
  let [lateBefore, failed, waited] = [0, null, waitedForCpu(mast.pid)];
  const onReport = async (report) => {
    if (over) {
      return; // they are leaving
    }
    const late = Math.max(...steady.map((p) => p.lateMs));
    // The two reports are not in step: a lateness may show in the next one.
    try {
      const waitedNow = waitedForCpu(mast.pid);
      stalls.push(...stallsOf(report, Math.max(late, lateBefore) + waitedNow - waited));
      [lateBefore, waited] = [late, waitedNow];
      const m = await metrics();
      samples.push({
        seconds: report.seconds,
        ...cost(mast.pid),
        store: folderBytes(mast.dir),
        log: logged,
        media: m.mast_media_memory_bytes,
        buffers: m.mast_buffers,
        samples: m.mast_samples,
        streams: m.mast_streams,
        connections: m.mast_http_connections,
        playing: Object.values(report.groups).reduce((sum, g) => sum + g.playing, 0),
      });
    } catch (e) {
      failed ??= e;
    }
  };
  const crowd = new Crowd(audience(), { every: EVERY_S, onReport });
  const alive = () => mast.child.exitCode === null && mast.child.signalCode === null;
  const report = () => {
    const result = { minutes: MINUTES, asan: ASAN, ended: !alive(), ...judge(samples, WARM_UP), seen, stalls, groups: crowd.total, samples };
    seen.flaps = flappers.reduce((sum, f) => sum + f.count, 0);
    seen.refused = flappers.reduce((sum, f) => sum + f.refused, 0);
    writeFileSync(REPORT, `${JSON.stringify(result, null, 1)}\n`);
    return result;
  };
  let broken = null;
  const others = [callApi(), listen(1e9), listen(1e9), listen(10000), listen(20000), reloadNowAndThen()].map((work) =>
    work.catch((e) => (broken ??= e)),
  );
  const until = Date.now() + MINUTES * 60000;
  while (Date.now() < until && alive() && !failed && !broken) {
    await sleep(EVERY_S * 1000);
    if (samples.length > 3) {
      report(); // what there is, should the machine be switched off
    }
  }
  const died = !alive();
  const enough = flappers.every((f) => f.count >= MINUTES * 2);
  over = true;
  await crowd.stop();
  await Promise.all(flappers.map((f) => f.stop()));
  const exits = await Promise.all(steady.map((p) => stopChild(p)));
  await Promise.race([Promise.all(others), sleep(60000)]);
  if (died) {
    await stopChild(mast.child);
  }
  assert.ok(!died, `mast ended with ${mast.child.exitCode ?? mast.child.signalCode}:\n${mast.log.slice(-8000)}`);
  assert.equal(failed ?? broken, null);
  assert.deepEqual(exits.map((e) => e.code), [0, 0, 0], "a steady publisher was cut off");
  assert.ok(enough, "publishers flapped");
  const result = report();
  t.diagnostic(JSON.stringify({ ...result, samples: result.samples.length, seen }));

  // Nobody was lost, nothing was missing, nothing went backwards.
  for (const label of Object.keys(GAP_MAX_MS)) {
    const g = crowd.total[label];
    for (const key of ["broken", "bad", "backwards", "lost", "skipped", "unavailable"]) {
      assert.equal(g[key], 0, `${label}: ${key}`);
    }
    assert.ok(g.frames > 0);
  }
  for (const [label, g] of Object.entries(crowd.total)) {
    assert.equal(g.broken, 0, `${label}: broken`);
    assert.equal(g.bad, 0, `${label}: bad`);
    assert.equal(g.backwards, 0, `${label}: backwards`);
  }
  assert.deepEqual(stalls, []);
  assert.deepEqual(seen.apiFailed.slice(0, 5), []);

  // Flat, as far as the noise tells.
  assert.equal(result.threads[0], result.threads[1], "threads");
  if (!ASAN) {
    const { slope, error } = result.rss_kib;
    assert.ok(slope - 2 * error < FLAT_KIB_PER_HOUR, `RSS rises by ${slope.toFixed(0)} ± ${error.toFixed(0)} KiB/h`);
  }
  const fds = result.fds;
  assert.ok(fds.slope - 2 * fds.error < 3, `descriptors rise by ${fds.slope.toFixed(1)} ± ${fds.error.toFixed(1)} an hour`);

  // And when everybody has left, nothing is left.
  const gauges = ["mast_publishers", "mast_readers", "mast_replicas", "mast_streams", "mast_samples", "mast_mse_sessions", "mast_hls_streams", "mast_media_memory_bytes", "mast_event_clients"];
  await eventually("all gauges are zero", async () => {
    const m = await metrics();
    return gauges.every((g) => m[g] === 0) || assert.fail(gauges.filter((g) => m[g] !== 0).map((g) => `${g} ${m[g]}`).join(", "));
  });
  assert.deepEqual(childrenOf(mast.pid), []);
  await mast.close();
});
