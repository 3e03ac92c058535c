// SPDX-License-Identifier: Apache-2.0
// What goes wrong between Mast and a real OBS: the server is killed when each message of a start passes, before or after the other
// side has it, and while the broadcast runs; each message of a start and of a stop is lost once. Afterwards the broadcast runs or
// has failed with a reason, and after its stop OBS is idle with its own settings and the world is as it was.

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

// What Mast and OBS say to each other in a start and in a stop, in the order it comes: [name, the how-manieth of that name].
const WHOLE_START = [
  ["Hello", 1],
  ["Identify", 1],
  ["Identified", 1],
  ["GetStreamStatus", 1], // of each connection
  ["answer to GetStreamStatus", 1],
  ["GetStreamServiceSettings", 1], // what to put back
  ["answer to GetStreamServiceSettings", 1],
  ["GetStreamStatus", 2],
  ["answer to GetStreamStatus", 2],
  ["GetStreamServiceSettings", 2],
  ["answer to GetStreamServiceSettings", 2],
  ["GetStreamStatus", 3],
  ["answer to GetStreamStatus", 3],
  ["SetStreamServiceSettings", 1],
  ["answer to SetStreamServiceSettings", 1],
  ["StartStream", 1],
  ["answer to StartStream", 1],
  ["STARTING", 1],
  ["STARTED", 1],
];
const WHOLE_STOP = [
  ["GetStreamServiceSettings", 1],
  ["answer to GetStreamServiceSettings", 1],
  ["StopStream", 1],
  ["answer to StopStream", 1],
  ["STOPPING", 1],
  ["STOPPED", 1],
  ["SetStreamServiceSettings", 1],
  ["answer to SetStreamServiceSettings", 1],
];

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
    await broadcasts.startKilled({
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

  // ---- a message is lost ----

  test("what a start and a stop say is what is lost below", { timeout: 300000 }, async () => {
    const said = (whole) => whole.map(([name]) => name).sort(); // prettier-ignore
    const starting = onMessage("", 1, () => true);
    const id = await begin();
    await eventually("it has started", () => starting.seen.includes("STARTED"), SLOW);
    assert.deepEqual(starting.seen.splice(0).sort(), said(WHOLE_START));
    await broadcasts.reaches(id, "running", SLOW);
    const stopping = onMessage("", 1, () => true);
    await broadcasts.stop(id);
    const checks = (n) => !/GetStreamStatus/.test(n);
    assert.deepEqual(stopping.seen.filter(checks).sort(), said(WHOLE_STOP));
  });

  for (const [name, nth] of WHOLE_START) {
    test(`lost in a start: ${name}, number ${nth}`, { timeout: 300000 }, async () => {
      const loss = onMessage(name, nth, () => false);
      const id = await begin();
      const end = await eventually("it has come to an end", async () => {
        const b = await broadcasts.show(id);
        return loss.done() && ["running", "failed"].includes(b.state) && b;
      }, SLOW); // prettier-ignore
      if (end.state === "failed") {
        assert.match(end.reason, /^obs: .*OBS/);
      } else {
        await runsAndStops(id);
      }
    });
  }

  for (const [name, nth] of WHOLE_STOP) {
    test(`lost in a stop: ${name}, number ${nth}`, { timeout: 300000 }, async () => {
      const id = await begin();
      await broadcasts.reaches(id, "running", SLOW);
      const loss = onMessage(name, nth, () => false);
      await broadcasts.ask("DELETE", `/${id}`);
      await broadcasts.reaches(id, "stopped", SLOW);
      assert.ok(loss.done(), `${name} was said: ${loss.seen}`);
    });
  }
}
