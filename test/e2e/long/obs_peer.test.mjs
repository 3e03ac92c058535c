// SPDX-License-Identifier: Apache-2.0
// peer/obs against a real OBS with a password, through test/tools/obs_drive: what an order to stream comes to, and that OBS
// has its own settings back after it.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, afterEach, before, test } from "node:test";

import { startProgram } from "../lib/ffmpeg.mjs";
import { eventually, exitOf, freePort, stopChild } from "../lib/mast.mjs";
import { inOwnNetwork } from "../lib/netns.mjs";
import { Obs, startScreen } from "../lib/obs.mjs";

const PASSWORD = "obs-secret-pw";
const OWN = { server: "rtmp://127.0.0.1:9/own", key: "own-key", use_auth: false };
const DRIVER = join(process.env.MAST_BUILD ?? "build", "test/tools/obs_drive");

class Driver {
  constructor(port, password) {
    this.told = [];
    this.child = spawn(DRIVER, [String(port), ...(password ? [password] : [])], { stdio: ["pipe", "pipe", "pipe"] });
    this.log = "";
    this.child.stderr.on("data", (d) => (this.log += d));
    createInterface(this.child.stdout).on("line", (l) => this.told.push(JSON.parse(l)));
  }

  // The next thing of that kind, which is taken away with all before it.
  async next(what, matches = () => true) {
    await eventually(
      `the driver tells ${what}`,
      () => {
        assert.equal(this.child.exitCode, null, `the driver ended: ${this.log}`);
        return this.told.some((t) => t.what === what && matches(t));
      },
    ).catch((e) => {
      throw new Error(`${e.message}\ntold: ${JSON.stringify(this.told)}\n${this.log.slice(-2000)}`);
    });
    const at = this.told.findIndex((t) => t.what === what && matches(t));
    return this.told.splice(0, at + 1).at(-1);
  }

  ask(line) {
    this.child.stdin.write(`${line}\n`);
  }

  output(state) {
    return this.next("output", (t) => t.text === state);
  }

  async close() {
    this.child.stdin.end();
    const { code } = await exitOf(this.child);
    assert.equal(code, 0, this.log);
  }
}

if (inOwnNetwork(import.meta.url)) {
  defineTests();
}

function defineTests() {
  let screen;
  let obs;
  let driver;
  let receiver;

  before(async () => {
    screen = await startScreen();
    obs = await Obs.start(screen, { password: PASSWORD });
    await obs.service(OWN);
  });

  afterEach(async () => {
    await driver?.close();
    driver = null;
    if (receiver) {
      await stopChild(receiver, "SIGKILL");
    }
  });

  after(async () => {
    await obs?.close();
    await screen?.close();
  });

  // The receiver takes one connection, so that it cannot be asked by one whether it listens.
  const listen = async (port) => {
    const line = new RegExp(`^ *\\d+: 0100007F:${port.toString(16).toUpperCase().padStart(4, "0")} \\S+ 0A `, "m");
    receiver = startProgram("ffmpeg", ["-nostdin", "-loglevel", "error", "-listen", "1", "-i", `rtmp://127.0.0.1:${port}/live/k3y`, "-c", "copy", "-f", "null", "-"]);
    await eventually("the receiver listens", async () => line.test(await readFile("/proc/net/tcp", "utf8")));
  };
  const settings = async () => {
    const { streamServiceSettings: s } = await obs.remote.ask("GetStreamServiceSettings");
    return { server: s.server, key: s.key, use_auth: s.use_auth };
  };
  const receiving = async () => (await obs.status()).outputBytes > 0;

  test("a wrong password is refused for good, none too", { timeout: 60000 }, async () => {
    driver = new Driver(obs.port, "wrong");
    let down = await driver.next("down");
    assert.match(down.text, /^refused: OBS refuses the password/);
    await driver.close();
    driver = new Driver(obs.port);
    down = await driver.next("down");
    assert.match(down.text, /^refused: OBS wants a password/);
    driver.ask(`start rtmp://127.0.0.1:1/live k3y`);
    const started = await driver.next("started");
    assert.notEqual(started.r, "0");
    assert.match(started.text, /^unchanged /);
  });

  test("OBS streams to us and has its settings back when it is stopped", { timeout: 120000 }, async () => {
    const port = await freePort();
    await listen(port);
    driver = new Driver(obs.port, PASSWORD);
    await driver.next("up");
    await driver.output("stopped");
    driver.ask(`start rtmp://127.0.0.1:${port}/live k3y`);
    const started = await driver.next("started");
    assert.deepEqual([started.r, started.text], ["0", "changed "]);
    assert.equal((await settings()).key, "k3y");
    await eventually("OBS sends", receiving);
    driver.ask("status");
    assert.equal((await driver.next("status")).text, "active steady");
    // Another order meanwhile: to the same place it is done already, to elsewhere it is refused.
    driver.ask(`start rtmp://127.0.0.1:${port}/live k3y`);
    assert.deepEqual((await driver.next("started")).text, "unchanged ");
    driver.ask(`start rtmp://127.0.0.1:${port}/live other`);
    const busy = await driver.next("started");
    assert.match(busy.text, /^unchanged OBS streams to elsewhere already/);
    assert.notEqual(busy.r, "0");
    driver.ask("stop");
    assert.equal((await driver.next("stopped")).r, "0");
    assert.deepEqual(await settings(), OWN);
    await eventually("OBS is idle", async () => !(await obs.status()).outputActive);
    // What is stopped already is no error.
    driver.ask("stop");
    assert.equal((await driver.next("stopped")).r, "0");
  });

  test("nobody takes the stream: the OK of OBS is not a start", { timeout: 120000 }, async () => {
    const port = await freePort();
    await obs.remote.ask("SetProfileParameter", { parameterCategory: "Output", parameterName: "Reconnect", parameterValue: "false" });
    driver = new Driver(obs.port, PASSWORD);
    await driver.next("up");
    driver.ask(`start rtmp://127.0.0.1:${port}/live k3y`);
    const started = await driver.next("started");
    assert.match(started.r, /refused/i);
    assert.equal(started.text.split(" ")[0], "changed");
    driver.ask("stop");
    assert.equal((await driver.next("stopped")).r, "0");
    assert.deepEqual(await settings(), OWN);
  });

  test("the receiver dies and returns: OBS reconnects by itself, and it is told", { timeout: 180000 }, async () => {
    const port = await freePort();
    for (const [parameterName, parameterValue] of Object.entries({ Reconnect: "true", RetryDelay: "1", MaxRetries: "20" })) {
      await obs.remote.ask("SetProfileParameter", { parameterCategory: "Output", parameterName, parameterValue });
    }
    await listen(port);
    driver = new Driver(obs.port, PASSWORD);
    await driver.next("up");
    driver.ask(`start rtmp://127.0.0.1:${port}/live k3y`);
    assert.equal((await driver.next("started")).r, "0");
    await eventually("OBS sends", receiving);
    await stopChild(receiver, "SIGKILL");
    await driver.output("reconnecting");
    driver.ask("status");
    assert.equal((await driver.next("status")).text, "active reconnecting");
    await listen(port);
    await driver.output("started");
    await eventually("OBS sends", receiving);
    await stopChild(receiver, "SIGKILL");
    await driver.output("reconnecting");
    driver.ask("stop");
    assert.equal((await driver.next("stopped")).r, "0");
    assert.deepEqual(await settings(), OWN);
  });

  test("OBS is killed and returns: the driver is told, connects again, and can start anew", { timeout: 180000 }, async () => {
    const port = await freePort();
    await listen(port);
    driver = new Driver(obs.port, PASSWORD);
    await driver.next("up");
    driver.ask(`start rtmp://127.0.0.1:${port}/live k3y`);
    assert.equal((await driver.next("started")).r, "0");
    await stopChild(obs.child, "SIGKILL");
    assert.match((await driver.next("down")).text, /^waiting: /);
    await stopChild(receiver, "SIGKILL");
    await obs.run();
    await driver.next("up");
    await driver.output("stopped");
    // Killed with our settings: they are still what was kept before, and are put back now.
    driver.ask("stop");
    assert.equal((await driver.next("stopped")).r, "0");
    assert.deepEqual(await settings(), OWN);
    await listen(port);
    driver.ask(`start rtmp://127.0.0.1:${port}/live k3y`);
    assert.equal((await driver.next("started")).r, "0");
    driver.ask("stop");
    assert.equal((await driver.next("stopped")).r, "0");
    assert.deepEqual(await settings(), OWN);
  });
}
