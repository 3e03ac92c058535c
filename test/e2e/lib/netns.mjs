// SPDX-License-Identifier: Apache-2.0
// Runs a test file in a network of its own, which has a loopback device and nothing else: for programs that listen on every
// address, or that look for updates.

import { spawn } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { exitOf } from "./mast.mjs";

// True: we are in it, define the tests. False: one test was defined that runs this file again, in there.
export function inOwnNetwork(url) {
  if (process.env.E2E_OWN_NETWORK) {
    return true;
  }
  const file = fileURLToPath(url);
  test(`${file.replace(/.*\//, "")} in a network of its own`, async (t) => {
    const env = { ...process.env, E2E_OWN_NETWORK: "1" };
    delete env.NODE_TEST_CONTEXT; // else the inner run reports in the outer one's private format
    const child = spawn("unshare", ["-r", "-n", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", process.execPath, "--test", file], {
      env,
      stdio: ["ignore", "pipe", "pipe"],
    });
    let out = "";
    child.stdout.on("data", (d) => (out += d));
    child.stderr.on("data", (d) => (out += d));
    const exit = await exitOf(child);
    for (const line of out.split("\n").filter((l) => l)) {
      t.diagnostic(line);
    }
    if (exit.code !== 0) {
      throw new Error(`${file} failed:\n${out}`);
    }
  });
  return false;
}
