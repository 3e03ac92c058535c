// SPDX-License-Identifier: Apache-2.0
// Mast and nginx-rtmp side by side: readers a core carries, CPU for a delivered Gbit, memory for a reader, lateness.
//
//   node bench/run.mjs [--quick | --brief] [--only NAME] [--out FILE]
//
// --brief has fewer levels (ten minutes), --quick one round of two levels, to see that it works.
//
// The server has core 0 to itself, the load tool core 1; a run in which the tool took more than 80 % of its core is void.
// A and B alternate, three rounds. What counts is what the players received. Every number is the median of its rounds,
// and only the ratios of one run mean something on a shared machine.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { cpuSeconds, ended, freePort, LOAD, median, option, pinned, reachable, residentKib, sleep, startMast as serve, stop } from "./lib.mjs";

const NGINX_MODULE = "/usr/lib/nginx/modules/ngx_rtmp_module.so";

const quick = process.argv.includes("--quick");
const brief = process.argv.includes("--brief");
const only = option("--only");
const ROUNDS = quick ? 1 : 3;
const SECONDS = quick ? 4 : 6;
const WARMUP = 2;
const TOOL_MAX = 0.8;
const LATE_MAX_MS = 250;

// ---- the servers: start() resolves with {pid, rtmp, ws?, stop} ----

async function startMast(dir, how) {
  const { pid, rtmp, http, child } = await serve(dir, how);
  return { pid, rtmp: `rtmp://127.0.0.1:${rtmp}/live/x`, ws: `ws://127.0.0.1:${http}/live/x/mse`, child };
}

async function startNginx(dir) {
  const rtmp = await freePort();
  const file = join(dir, "nginx.conf");
  writeFileSync(
    file,
    `load_module ${NGINX_MODULE};\nworker_processes 1;\ndaemon off;\nmaster_process off;\npid ${dir}/nginx.pid;\n` +
      `error_log ${dir}/nginx.log warn;\nworker_rlimit_nofile 100000;\nevents { worker_connections 50000; }\n` +
      `rtmp { server { listen 127.0.0.1:${rtmp}; chunk_size 4096; application live { live on; } } }\n`,
  );
  const child = pinned("0", "/usr/sbin/nginx", ["-c", file], { stdio: "ignore" });
  await reachable(rtmp);
  return { pid: child.pid, rtmp: `rtmp://127.0.0.1:${rtmp}/live/x`, child };
}

// ---- one run ----

async function measure(start, { clients, kbps, websocket = false }) {
  const dir = mkdtempSync(join(tmpdir(), "mast-bench-"));
  const server = await start(dir);
  const publisher = pinned("1", LOAD, ["publish", "--url", server.rtmp, "--kbps", String(kbps)], { stdio: "ignore" });
  await sleep(1500);
  const before = residentKib(server.pid);
  const url = websocket ? server.ws : server.rtmp;
  const rate = Math.min(1000, Math.max(100, clients));
  const player = pinned("1", LOAD, ["play", "--url", url, "--clients", String(clients), "--rate", String(rate), "--warmup", String(WARMUP), "--seconds", String(SECONDS)]);
  let out = "";
  let from, to, rss;
  player.stdout.on("data", (d) => (out += d));
  player.stderr.on("data", (d) => {
    const said = String(d);
    if (said.includes("measuring")) {
      from = cpuSeconds(server.pid);
    }
    if (said.includes("measured")) {
      to = cpuSeconds(server.pid);
      rss = residentKib(server.pid);
    }
  });
  await ended(player);
  await stop(publisher, server.child);
  rmSync(dir, { recursive: true, force: true });
  const r = JSON.parse(out);
  const cpu = (to - from) / r.seconds;
  const expected = (clients * kbps) / 1e6;
  return {
    clients,
    cpu,
    gbit: r.gbit_per_s,
    cpuPerGbit: cpu / r.gbit_per_s,
    kibPerReader: (rss - before) / clients,
    p50: r.late_us.p50 / 1000,
    p99: r.late_us.p99 / 1000,
    tool: r.tool_core_share,
    void: r.tool_core_share > TOOL_MAX,
    held: r.playing === clients && r.closed === 0 && r.lost === 0 && r.gbit_per_s > expected * 0.97 && r.late_us.p99 < LATE_MAX_MS * 1000,
  };
}

function summarise(runs) {
  const of = (key) => median(runs.map((r) => r[key]));
  return {
    clients: runs[0].clients, cpu: of("cpu"), gbit: of("gbit"), cpuPerGbit: of("cpuPerGbit"), kibPerReader: of("kibPerReader"),
    p50: of("p50"), p99: of("p99"), tool: of("tool"), held: runs.filter((r) => r.held).length * 2 > runs.length, void: runs.some((r) => r.void),
  }; // prettier-ignore
}

const rows = [];
function report(name, server, s) {
  rows.push({ name, server, ...s });
  const n = (v, d) => v.toFixed(d).padStart(8);
  console.log(
    `${name.padEnd(16)} ${server.padEnd(10)} ${String(s.clients).padStart(6)} readers ${n(s.cpu * 100, 1)} % core ${n(s.gbit, 3)} Gbit/s ` +
      `${n(s.cpuPerGbit, 3)} core/Gbit ${n(s.kibPerReader, 1)} KiB ${n(s.p50, 1)} / ${n(s.p99, 1)} ms p50/p99, tool ${n(s.tool * 100, 0)} %` +
      `${s.void ? " VOID" : ""}${s.held ? "" : " not held"}`,
  );
}

// Each level: A and B alternate for all rounds; a server that did not hold a level is not asked for the next.
async function sideBySide(name, servers, levels, kbps, websocket = false) {
  if (only && !name.includes(only)) {
    return;
  }
  const alive = new Set(Object.keys(servers));
  for (const clients of levels) {
    const runs = Object.fromEntries([...alive].map((s) => [s, []]));
    for (let round = 0; round < ROUNDS; round++) {
      for (const server of alive) {
        runs[server].push(await measure(servers[server], { clients, kbps, websocket }));
      }
    }
    for (const server of [...alive]) {
      const s = summarise(runs[server]);
      report(name, server, s);
      if (!s.held || s.void) {
        alive.delete(server);
      }
    }
    if (alive.size === 0) {
      break;
    }
  }
}

const both = { "nginx-rtmp": startNginx, mast: startMast };
const loops = {
  "1 loop": (dir) => startMast(dir, { loops: 1, cores: "0,1" }),
  "2 loops": (dir) => startMast(dir, { loops: 2, cores: "0,1" }),
};

const levels = (full, fewer, two) => (quick ? two : brief ? fewer : full);
await sideBySide("rtmp 600 kbit/s", both, levels([100, 1000, 2000, 3000, 4000, 5000, 6000, 8000], [100, 2000, 4000, 5000], [500, 1500]), 600);
await sideBySide("rtmp 3 Mbit/s", both, levels([100, 250, 500, 750, 1000, 1250, 1500, 2000], [100, 500, 1000], [200, 500]), 3000);
await sideBySide("mse 600 kbit/s", { mast: startMast }, levels([100, 1000, 2000, 4000], [1000], [500]), 600, true);
await sideBySide("one hot stream", loops, levels([1000, 2000], [1000], [500]), 600);

if (option("--out")) {
  writeFileSync(option("--out"), `${JSON.stringify(rows, null, 1)}\n`);
}
