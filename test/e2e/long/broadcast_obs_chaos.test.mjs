// SPDX-License-Identifier: Apache-2.0
// What goes wrong between Mast and a real OBS: the server is killed when each message of a start passes, before or after the other
// side has it, and while the broadcast runs and stops. Afterwards the broadcast is taken up again, and after its stop OBS is
// idle with its own settings and the world is as it was.

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";

import { Broadcasts, janusConfig } from "../lib/broadcast.mjs";
import { Janus } from "../lib/janus.mjs";
import { eventually, Mast } from "../lib/mast.mjs";
import { inOwnNetwork } from "../lib/netns.mjs";
import { Obs, startScreen } from "../lib/obs.mjs";
import { sameWorld, world } from "../lib/world.mjs";
import { WsProxy } from "../lib/ws-proxy.mjs";

const PASSWORD = "obs-secret-pw";
const OWN = { server: "rtmp://127.0.0.1:9/own", key: "own-key", use_auth: false };
const H264 = "packetization-mode=1;profile-level-id=42e01f;level-asymmetry-allowed=1";
const SLOW = { timeout: 120000 };

// What passes, with its name.
const REQUESTS = ["Identify", "GetStreamServiceSettings", "GetStreamStatus", "SetStreamServiceSettings", "StartStream"];
const ANSWERS = ["Hello", "Identified", ...REQUESTS.slice(1).map((r) => `answer to ${r}`), "STARTING", "STARTED"];

function nameOf({ op, d }) {
  const state = d?.eventData?.outputState?.replace("OBS_WEBSOCKET_OUTPUT_", "");
  return { 0: "Hello", 1: "Identify", 2: "Identified", 5: state, 6: d?.requestType, 7: `answer to ${d?.requestType}` }[op];
}

if (inOwnNetwork(import.meta.url)) {
  defineTests();
}

function defineTests() {
  let screen;
  let obs;
  let janus;
  let proxy;
  let mast;
  let broadcasts;
  let clean;
  let next = 1;

  const pass = () => (proxy.onRequest = proxy.onReply = () => true);

  before(async () => {
    screen = await startScreen();
    obs = await Obs.start(screen, { password: PASSWORD });
    await obs.service(OWN);
    janus = await Janus.start({ reclaim: 0 });
    proxy = await WsProxy.start(obs.port);
    mast = await Mast.start({ config: { ...janusConfig(janus), broadcasts: { debt_retry: "1s" } } });
    broadcasts = new Broadcasts(mast);
    const id = await begin();
    await broadcasts.reaches(id, "running", SLOW);
    await broadcasts.stop(id);
    clean = await world({ mast, janus, obs });
  });

  afterEach(async () => {
    pass();
    janus.check();
    await sameWorld(clean, { mast, janus, obs }, { timeout: 120000 });
    const { server, key, use_auth } = await obs.settings();
    assert.deepEqual({ server, key, use_auth }, OWN);
  });

  after(async () => {
    await mast?.close();
    await proxy?.close();
    await janus?.close();
    await obs?.close();
    await screen?.close();
  });

  async function begin() {
    const id = `obs-${next++}`;
    await broadcasts.start({
      id,
      source_kind: "obs",
      relay_kind: "ffmpeg",
      stream: "live/obs",
      obs_port: proxy.server.address().port,
      obs_password: PASSWORD,
      mountpoint_spec: {
        id: 9100,
        media: [
          { type: "video", mid: "v", port: 0, pt: 96, codec: "h264", fmtp: H264 },
          { type: "audio", mid: "a", port: 0, pt: 111, codec: "opus" },
        ],
      },
    });
    return id;
  }

  const flows = () =>
    eventually("media flows", async () => (await janus.mountpoint(9100)).media.every((m) => m.age_ms >= 0 && m.age_ms < 1000), SLOW);

  async function runsAndStops(id) {
    await broadcasts.reaches(id, "running", SLOW);
    await flows();
    assert.equal((await janus.mountpoints()).length, 1);
    await broadcasts.stop(id);
  }

  // Calls act() with the nth message of that name in hand, of those that pass from now on.
  function onMessage(name, nth, act) {
    let left = nth;
    const seen = [];
    const look = async (m) => {
      seen.push(nameOf(m));
      return nameOf(m) === name && --left === 0 ? act() : true;
    };
    proxy.onRequest = proxy.onReply = look;
    return { done: () => left <= 0, seen };
  }

  // ---- the server is killed ----

  async function goesOnAfter(id) {
    pass();
    await mast.run();
    await runsAndStops(id);
  }

  const dead = () => eventually("the server is dead", () => mast.child.exitCode !== null || mast.child.signalCode !== null, SLOW);

  for (const name of [...REQUESTS, ...ANSWERS]) {
    const whens = REQUESTS.includes(name) ? ["before", "after"] : ["before"]; // for a message of OBS: before we have it
    for (const when of whens) {
      test(`killed ${when} the other side has ${name}`, { timeout: 300000 }, async () => {
        onMessage(name, 1, async () => {
          if (when === "before") {
            await mast.stop("SIGKILL");
            return false;
          }
          setImmediate(() => mast.stop("SIGKILL"));
          return true;
        });
        const id = await begin();
        await dead();
        await goesOnAfter(id);
      });
    }
  }

  test("killed while it runs, and killed again while it is taken up", { timeout: 300000 }, async () => {
    const id = await begin();
    await broadcasts.reaches(id, "running", SLOW);
    await mast.stop("SIGKILL");
    onMessage("StopStream", 1, async () => {
      await mast.stop("SIGKILL");
      return true; // the stream that it found is stopped, and nobody there to begin another
    });
    await mast.run();
    await dead();
    await goesOnAfter(id);
  });

  test("killed while it stops: the next start ends what it began", { timeout: 300000 }, async () => {
    const id = await begin();
    await broadcasts.reaches(id, "running", SLOW);
    onMessage("STOPPED", 1, async () => {
      await mast.stop("SIGKILL");
      return false;
    });
    await broadcasts.ask("DELETE", `/${id}`);
    await dead();
    pass();
    await mast.run();
    await broadcasts.reaches(id, "stopped", SLOW);
  });
}
