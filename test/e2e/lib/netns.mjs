// SPDX-License-Identifier: Apache-2.0
// Runs a test file in a network of its own: a loopback device, and a pair of devices that lead nowhere with the address
// NET_ADDRESS, since WebRTC does not use loopback. For programs that listen on every address, that look for updates, or whose
// ports are fixed. What the file starts is in there too, and what is left when it ends fails the test and is ended.

import { spawn, spawnSync } from "node:child_process";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";

import { eventually, exitOf, PATIENCE_MS } from "./mast.mjs";

export const NET_ADDRESS = "10.77.0.1";

const SETUP = `ip link set lo up &&
ip link add mast0 type veth peer name mast1 && ip addr add ${NET_ADDRESS}/24 dev mast0 && ip link set mast0 up && ip link set mast1 up`;

// Root needs no user namespace (and in a chroot may not have one); anybody else is root in one.
const UNSHARE = process.getuid() === 0 ? ["-n"] : ["-r", "-n"];

// What a kernel says that gives no user namespaces, no network namespaces, or no pairs of devices. Programs that are missing
// are no such reason.
const REFUSED = /not permitted|Permission denied|Invalid argument|No space left|not supported|Unknown device type/;

// Why there can be no such network here, "" when there can.
function obstacle() {
  const tried = spawnSync("unshare", [...UNSHARE, "sh", "-c", SETUP], { encoding: "utf8" });
  return tried.status !== 0 && REFUSED.test(tried.stderr ?? "") ? tried.stderr.trim() : "";
}

const networkOf = (pid) => readlinkSync(`/proc/${pid}/ns/net`);

// The processes in the network of that name, as /proc/PID/ns/net has it: {pid, parent, command}.
export function processesIn(network = networkOf("self")) {
  const found = [];
  for (const entry of readdirSync("/proc")) {
    try {
      if (/^\d+$/.test(entry) && networkOf(entry) === network) {
        const stat = readFileSync(`/proc/${entry}/stat`, "latin1");
        const [state, parent] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
        const command = readFileSync(`/proc/${entry}/cmdline`, "utf8").split("\0").join(" ").trim();
        if (state !== "Z") {
          found.push({ pid: Number(entry), parent: Number(parent), command: command || stat.split(/[()]/)[1] });
        }
      }
    } catch {
      // ended meanwhile, or not ours to look at
    }
  }
  return found;
}

// Ends all that is in there, but not who asks.
function clear(network) {
  for (const { pid } of processesIn(network).filter((p) => p.pid !== process.pid)) {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // ended meanwhile
    }
  }
}

// What is still in there when helpers of a program which was ended have had their time: then it is ended.
async function leftIn(network) {
  await eventually("nothing is left", () => processesIn(network).length === 0).catch(() => {});
  const left = processesIn(network);
  clear(network);
  return left.map((p) => `${p.pid} ${p.command}`);
}

// A child that a failed test left running keeps node from ending: this does.
function endInTime() {
  after(() => {
    const end = () => {
      console.log(`still running: ${processesIn().map((p) => `${p.pid} ${p.command}`).join("; ")}`); // prettier-ignore
      process.exit(1);
    };
    setTimeout(end, PATIENCE_MS).unref();
  });
}

// For programs that are no test files: returns in there. What they left running ends with them.
export function enterOwnNetwork() {
  if (process.env.E2E_OWN_NETWORK) {
    process.once("exit", () => clear(networkOf("self")));
    return;
  }
  const why = obstacle();
  if (why) {
    throw new Error(`this machine gives no network namespace: ${why}`);
  }
  const command = ["sh", "-c", `${SETUP} && exec "$@"`, "sh", process.execPath, ...process.argv.slice(1)];
  const ran = spawnSync("unshare", [...UNSHARE, ...command], { env: { ...process.env, E2E_OWN_NETWORK: "1" }, stdio: "inherit" });
  process.exit(ran.status ?? 1);
}

// True: we are in it, define the tests. False: one test was defined that runs this file again, in there.
export function inOwnNetwork(url) {
  if (process.env.E2E_OWN_NETWORK) {
    endInTime();
    return true;
  }
  const file = fileURLToPath(url);
  const why = obstacle();
  const skip = why ? `this machine gives no network namespace: ${why}` : false; // an empty text would skip too
  test(`${file.replace(/.*\//, "")} in a network of its own`, { skip }, async (t) => {
    const env = { ...process.env, E2E_OWN_NETWORK: "1" };
    delete env.NODE_TEST_CONTEXT; // else the inner run reports in the outer one's private format
    const script = `${SETUP} && readlink /proc/self/ns/net >&3 && exec 3>&- && exec "$@"`;
    const child = spawn("unshare", [...UNSHARE, "sh", "-c", script, "sh", process.execPath, "--test", file], {
      env,
      stdio: ["ignore", "pipe", "pipe", "pipe"],
    });
    let out = "";
    child.stdout.on("data", (d) => (out += d));
    child.stderr.on("data", (d) => (out += d));
    let network = "";
    child.stdio[3].on("data", (d) => (network += d));
    const failed = new Promise((_, fail) => child.once("error", fail)); // there is no such program
    const closed = new Promise((done) => child.once("close", done));
    const cancel = (signal) => {
      clear(network.trim());
      process.kill(process.pid, signal);
    };
    process.once("SIGTERM", cancel).once("SIGINT", cancel);
    const exit = await Promise.race([exitOf(child), failed]);
    process.off("SIGTERM", cancel).off("SIGINT", cancel);
    const left = await leftIn(network.trim());
    await closed; // all that was written is read
    for (const line of out.split("\n").filter((l) => l)) {
      t.diagnostic(line);
    }
    if (exit.code !== 0) {
      throw new Error(`${file} failed:\n${out}`);
    }
    if (left.length > 0) {
      throw new Error(`${file} left behind: ${left.join("; ")}`);
    }
  });
  return false;
}
