// SPDX-License-Identifier: Apache-2.0
// What goes wrong in every step of a broadcast, with a real Janus, a real publisher, and a proxy between the server and Janus
// that loses messages or kills the server in the moment a request passes; and what other clients of Janus, restarts and another
// program in our place do to a running one. Afterwards each broadcast runs, or has failed with the step and Janus' words, and
// nothing is left behind or everything that is owed gets paid: the world is counted after each case. MAST_LONG=1: each of the
// answers is lost once (each costs a deadline), and one program takes over from another.

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { isDeepStrictEqual } from "node:util";

import { Broadcasts, janusConfig } from "./lib/broadcast.mjs";
import { publishDefaults, publishFfmpeg } from "./lib/ffmpeg.mjs";
import { Janus } from "./lib/janus.mjs";
import { eventually, exitOf, Mast, stopChild } from "./lib/mast.mjs";
import { inOwnNetwork } from "./lib/netns.mjs";
import { RtmpServer } from "./lib/rtmp-server.mjs";
import { WebrtcBrowser } from "./lib/webrtc-page.mjs";
import { diffWorld, sameWorld, servantsOf, world } from "./lib/world.mjs";
import { WsProxy } from "./lib/ws-proxy.mjs";

if (inOwnNetwork(import.meta.url)) {
  defineTests();
}

function defineTests() {
  let janus;
  let browser;
  let proxy;
  let mast;
  let broadcasts;
  let publisher;
  let clean;

  // One publisher for all: a session of its own, which nobody kills.
  before(async () => {
    janus = await Janus.start({ reclaim: 0 }); // its default: the session of a server that died goes with its connection
    browser = await WebrtcBrowser.start();
    await janus.videoroom({ request: "create", room: 4321, publishers: 4, videocodec: "h264" });
    publisher = await browser.publish(janus, { room: 4321, id: 77, display: "camera" });
    proxy = await WsProxy.start(janus.port);
    const config = janusConfig(janus);
    config.janus[0].url = proxy.url;
    config.broadcasts = { check: "200ms", debt_retry: "1s" };
    config.outgoing = { allow: ["127.0.0.0/8"] };
    mast = await Mast.start({ config });
    broadcasts = new Broadcasts(mast);
    const first = await broadcasts.run(request());
    await broadcasts.stop(first.broadcast_id);
    clean = await world({ mast, janus });
  });

  afterEach(async () => {
    proxy.onRequest = proxy.onReply = () => true;
    janus.check();
    // What a case that failed has left must not fail the next ones.
    await nothingLeft().finally(() => broadcasts.ask("POST", "/stop-all"));
  });

  after(async () => {
    await browser?.close();
    await mast?.close();
    await proxy?.close();
    await janus?.close();
  });

  const nothingLeft = () => sameWorld(clean, { mast, janus }, { timeout: 30000 });

  function request(more = {}) {
    return {
      source_kind: "videoroom",
      room_id: 4321,
      publisher_id: 77,
      resume: true,
      mountpoint_spec: {
        id: 9001,
        secret: "ms",
        media: [
          { type: "video", mid: "v", port: 0, pt: 96, codec: "h264" },
          { type: "audio", mid: "a", port: 0, pt: 111, codec: "opus" },
        ],
      },
      ...more,
    };
  }

  const kindOf = (m) => m.body?.request;
  const ended = (id) =>
    eventually("it has come to an end", async () => ["running", "failed"].includes((await broadcasts.show(id)).state) && broadcasts.show(id), {
      timeout: 90000,
      every: 200,
    });
  const settled = (id) =>
    eventually("nothing is owed", async () => !(await broadcasts.show(id)).steps.some((s) => s.state === "debt"), { timeout: 90000, every: 200 });

  const REQUESTS = ["exists", "info", "create", "join", "listforwarders", "rtp_forward"];
  for (const lost of process.env.MAST_LONG ? REQUESTS : ["create"]) {
    test(`the answer to ${lost} is lost`, { timeout: 240000 }, async () => {
      const transactions = new Set();
      let left = 1;
      proxy.onRequest = (m) => {
        if (kindOf(m) === lost && left > 0) {
          left--;
          transactions.add(m.transaction);
        }
        return true;
      };
      proxy.onReply = (m) => !transactions.has(m.transaction);
      const { broadcast_id: id } = await broadcasts.start(request());
      const b = await ended(id);
      assert.equal(left, 0, `${lost} was asked`);
      if (b.state === "failed") {
        assert.ok(b.reason, "it says why");
      } else {
        assert.equal((await janus.forwarders(4321)).length, 2);
        await broadcasts.stop(id);
      }
      await settled(id);
    });
  }

  for (const killed of REQUESTS) {
    for (const when of ["before", "after"]) {
      test(`the server is killed ${when} Janus hears ${killed}`, { timeout: 120000 }, async () => {
        let done = false;
        const transactions = new Set();
        proxy.onRequest = async (m) => {
          if (kindOf(m) === killed && !done) {
            done = true;
            transactions.add(m.transaction);
            if (when === "before") {
              await mast.stop("SIGKILL");
              return false;
            }
          }
          return true;
        };
        proxy.onReply = async (m) => {
          if (transactions.delete(m.transaction)) {
            await mast.stop("SIGKILL");
            return false;
          }
          return true;
        };
        const id = await broadcasts.startKilled(request({ id: `${when}-${killed}` }));
        await eventually("the server is dead", async () => mast.child.exitCode !== null || mast.child.signalCode !== null);
        proxy.onRequest = proxy.onReply = () => true;
        await mast.run();
        await broadcasts.reaches(id, "running", { timeout: 60000 });
        assert.equal((await janus.forwarders(4321)).length, 2, "nothing is doubled");
        await broadcasts.stop(id);
        await settled(id);
      });
    }
  }

  test("an undo that fails half-way is owed, and paid", { timeout: 120000 }, async () => {
    const b = await broadcasts.run(request());
    proxy.onRequest = (m) => {
      if (kindOf(m) === "stop_rtp_forward") {
        proxy.cut();
        return false;
      }
      return true;
    };
    await broadcasts.ask("DELETE", `/${b.broadcast_id}`);
    await eventually("something is owed", async () => (await broadcasts.show(b.broadcast_id)).steps.some((s) => s.state === "debt"), { timeout: 60000 });
    proxy.onRequest = () => true;
    await settled(b.broadcast_id);
    await broadcasts.reaches(b.broadcast_id, "stopped");
  });

  test("a taken port, a wrong secret, a wrong admin key: the step and Janus' words", { timeout: 60000 }, async () => {
    const taken = (await janus.streaming({ request: "create", type: "rtp", id: 1, media: [{ type: "video", mid: "v", port: 12000, pt: 96, codec: "h264" }] })).stream;
    assert.equal(taken.ports[0].port, 12000);
    const fails = async (more, words) => {
      const { broadcast_id: id } = await broadcasts.start(request(more));
      const b = await broadcasts.reaches(id, "failed");
      assert.match(b.reason, words);
    };
    await fails({ mountpoint_spec: { id: 9003, media: [{ type: "video", mid: "v", port: 12000, pt: 96, codec: "h264" }] } }, /^mountpoint: .*Can't add 'rtp' stream/);
    await fails({ mountpoint_spec: { ...request().mountpoint_spec, admin_key: "wrong" } }, /^mountpoint: .*Unauthorized \(wrong admin_key\)/);
    await fails({ room_spec: { admin_key: "wrong" } }, /^forward: .*Unauthorized \(wrong admin_key\)/);
    await janus.streaming({ request: "destroy", id: 1 });
  });

  test("a Janus that stands still is waited for", { timeout: 120000 }, async () => {
    const b = await broadcasts.run(request());
    process.kill(janus.pid, "SIGSTOP");
    try {
      await broadcasts.reaches(b.broadcast_id, "degraded", { timeout: 60000 });
    } finally {
      process.kill(janus.pid, "SIGCONT");
    }
    await broadcasts.reaches(b.broadcast_id, "running", { timeout: 60000 });
    await broadcasts.stop(b.broadcast_id);
  });

  // ---- other clients of Janus ----

  const stopForward = (f, room = 4321) => janus.videoroom({ request: "stop_rtp_forward", room, publisher_id: f.publisher, stream_id: f.stream_id });
  const portsOf = (forwarders) => forwarders.map((f) => f.port).sort();
  const mediaPorts = async (id, secret) => (await janus.mountpoint(id, secret)).media.map((m) => m.port).sort();
  // Each track has media of this moment.
  const flows = (id, secret) =>
    eventually(`media flows to ${id}`, async () => (await janus.mountpoint(id, secret)).media.every((m) => m.age_ms >= 0 && m.age_ms < 1000));

  test("another client stops one forward, then all: they are made anew, and the others stay", { timeout: 60000 }, async () => {
    const { broadcast_id: id } = await broadcasts.run(request());
    for (const stopped of [1, 2]) {
      const before = await janus.forwarders(4321);
      for (const f of before.slice(0, stopped)) {
        await stopForward(f);
      }
      const now = await eventually("they are made anew", async () => {
        const all = await janus.forwarders(4321);
        return all.length === 2 && !all.some((f) => before.slice(0, stopped).some((b) => b.stream_id === f.stream_id)) && all;
      });
      assert.deepEqual(portsOf(now), portsOf(before));
      assert.equal(now.filter((f) => before.some((b) => b.stream_id === f.stream_id)).length, 2 - stopped);
      await broadcasts.reaches(id, "running");
      assert.match(mast.log, new RegExp(`lost of forward: ${stopped} of 2 forwarders are gone`));
    }
    await flows(9001, "ms");
    await broadcasts.stop(id);
  });

  test("another client destroys the mountpoint: it is made anew, and the forwards go there", { timeout: 60000 }, async () => {
    const { broadcast_id: id } = await broadcasts.run(request());
    await janus.streaming({ request: "destroy", id: 9001, secret: "ms" });
    await flows(9001, "ms");
    await broadcasts.reaches(id, "running");
    assert.deepEqual(portsOf(await janus.forwarders(4321)), await mediaPorts(9001, "ms"));
    await broadcasts.stop(id);
  });

  const strange = (id) =>
    janus.streaming({ request: "create", type: "rtp", id, media: [{ type: "video", mid: "v", port: 0, pt: 96, codec: "h264" }, { type: "audio", mid: "a", port: 0, pt: 111, codec: "opus" }] }); // prettier-ignore

  test("another client puts its own mountpoint in the place of ours: that is said, and it is left alone", { timeout: 60000 }, async () => {
    const { broadcast_id: id } = await broadcasts.run(request({ mountpoint_spec: { ...request().mountpoint_spec, secret: undefined } }));
    await janus.streaming({ request: "destroy", id: 9001 });
    await strange(9001);
    const { reason } = await broadcasts.reaches(id, "failed");
    assert.match(reason, /^mountpoint: janus main has a mountpoint 9001 that is not ours/);
    assert.deepEqual(await janus.forwarders(4321), []);
    await janus.streaming({ request: "destroy", id: 9001 });
  });

  test("the owner of a mountpoint that is used makes it anew at other ports: followed; destroys it: waited for", { timeout: 60000 }, async () => {
    await strange(9005);
    const { broadcast_id: id } = await broadcasts.run(request({ create_mountpoint: false, mountpoint_spec: { id: 9005 } }));
    const before = await mediaPorts(9005);
    await janus.streaming({ request: "destroy", id: 9005 });
    await strange(9005);
    const now = await mediaPorts(9005);
    assert.notDeepEqual(now, before);
    await eventually("the forwards go there", async () => isDeepStrictEqual(portsOf(await janus.forwarders(4321)), now));
    await flows(9005);
    await broadcasts.reaches(id, "running");
    await janus.streaming({ request: "destroy", id: 9005 });
    await eventually("it is waited for, in Janus' words", async () => /^mountpoint: .*No such mountpoint/.test((await broadcasts.show(id)).reason ?? ""));
    await strange(9005);
    await broadcasts.reaches(id, "running");
    await broadcasts.stop(id);
    await janus.streaming({ request: "destroy", id: 9005 });
  });

  // Janus throws everybody out who is in there.
  for (const [by, left] of [["us", ["4321"]], ["another client", ["4321", "4322"]]]) { // prettier-ignore
    test(`another client destroys the room, made again by ${by}: the publisher is waited for`, { timeout: 60000 }, async () => {
      const make = () => janus.videoroom({ request: "create", room: 4322, publishers: 4, videocodec: "h264" });
      await make();
      const guest = await browser.publish(janus, { room: 4322, id: 78, display: "guest" });
      const { broadcast_id: id } = await broadcasts.run(request({
        room_id: 4322,
        room_spec: { publishers: 4, videocodec: "h264" },
        publisher_id: 78,
        mountpoint_spec: { ...request().mountpoint_spec, id: 9002 },
      }));
      const madeAgain = by === "us" ? Promise.resolve() : new Promise((done) => {
        proxy.onRequest = async (m) => {
          if (kindOf(m) === "exists" && m.body.room === 4322) {
            proxy.onRequest = () => true;
            await make();
            done();
          }
          return true;
        };
      }); // prettier-ignore
      await janus.videoroom({ request: "destroy", room: 4322 });
      await madeAgain;
      await eventually("it waits for the publisher", async () => {
        const { state, reason } = await broadcasts.show(id);
        return state === "degraded" && /^publisher: publisher 78 does not publish in room 4322 yet/.test(reason);
      });
      await guest.vanish();
      const again = await browser.publish(janus, { room: 4322, id: 78, display: "guest" });
      await broadcasts.reaches(id, "running");
      assert.equal((await janus.forwarders(4322)).length, 2);
      await flows(9002, "ms");
      await broadcasts.stop(id);
      assert.deepEqual((await janus.rooms()).map((r) => `${r.room}`).filter((r) => r.startsWith("432")).sort(), left); // prettier-ignore
      await again.leave();
      if (by !== "us") {
        await janus.videoroom({ request: "destroy", room: 4322 });
      }
    });
  }

  // ---- our own end ----

  async function restart(on_exit) {
    assert.equal((await mast.stop()).code, 0, mast.log.slice(-2000));
    mast.config.broadcasts.on_exit = on_exit;
    await mast.run();
  }
  const SERVER = /descriptor of Janus|descriptor|session|handle|participant/; // what goes with the server itself

  test("on_exit: stop leaves nothing at Janus, and nothing to take up", { timeout: 60000 }, async () => {
    await restart("stop");
    const { broadcast_id: id } = await broadcasts.run(request());
    assert.equal((await mast.stop()).code, 0, mast.log.slice(-2000));
    assert.deepEqual(diffWorld(clean, await world({ janus })).filter((line) => !SERVER.test(line)), []);
    await mast.run();
    const { state, reason } = await broadcasts.show(id);
    assert.deepEqual([state, reason], ["stopped", undefined]);
  });

  test("on_exit: keep leaves all, media goes on, and the next start takes it up", { timeout: 60000 }, async () => {
    await restart("keep");
    const { broadcast_id: id } = await broadcasts.run(request());
    const running = await world({ mast, janus });
    const [forwarders, ports] = [await janus.forwarders(4321), await mediaPorts(9001, "ms")];
    assert.equal((await mast.stop()).code, 0, mast.log.slice(-2000));
    assert.deepEqual(diffWorld(running, await world({ janus })).filter((line) => !SERVER.test(line)), []);
    await flows(9001, "ms");
    await mast.run();
    await broadcasts.reaches(id, "running");
    await sameWorld(running, { mast, janus });
    assert.deepEqual([await janus.forwarders(4321), await mediaPorts(9001, "ms")], [forwarders, ports]);
    await broadcasts.stop(id);
    await nothingLeft();
    await restart("suspend");
  });

  // A publisher's forward, the builtin relay and one of another program, all at once.
  const TAKEN_OVER = "another program takes over, then the server is killed: each goes on at its mountpoint, once";
  test(TAKEN_OVER, { timeout: 240000, skip: process.env.MAST_LONG ? false : "MAST_LONG=1" }, async () => {
    const server = await RtmpServer.start();
    const far = publishDefaults(server.address("feed"), { size: "320x240" });
    let near;
    let over = false;
    const publishing = (async () => {
      // As encoders do: again whenever the connection has ended.
      while (!over) {
        near = publishFfmpeg(mast.rtmp("live/near"), { size: "320x240", bframes: 0 });
        await exitOf(near);
      }
    })();
    try {
      await server.published("feed");
      await mast.onAir("live/near");
      const spec = (id) => ({ mountpoint_spec: { ...request().mountpoint_spec, id } });
      const all = [
        request(),
        { ...spec(9002), source_kind: "stream", stream: "live/near" },
        { ...spec(9003), source_kind: "rtmp_external", relay_kind: "ffmpeg", srs: { rtmp_url: server.url, app: "live", stream_key: "feed" } },
      ];
      const ids = await Promise.all(all.map(async (r) => (await broadcasts.start(r)).broadcast_id));
      const allRun = () => Promise.all(ids.map((id) => broadcasts.reaches(id, "running", { timeout: 60000 })));
      const allFlow = () => Promise.all([9001, 9002, 9003].map((id) => flows(id, "ms")));
      const atJanus = async () => [await janus.forwarders(4321), await Promise.all([9001, 9002, 9003].map((id) => mediaPorts(id, "ms")))];
      await allRun();
      await allFlow();
      const running = await world({ mast, janus });
      const made = await atJanus();
      const began = async () => (await mast.get("/api/v1/version")).started;
      for (const how of ["another program", "a crash"]) {
        const before = await began();
        if (how === "a crash") {
          await mast.stop("SIGKILL");
          await mast.run();
        } else {
          mast.child.kill("SIGUSR2");
          await eventually("it has taken over", async () => (await began()) !== before);
        }
        await mast.onAir("live/near");
        await allRun();
        await allFlow();
        // The relay has other SSRCs each time.
        await sameWorld(running, { mast, janus }, { except: /process .*ffmpeg/ });
        assert.equal(servantsOf(mast.pid).filter((p) => /ffmpeg/.test(p.command)).length, 1, how);
        assert.deepEqual(await atJanus(), made, how);
      }
      for (const id of ids) {
        await broadcasts.stop(id);
      }
      await restart("suspend"); // with it goes mast-av, which stays for the next one who needs it
    } finally {
      over = true;
      await stopChild(near, "SIGKILL");
      await publishing;
      await stopChild(far, "SIGKILL");
      await server.close();
    }
  });

  test("the publisher stays on air through all of it", async () => {
    assert.equal(publisher.id, 77);
    assert.equal((await janus.participants(4321)).filter((p) => p.publisher).length, 1);
  });
}
