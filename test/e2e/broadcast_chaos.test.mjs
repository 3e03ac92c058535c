// SPDX-License-Identifier: Apache-2.0
// What goes wrong in every step of a broadcast, with a real Janus, a real publisher, and a proxy between the server and Janus
// that loses messages or kills the server in the moment a request passes. Afterwards each broadcast runs, or has failed with the
// step and Janus' words, and nothing is left behind or everything that is owed gets paid. MAST_LONG=1: each of the answers is
// lost once (each costs a deadline).

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";

import { Broadcasts, janusConfig } from "./lib/broadcast.mjs";
import { Janus } from "./lib/janus.mjs";
import { eventually, Mast } from "./lib/mast.mjs";
import { inOwnNetwork } from "./lib/netns.mjs";
import { WebrtcBrowser } from "./lib/webrtc-page.mjs";
import { sameWorld, world } from "./lib/world.mjs";
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
    janus = await Janus.start({ reclaim: 6 });
    browser = await WebrtcBrowser.start();
    await janus.videoroom({ request: "create", room: 4321, publishers: 4, videocodec: "h264" });
    publisher = await browser.publish(janus, { room: 4321, id: 77, display: "camera" });
    proxy = await WsProxy.start(janus.port);
    const config = janusConfig(janus);
    config.janus[0].url = proxy.url;
    mast = await Mast.start({ config });
    broadcasts = new Broadcasts(mast);
    const first = await broadcasts.run(request());
    await broadcasts.stop(first.broadcast_id);
    clean = await janusWorld();
  });

  afterEach(async () => {
    proxy.onRequest = proxy.onReply = () => true;
    janus.check();
  });

  after(async () => {
    await browser?.close();
    await mast?.close();
    await proxy?.close();
    await janus?.close();
  });

  const janusWorld = () => world({ janus });
  // Sessions and listeners of the server come and go with its connections.
  const OURS = /session|handle|participant/;
  const nothingLeft = () => sameWorld(clean, { janus }, { except: OURS, timeout: 60000 });

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
      await nothingLeft();
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
        const { broadcast_id: id } = await broadcasts.start(request());
        await eventually("the server is dead", async () => mast.child.exitCode !== null || mast.child.signalCode !== null);
        proxy.onRequest = proxy.onReply = () => true;
        await mast.run();
        await broadcasts.reaches(id, "running", { timeout: 60000 });
        assert.equal((await janus.forwarders(4321)).length, 2, "nothing is doubled");
        await broadcasts.stop(id);
        await settled(id);
        await nothingLeft();
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
    await nothingLeft();
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
    await nothingLeft();
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
    await nothingLeft();
  });

  test("the publisher stays on air through all of it", async () => {
    assert.equal(publisher.id, 77);
    assert.equal((await janus.participants(4321)).filter((p) => p.publisher).length, 1);
  });
}
