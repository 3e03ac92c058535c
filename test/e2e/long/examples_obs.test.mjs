// SPDX-License-Identifier: Apache-2.0
// The examples with OBS, at a real one with a password: the bridge alone, OBS to a mountpoint in C, and the same over HTTP in Python.
// OBS has its own settings back after each, also after a start that came to nothing.

import assert from "node:assert/strict";
import { join, resolve } from "node:path";
import { after, afterEach, before, test } from "node:test";

import { startProgram } from "../lib/ffmpeg.mjs";
import { Janus } from "../lib/janus.mjs";
import { eventually, freePort, Hopeless, Mast, stopChild } from "../lib/mast.mjs";
import { inOwnNetwork } from "../lib/netns.mjs";
import { Obs, startScreen } from "../lib/obs.mjs";
import { RtmpServer } from "../lib/rtmp-server.mjs";
import { WebrtcBrowser } from "../lib/webrtc-page.mjs";
import { sameWorld, world } from "../lib/world.mjs";

const ROOT = resolve(import.meta.dirname ?? new URL(".", import.meta.url).pathname, "../../..");
const BUILD = process.env.MAST_BUILD;
const PASSWORD = "obs-secret-pw";
const OWN = { server: "rtmp://127.0.0.1:9/mine", key: "my-own", use_auth: false };

if (inOwnNetwork(import.meta.url)) {
  defineTests();
}

function defineTests() {
  let screen;
  let obs;
  let janus;
  let server;
  let browser;
  let mast;
  const children = [];

  before(async () => {
    screen = await startScreen();
    obs = await Obs.start(screen, { password: PASSWORD });
    await obs.service(OWN);
    server = await RtmpServer.start({ app: "live" });
    janus = await Janus.start();
    browser = await WebrtcBrowser.start();
  });

  afterEach(async () => {
    await Promise.all(children.splice(0).map((c) => stopChild(c, "SIGKILL")));
    janus.check();
  });

  after(async () => {
    await mast?.stop();
    await browser?.close();
    await janus?.close();
    await server?.close();
    await obs?.close();
    await screen?.close();
  });

  function start(program, args, options = {}) {
    const env = { ...process.env, OBS_PORT: String(obs.port), OBS_PASSWORD: PASSWORD, ...options.env };
    const child = startProgram(program, args, { ...options, env });
    child.closed = new Promise((done) => child.once("close", done));
    children.push(child);
    return child;
  }

  const example = (name, args) =>
    start(join(BUILD, "examples", `example_${name}`), args, {
      env: { MAST_LIBEXEC_DIR: join(BUILD, "src/io"), JANUS_STREAMING_KEY: janus.streamingKey, JANUS_ROOM_KEY: janus.roomKey },
    });

  const says = (child, what) =>
    eventually(`it says ${what}`, () => {
      if (child.exitCode !== null) {
        throw new Hopeless(child.log);
      }
      return what.test(child.log);
    });

  // Its exit code, once all that it wrote is in .log.
  async function endOf(child) {
    await child.closed;
    return child.exitCode;
  }

  const settings = async () => {
    const { streamServiceSettings: s } = await obs.remote.ask("GetStreamServiceSettings");
    return { server: s.server, key: s.key, use_auth: s.use_auth };
  };
  const idle = () => eventually("OBS is idle", async () => !(await obs.status()).outputActive);

  // OBS is at it, a browser decodes picture and sound at the mountpoint; asked to end, all is as before.
  async function broadcasts(child, id, before) {
    await says(child, /br_\w+: (running|degraded)/);
    const viewer = await browser.watch(janus, { id });
    await viewer.sees({ within: 30000 });
    await viewer.hears({ hz: 440 });
    await viewer.leave();
    assert.doesNotMatch(child.log, /obs-secret-pw/);
    child.kill("SIGTERM");
    assert.equal(await endOf(child), 0, child.log);
    assert.match(child.log, /: stopped/);
    assert.deepEqual(await settings(), OWN);
    await idle();
    await sameWorld(before, { janus });
  }

  test("the bridge: OBS publishes, and has its settings back", { timeout: 120000 }, async () => {
    const bridge = example("obs_bridge", [`${server.url}/live`, "bridged"]);
    await says(bridge, /"outputActive":\s*true/);
    await server.published("bridged");
    assert.equal((await settings()).key, "bridged");
    bridge.kill("SIGTERM");
    assert.equal(await endOf(bridge), 0, bridge.log);
    assert.match(bridge.log, /obs: stopped/);
    assert.deepEqual(await settings(), OWN);
    await idle();
  });

  test("the bridge to where nobody listens: it fails, and OBS has its settings back all the same", { timeout: 120000 }, async () => {
    const reconnect = (value) =>
      obs.remote.ask("SetProfileParameter", { parameterCategory: "Output", parameterName: "Reconnect", parameterValue: value });
    await reconnect("false");
    const bridge = example("obs_bridge", [`rtmp://127.0.0.1:${await freePort()}/live`, "nowhere"]);
    assert.equal(await endOf(bridge), 1, bridge.log);
    assert.match(bridge.log, /nothing took its stream|did not start its stream/);
    assert.deepEqual(await settings(), OWN);
    await idle();
    await reconnect("true");
  });

  test("the bridge with a wrong password: it says so and ends", { timeout: 60000 }, async () => {
    const bridge = start(join(BUILD, "examples/example_obs_bridge"), [`${server.url}/live`, "k"], { env: { OBS_PASSWORD: "wrong" } });
    assert.equal(await endOf(bridge), 1, bridge.log);
    assert.match(bridge.log, /refuses the password/);
  });

  test("OBS to a mountpoint, in C", { timeout: 180000 }, async () => {
    const before = await world({ janus });
    await broadcasts(example("obs_to_mountpoint", [janus.url, server.url, "obs-9100", "9100"]), 9100, before);
  });

  test("OBS to a mountpoint, over HTTP in Python", { timeout: 180000 }, async () => {
    const main = { name: "main", url: janus.url, admin_key: janus.streamingKey, room_admin_key: janus.roomKey };
    mast = await Mast.start({ config: { janus: [main], outgoing: { allow: ["127.0.0.0/8"] } } });
    const before = await world({ janus });
    const child = start("python3", ["-B", "obs_to_mountpoint.py", server.url, "obs-9101", "9101"], {
      cwd: join(ROOT, "examples/python"),
      env: { MAST_URL: mast.url },
    });
    await broadcasts(child, 9101, before);
  });
}
