// SPDX-License-Identifier: Apache-2.0
// What the benchmarks share: servers and load tools pinned to their cores, and the accounts of the kernel.

import { spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const BUILD = process.env.MAST_BUILD ?? join(ROOT, "build");
export const MAST = process.env.MAST_BIN ?? join(BUILD, "src/app/mast");
export const LOAD = join(BUILD, "bench/mast-load");

export const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
export const median = (values) => values.slice().sort((a, b) => a - b)[Math.floor(values.length / 2)];

export const option = (name) => {
  const at = process.argv.indexOf(name);
  return at > 0 ? process.argv[at + 1] : undefined;
};

export async function freePort() {
  const server = createServer();
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address();
  await new Promise((done) => server.close(done));
  return port;
}

export async function reachable(port) {
  for (let i = 0; i < 200; i++) {
    const ok = await new Promise((done) => {
      const socket = connect(port, "127.0.0.1", () => (socket.destroy(), done(true)));
      socket.on("error", () => done(false));
    });
    if (ok) {
      return;
    }
    await sleep(50);
  }
  throw new Error(`nothing listens on ${port}`);
}

// The scheduler's own account in nanoseconds; /proc/PID/stat samples at the tick and is wrong for what wakes with the clock.
export function cpuSeconds(pid) {
  const threads = readdirSync(`/proc/${pid}/task`);
  return threads.reduce((sum, t) => sum + Number(readFileSync(`/proc/${pid}/task/${t}/schedstat`, "utf8").split(" ")[0]), 0) / 1e9;
}

export function residentKib(pid) {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))[1]);
}

export const pinned = (cores, program, args, options) => spawn("taskset", ["-c", cores, program, ...args], options);

export async function ended(child) {
  if (child.exitCode === null && child.signalCode === null) {
    await new Promise((done) => child.once("exit", done));
  }
}

export async function stop(...children) {
  for (const child of children) {
    child.kill("SIGTERM");
    await ended(child);
  }
}

// A mast with its own state folder. ret.rtmp and ret.http are ports.
export async function startMast(dir, { loops = 1, cores = "0", env = {} } = {}) {
  const [rtmp, http] = [await freePort(), await freePort()];
  const child = pinned(cores, MAST, ["serve"], {
    stdio: "ignore",
    env: {
      ...process.env,
      MAST_CONFIG: "",
      MAST_STATE_DIR: dir,
      MAST_LOOPS: String(loops),
      MAST_RTMP_PORT: String(rtmp),
      MAST_HTTP_PORT: String(http),
      MAST_RTMPS_ENABLED: "false",
      ...env,
    },
  });
  await reachable(rtmp);
  await reachable(http);
  return { pid: child.pid, rtmp, http, child };
}
