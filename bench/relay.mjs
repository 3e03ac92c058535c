// SPDX-License-Identifier: Apache-2.0
// One RTMP source into one Janus mountpoint: CPU of relay builtin, of relay ffmpeg as Mast starts it, and of the ffmpeg command that
// streaming_utils 1.0.0 built, for a second of media.
//
//   node bench/relay.mjs [--quick] [--no-audio] [--out FILE]
//
// The source is 1080p30 at 4.5 Mbit/s with B pictures that nothing refers to, encoded once before and published by ffmpeg
// without encoding. Janus is the machine's. What counts for Mast is what it takes with the broadcast more than without it,
// the source published all the time; for ffmpeg the whole process.

import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { Janus } from "../test/e2e/lib/janus.mjs";
import { cpuSeconds, ended, median, option, sleep, startMast, stop } from "./lib.mjs";

const quick = process.argv.includes("--quick");
const audio = !process.argv.includes("--no-audio");
const ROUNDS = quick ? 1 : 3;
const SECONDS = quick ? 5 : 10;
const API_SECRET = "bench";

function encode(dir) {
  const file = join(dir, "source.flv");
  const video = ["-c:v", "libx264", "-preset", "veryfast", "-b:v", "4500k", "-maxrate", "4500k", "-bufsize", "4500k", "-g", "60", "-bf", "2"];
  const args = ["-v", "error", "-y", "-f", "lavfi", "-i", "testsrc2=size=1920x1080:rate=30", "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"];
  // b-pyramid would have to be encoded anew by anybody.
  execFileSync("ffmpeg", [...args, "-t", "10", ...video, "-x264-params", "b-pyramid=none", "-pix_fmt", "yuv420p", "-c:a", "aac", "-b:a", "128k", file]);
  return file;
}

const childrenOf = (pid) =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8")
    .split(" ")
    .filter(Boolean)
    .flatMap((child) => [Number(child), ...childrenOf(child)]);

// Mast, mast-av and relays are all Mast's.
const cpuOfAll = (pid) => [pid, ...childrenOf(pid)].reduce((sum, p) => sum + cpuSeconds(p), 0);

async function usage(measure) {
  const from = measure();
  const began = performance.now();
  await sleep(SECONDS * 1000);
  return (measure() - from) / ((performance.now() - began) / 1000);
}

async function until(what, condition) {
  for (let i = 0; i < 300; i++) {
    if (await condition()) {
      return;
    }
    await sleep(200);
  }
  throw new Error(`never came true: ${what}`);
}

const media = (ports) => [
  { type: "video", mid: "v", codec: "h264", pt: 96, port: ports ?? 0, ...(ports && { iface: "127.0.0.1" }) },
  ...(audio ? [{ type: "audio", mid: "a", codec: "opus", pt: 111, port: ports ? ports + 2 : 0 }] : []),
];

const fresh = async (janus, id) => {
  const info = await janus.mountpoint(id);
  return info.media.every((m) => m.age_ms < 1000);
};

class Bench {
  made = 0;

  async call(method, path, body) {
    const r = await fetch(`http://127.0.0.1:${this.mast.http}/api/v1/${path}`, {
      method,
      headers: { "content-type": "application/json" },
      body: body && JSON.stringify(body),
    });
    const text = await r.text();
    if (!r.ok) {
      throw new Error(`${method} ${path}: ${r.status} ${text}`);
    }
    return text && JSON.parse(text);
  }

  // CPU with a broadcast of this relay, less that without one.
  async ours(relay_kind) {
    const id = `bench-${relay_kind}-${++this.made}`;
    const idle = await usage(() => cpuOfAll(this.mast.pid));
    await this.call("POST", "broadcasts", {
      id,
      source_kind: "stream",
      stream: "live/source",
      relay_kind,
      mountpoint_spec: { id: 7001, media: media() },
    });
    await until(`${relay_kind} runs`, async () => (await this.call("GET", `broadcasts/${id}`)).state === "running" && fresh(this.janus, 7001));
    await sleep(2000); // what history had is sent
    const busy = await usage(() => cpuOfAll(this.mast.pid));
    await this.call("DELETE", `broadcasts/${id}`);
    await until(`${relay_kind} is stopped`, async () => (await this.call("GET", `broadcasts/${id}`)).state === "stopped");
    await this.call("DELETE", `broadcasts/${id}`);
    return busy - idle;
  }

  // -re and all: what streaming_utils 1.0.0 runs, as its lib/ffmpeg.py puts it together.
  async seed() {
    const port = 27100;
    await this.janus.streaming({ request: "create", type: "rtp", id: 7002, media: media(port).map((m) => ({ ...m, iface: "127.0.0.1" })) });
    const to = (p) => ["-f", "rtp", `rtp://127.0.0.1:${p}?pkt_size=1200`];
    const args = ["-nostdin", "-v", "error", "-progress", "pipe:1", "-re", "-i", `rtmp://127.0.0.1:${this.mast.rtmp}/live/source`];
    args.push("-map", "0:v:0", "-c:v", "libx264", ...to(port), ...(audio ? ["-map", "0:a:0", "-c:a", "libopus", ...to(port + 2)] : []));
    const ffmpeg = spawn("ffmpeg", args, { stdio: ["ignore", "pipe", "inherit"] });
    let mediaSeconds = 0;
    ffmpeg.stdout.on("data", (d) => {
      const at = /out_time_us=(\d+)/.exec(d);
      mediaSeconds = at ? Number(at[1]) / 1e6 : mediaSeconds;
    });
    await until("streaming_utils' command sends", () => mediaSeconds > 8); // past what history had
    // It may not keep up: what it took counts by what it sent.
    const from = { cpu: cpuSeconds(ffmpeg.pid), media: mediaSeconds };
    await sleep(SECONDS * 1000);
    const sent = mediaSeconds - from.media;
    const used = (cpuSeconds(ffmpeg.pid) - from.cpu) / sent;
    await stop(ffmpeg);
    await this.janus.streaming({ request: "destroy", id: 7002 });
    console.log(`streaming_utils' command: ${sent.toFixed(1)} s of media in ${SECONDS} s`);
    return used;
  }
}

const dir = mkdtempSync(join(tmpdir(), "mast-bench-"));
const bench = new Bench();
try {
  const file = encode(dir);
  bench.janus = await Janus.start({ apiSecret: API_SECRET });
  const config = join(dir, "mast.yml");
  writeFileSync(
    config,
    `janus: [{name: main, url: "${bench.janus.url}", api_secret: ${API_SECRET}, admin_key: ${bench.janus.streamingKey}, room_admin_key: ${bench.janus.roomKey}}]\n`,
  );
  bench.mast = await startMast(join(dir, "state"), { cores: "0,1", env: { MAST_CONFIG: config } });
  const url = `rtmp://127.0.0.1:${bench.mast.rtmp}/live/source`;
  const publisher = spawn("ffmpeg", ["-nostdin", "-v", "error", "-re", "-stream_loop", "-1", "-i", file, "-c", "copy", "-f", "flv", url], { stdio: "inherit" });
  await until("the source is live", async () => (await bench.call("GET", "streams")).items?.some((s) => s.path === "live/source" && s.ready));
  const rounds = [];
  for (let i = 0; i < ROUNDS; i++) {
    const r = { builtin: await bench.ours("builtin"), ffmpeg: await bench.ours("ffmpeg"), seed: await bench.seed() };
    console.log(JSON.stringify(r));
    rounds.push(r);
  }
  await stop(publisher, bench.mast.child);
  const of = (name) => median(rounds.map((r) => r[name]));
  const row = (what, v) => `| ${what} | ${(v * 100).toFixed(2)} % | ${(v / of("builtin")).toFixed(0)} |`;
  const table = [
    `| 1080p30, 4.5 Mbit/s${audio ? ", AAC to Opus" : ", no sound"} | CPU of a core | times builtin |`,
    "|---|---|---|",
    row("relay builtin", of("builtin")),
    row("relay ffmpeg", of("ffmpeg")),
    row("streaming_utils' command", of("seed")),
  ].join("\n");
  console.log(`\n${table}`);
  if (option("--out")) {
    writeFileSync(option("--out"), `${table}\n`);
  }
} finally {
  await bench.janus?.close();
  if (bench.mast && bench.mast.child.exitCode === null) {
    bench.mast.child.kill("SIGKILL");
    await ended(bench.mast.child);
  }
  rmSync(dir, { recursive: true, force: true });
}
