// SPDX-License-Identifier: Apache-2.0
// HLS segments from a live stream in Mast and from files in nginx, the same bytes: CPU for a delivered Gbit.
//
//   node bench/hls.mjs [--quick] [--out FILE]
//
// The server has core 0 to itself, wrk core 1. wrk asks for the newest segments of a 3 Mbit/s stream as fast as it is
// answered, so the server's core is full; what counts is the server's CPU time by what wrk received. A and B alternate.

import { execFileSync } from "node:child_process";
import { connect } from "node:net";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { cpuSeconds, ended, freePort, LOAD, median, option, pinned, reachable, residentKib, sleep, startMast, stop } from "./lib.mjs";

const quick = process.argv.includes("--quick");
const ROUNDS = quick ? 1 : 5;
const SECONDS = quick ? 2 : 5;
const KBPS = Number(option("--kbps") ?? 3000);
const SEGMENTS = 4;

const LUA = `
local paths = {}
for path in io.lines(os.getenv("MAST_BENCH_PATHS")) do paths[#paths + 1] = path end
local at = 0
request = function() at = at % #paths + 1 return wrk.format("GET", paths[at]) end
done = function(summary)
  local e = summary.errors
  print(string.format('RESULT {"bytes":%d,"us":%d,"requests":%d,"errors":{"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d}}',
    summary.bytes, summary.duration, summary.requests, e.connect, e.read, e.write, e.status, e.timeout))
end
`;

async function newestSegments(base) {
  for (let i = 0; i < 120; i++) {
    const r = await fetch(`${base}/live/x/~hls/video1.m3u8?plain`).catch(() => undefined);
    const names = r?.ok ? (await r.text()).split("\n").filter((line) => line && !line.startsWith("#")) : [];
    if (names.length > SEGMENTS) {
      return names.slice(-SEGMENTS).map((name) => new URL(name, `${base}/live/x/~hls/`));
    }
    await sleep(500);
  }
  throw new Error("no segments came");
}

async function startNginx(dir, tls) {
  const port = await freePort();
  writeFileSync(
    join(dir, "nginx.conf"),
    `worker_processes 1;\ndaemon off;\nmaster_process off;\npid ${dir}/nginx.pid;\nerror_log ${dir}/nginx.log warn;\n` +
      `worker_rlimit_nofile 100000;\nevents { worker_connections 50000; }\n` +
      `http { access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000; open_file_cache max=1000;\n` +
      `  types { video/mp4 m4s; } server { listen 127.0.0.1:${port}${tls ? " ssl" : ""}; root ${dir}/files;\n` +
      (tls ? `  ssl_certificate ${dir}/tls.pem; ssl_certificate_key ${dir}/tls.key;\n` : "") +
      `  add_header Cache-Control "max-age=86400, immutable"; add_header Access-Control-Allow-Origin "*"; } }\n`,
  );
  const child = pinned("0", "/usr/sbin/nginx", ["-c", join(dir, "nginx.conf"), "-e", join(dir, "nginx.log")], { stdio: "ignore" });
  await reachable(port);
  return { pid: child.pid, http: port, child };
}

async function hammer(dir, server, tls, clients) {
  const scheme = tls ? "https" : "http";
  const tool = pinned("1", "wrk", ["-t1", `-c${clients}`, `-d${SECONDS}`, "--timeout", "30s", "-s", join(dir, "get.lua"), `${scheme}://127.0.0.1:${server.http}/`], {
    env: { ...process.env, MAST_BENCH_PATHS: join(dir, "paths") },
  });
  let out = "";
  tool.stdout.on("data", (d) => (out += d));
  const from = cpuSeconds(server.pid);
  const rss = residentKib(server.pid);
  await sleep(SECONDS * 800);
  const full = residentKib(server.pid);
  await ended(tool);
  const cpu = cpuSeconds(server.pid) - from;
  const r = JSON.parse(/RESULT (.*)/.exec(out)[1]);
  if (Object.values(r.errors).some((n) => n > 0)) {
    throw new Error(`pid ${server.pid}: requests failed: ${JSON.stringify(r.errors)}`);
  }
  const gbit = (r.bytes * 8) / 1e9;
  return { gbitPerS: gbit / (r.us / 1e6), corePerGbit: cpu / gbit, core: cpu / (r.us / 1e6), kibPerClient: (full - rss) / clients, requests: r.requests };
}

const rows = [];
async function sideBySide(tls, clients) {
  const dir = mkdtempSync(join(tmpdir(), "mast-bench-"));
  const state = join(dir, "state");
  mkdirSync(join(dir, "files/live/x/~hls"), { recursive: true });
  mkdirSync(state);
  execFileSync("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
    "-subj", "/CN=localhost", "-keyout", join(dir, "tls.key"), "-out", join(dir, "tls.pem")], { stdio: "ignore" }); // prettier-ignore
  const env = { MAST_HLS_SEGMENTS: "200", MAST_HLS_MEMORY_MAX: "1GiB" };
  if (tls) {
    Object.assign(env, { MAST_HTTP_TLS_ENABLED: "true", MAST_HTTP_TLS_PLAIN: "true",
      MAST_HTTP_TLS_CERTIFICATE: join(dir, "tls.pem"), MAST_HTTP_TLS_KEY: join(dir, "tls.key") }); // prettier-ignore
  }
  const mast = await startMast(state, { env });
  const publisher = pinned("1", LOAD, ["publish", "--url", `rtmp://127.0.0.1:${mast.rtmp}/live/x`, "--kbps", String(KBPS)], { stdio: "ignore" });
  const urls = await newestSegments(`http://127.0.0.1:${mast.http}`);
  for (const url of urls) {
    writeFileSync(join(dir, "files", url.pathname), Buffer.from(await (await fetch(url)).arrayBuffer()));
  }
  writeFileSync(join(dir, "paths"), `${urls.map((url) => url.pathname).join("\n")}\n`);
  writeFileSync(join(dir, "get.lua"), LUA);
  const nginx = await startNginx(dir, tls);
  // Files are there as long as somebody asks for playlists, as players do.
  const watching = setInterval(() => fetch(`http://127.0.0.1:${mast.http}/live/x/~hls/video1.m3u8`).then((r) => r.text()), 1000);
  const runs = { nginx: [], mast: [] };
  for (let round = 0; round < ROUNDS; round++) {
    runs.nginx.push(await hammer(dir, nginx, tls, clients));
    runs.mast.push(await hammer(dir, mast, tls, clients));
  }
  clearInterval(watching);
  await stop(publisher, mast.child, nginx.child);
  rmSync(dir, { recursive: true, force: true });
  for (const [server, of] of Object.entries(runs)) {
    const m = (key) => median(of.map((r) => r[key]));
    const row = { tls, clients, server, corePerGbit: m("corePerGbit"), gbitPerS: m("gbitPerS"), core: m("core"), kibPerClient: m("kibPerClient") };
    rows.push(row);
    console.log(`${tls ? "https" : "http "} ${String(clients).padStart(5)} clients ${server.padEnd(6)} ${row.corePerGbit.toFixed(4)} core/Gbit ` +
      `${row.gbitPerS.toFixed(2).padStart(6)} Gbit/s ${(row.core * 100).toFixed(0).padStart(4)} % core ${row.kibPerClient.toFixed(1).padStart(7)} KiB a client`); // prettier-ignore
  }
  const ratio = median(runs.mast.map((r, i) => r.corePerGbit / runs.nginx[i].corePerGbit));
  console.log(`${tls ? "https" : "http "} ${String(clients).padStart(5)} clients mast / nginx ${ratio.toFixed(2)}`);
}

const levels = option("--clients") ? [Number(option("--clients"))] : quick ? [50] : [50, 500];
const schemes = process.argv.includes("--waiting") ? [] : process.argv.includes("--tls") ? [true] : [false, true];
for (const tls of schemes) {
  for (const clients of levels) {
    await sideBySide(tls, clients);
  }
}

// Players that wait for the next part: of a stream that stands still, and of one that runs (a reload every 300 ms each).
async function waiting(clients) {
  const dir = mkdtempSync(join(tmpdir(), "mast-bench-"));
  const mast = await startMast(dir);
  const publisher = pinned("1", LOAD, ["publish", "--url", `rtmp://127.0.0.1:${mast.rtmp}/live/x`, "--kbps", "600"], { stdio: "ignore" });
  const base = `http://127.0.0.1:${mast.http}`;
  await newestSegments(base);
  let reloads = 0;
  const next = (text) => {
    const msn = /#EXT-X-PRELOAD-HINT:TYPE=PART,URI="video1-(\d+)\.(\d+)/.exec(text);
    return `/live/x/~hls/video1.m3u8?_HLS_msn=${msn[1]}&_HLS_part=${msn[2]}`;
  };
  const ask = (socket, path) => socket.write(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`);
  const player = () =>
    new Promise((done, failed) => {
      const socket = connect(mast.http, "127.0.0.1", () => done(socket));
      let held = "";
      socket.on("error", failed);
      socket.on("data", (data) => {
        held += data.toString("latin1");
        const head = held.indexOf("\r\n\r\n");
        const length = head < 0 ? NaN : Number(/Content-Length: (\d+)/i.exec(held)[1]);
        if (held.length >= head + 4 + length) {
          const text = held.slice(head + 4);
          const ok = held.startsWith("HTTP/1.1 200");
          held = "";
          reloads += ok;
          setImmediate(() => ok && !socket.destroyed && ask(socket, next(text)));
        }
      });
    });
  const before = residentKib(mast.pid);
  const sockets = [];
  for (let i = 0; i < clients; i++) {
    sockets.push(await player());
  }
  const first = await (await fetch(`${base}/live/x/~hls/video1.m3u8`)).text();
  sockets.forEach((socket) => ask(socket, next(first)));
  await sleep(3000);
  const running = { cpu: cpuSeconds(mast.pid), at: performance.now(), reloads };
  await sleep(SECONDS * 1000);
  const seconds = (performance.now() - running.at) / 1000;
  const busy = (cpuSeconds(mast.pid) - running.cpu) / seconds;
  const rate = (reloads - running.reloads) / seconds;
  publisher.kill("SIGSTOP");
  await sleep(1500);
  const [from, at, counted] = [cpuSeconds(mast.pid), performance.now(), reloads];
  await sleep(3000);
  const idle = (cpuSeconds(mast.pid) - from) / ((performance.now() - at) / 1000);
  const kib = (residentKib(mast.pid) - before) / clients;
  console.log(`blocking reload ${clients} players: ${(busy * 100).toFixed(1)} % core at ${rate.toFixed(0)} reloads/s; ` +
    `waiting ${(idle * 100).toFixed(2)} % core (${reloads - counted} answers meanwhile), ${kib.toFixed(2)} KiB a player`); // prettier-ignore
  rows.push({ waiting: clients, busy, rate, idle, kibPerClient: kib });
  publisher.kill("SIGCONT");
  sockets.forEach((socket) => socket.destroy());
  await stop(publisher, mast.child);
  rmSync(dir, { recursive: true, force: true });
}

await waiting(quick ? 1000 : 5000);

if (option("--out")) {
  writeFileSync(option("--out"), `${JSON.stringify(rows, null, 1)}\n`);
}
