// SPDX-License-Identifier: Apache-2.0
// Audiences and publishers of synthetic streams (bench/load), and what a process costs while they are there.

import { spawn } from "node:child_process";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";

import { exitOf, sleep, stopChild } from "./mast.mjs";

export const HISTORY_MS = 4000; // streams.history_slack_ms of the engine
const TROUBLES = ["broken", "lost", "bad", "backwards", "skipped", "unavailable"];

const BUILD = process.env.MAST_BUILD ?? new URL("../../../build", import.meta.url).pathname;

// mast-crowd: groups as [label, count, life in seconds (0 stays), url]. What its players saw is added up by label.
export class Crowd {
  constructor(groups, { every = 10, onReport = () => {} } = {}) {
    // The program tells groups apart by a label of their own.
    const args = groups.flatMap(([label, count, life, url], i) => ["--group", `${label}.${i},${count},${life},${url}`]);
    this.child = spawn(join(BUILD, "bench/mast-crowd"), ["--report", String(every), ...args], { stdio: ["ignore", "pipe", "pipe"] });
    this.errors = "";
    this.total = {};
    this.last = null;
    this.reports = 0;
    this.seen = { troubles: 0, waitedMs: [0, 0] }; // by the last troubles(): how many, how long it had waited for a CPU then and before
    this.child.stderr.on("data", (d) => (this.errors = (this.errors + d).slice(-4096)));
    createInterface({ input: this.child.stdout }).on("line", (line) => {
      this.last = this.#sum(JSON.parse(line));
      this.reports++;
      onReport(this.last);
    });
  }

  #sum({ groups, ...report }) {
    const now = {};
    for (const [name, g] of Object.entries(groups)) {
      const label = name.replace(/\.\d+$/, "");
      const { players, playing, gap_ms, late_ms, ...counts } = g;
      const sum = (now[label] ??= { players: 0, playing: 0, gap_ms: 0 });
      const total = (this.total[label] ??= { gap_ms: 0 });
      sum.players += players;
      sum.playing += playing;
      sum.gap_ms = Math.max(sum.gap_ms, gap_ms);
      total.gap_ms = Math.max(total.gap_ms, gap_ms);
      for (const [key, n] of Object.entries(counts)) {
        sum[key] = (sum[key] ?? 0) + n;
        total[key] = (total[key] ?? 0) + n;
      }
    }
    return { ...report, groups: now };
  }

  // Everybody of these groups has seen a frame.
  playing(labels = Object.keys(this.last?.groups ?? {})) {
    return this.last !== null && labels.every((l) => this.last.groups[l].playing === this.last.groups[l].players);
  }

  // What went wrong since the last call, "" when nothing did: "ws: 3 lost". Only players that were not let run for as long as
  // history reaches, at that time or just before, may have had trouble.
  troubles() {
    const all = Object.entries(this.total).flatMap(([label, g]) => TROUBLES.filter((k) => g[k] > 0).map((k) => [label, g[k], k]));
    const sum = all.reduce((n, [, count]) => n + count, 0);
    const waitedMs = waitedForCpu(this.child.pid);
    const isNew = sum > this.seen.troubles && waitedMs - this.seen.waitedMs[0] <= HISTORY_MS;
    this.seen = { troubles: sum, waitedMs: [this.seen.waitedMs[1], waitedMs] };
    return isNew ? `${all.map(([label, n, k]) => `${label}: ${n} ${k}`).join(", ")}; the players waited ${waitedMs} ms for a CPU` : "";
  }

  async stop() {
    return stopChild(this.child, "SIGTERM");
  }
}

export function publishLoad(url, { kbps = 250, audioKbps = 32, fps = 15, gop = 30, seconds = 0, report = 0 } = {}) {
  const options = { kbps, "audio-kbps": audioKbps, fps, gop, seconds, report };
  const args = Object.entries(options).flatMap(([k, v]) => [`--${k}`, String(v)]);
  const child = spawn(join(BUILD, "bench/mast-load"), ["publish", "--url", url, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  child.log = "";
  child.lateMs = 0; // by how much frames were sent too late in the last report, at most
  child.stderr.on("data", (d) => (child.log = (child.log + d).slice(-4096)));
  createInterface({ input: child.stdout }).on("line", (line) => (child.lateMs = JSON.parse(line).late_ms));
  return child;
}

// Publishes for upMs, is away for downMs, over and over; rude: killed in the middle of a frame. A publisher that the server
// refuses while its predecessor's connection is not seen to be dead comes again, as encoders do.
export class Flapper {
  constructor(url, { upMs = 5000, downMs = 1000, rude = false, ...options } = {}) {
    this.count = 0;
    this.refused = 0;
    this.running = true;
    this.done = this.#run(url, upMs, downMs, rude, options);
  }

  async #run(url, upMs, downMs, rude, options) {
    while (this.running) {
      this.child = publishLoad(url, options);
      this.count++;
      const timer = setTimeout(() => this.child.kill(rude ? "SIGKILL" : "SIGTERM"), upMs);
      await exitOf(this.child);
      clearTimeout(timer);
      this.refused += this.child.exitCode === 1 ? 1 : 0;
      await sleep(downMs);
    }
  }

  async stop() {
    this.running = false;
    await stopChild(this.child, "SIGTERM");
    await this.done;
  }
}

// ---- what a process costs ----

export function cost(pid) {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const field = (name) => Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(status)[1]);
  return {
    rss: field("VmRSS"), // KiB
    threads: field("Threads"),
    fds: readdirSync(`/proc/${pid}/fd`).length,
    cpu: cpuSeconds(pid),
  };
}

// The scheduler's own account; /proc/PID/stat samples at the tick and is wrong for what wakes with the clock.
export function cpuSeconds(pid) {
  const threads = readdirSync(`/proc/${pid}/task`);
  return threads.reduce((sum, t) => sum + Number(readFileSync(`/proc/${pid}/task/${t}/schedstat`, "utf8").split(" ")[0]), 0) / 1e9;
}

// For how long, in ms, that thread of the process which was worst off has been ready to run since the start and was not let.
export function waitedForCpu(pid) {
  const threads = readdirSync(`/proc/${pid}/task`);
  return Math.max(...threads.map((t) => Number(readFileSync(`/proc/${pid}/task/${t}/schedstat`, "utf8").split(" ")[1]) / 1e6));
}

export function childrenOf(pid) {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean).map(Number);
}

export function folderBytes(dir) {
  return readdirSync(dir, { withFileTypes: true }).reduce((sum, e) => {
    const path = join(dir, e.name);
    return sum + (e.isDirectory() ? folderBytes(path) : e.isFile() ? statSync(path).size : 0);
  }, 0);
}

// Least squares over [x, y]: the slope and its standard error.
export function slopeOf(points) {
  const n = points.length;
  const mean = (i) => points.reduce((sum, p) => sum + p[i], 0) / n;
  const [mx, my] = [mean(0), mean(1)];
  const sxx = points.reduce((sum, [x]) => sum + (x - mx) ** 2, 0);
  const slope = points.reduce((sum, [x, y]) => sum + (x - mx) * (y - my), 0) / sxx;
  const residual = points.reduce((sum, [x, y]) => sum + (y - my - slope * (x - mx)) ** 2, 0);
  return { slope, error: Math.sqrt(residual / Math.max(1, n - 2) / sxx), mean: my };
}
