// SPDX-License-Identifier: Apache-2.0
// Broadcasts of VideoRoom publishers, with a real Janus and real browsers: what is decoded at the mountpoint, what is there
// afterwards, and that each thing that dies is made good.

import assert from "node:assert/strict";
import { join } from "node:path";
import { after, afterEach, before, test } from "node:test";

import { Broadcasts, janusConfig } from "./lib/broadcast.mjs";
import { runFfmpeg } from "./lib/ffmpeg.mjs";
import { Janus } from "./lib/janus.mjs";
import { eventually, Mast, TEST_MS } from "./lib/mast.mjs";
import { inOwnNetwork } from "./lib/netns.mjs";
import { WebrtcBrowser } from "./lib/webrtc-page.mjs";
import { firstWorld, sameWorld, world } from "./lib/world.mjs";

const H264 = "packetization-mode=1;profile-level-id=42e01f;level-asymmetry-allowed=1";

if (inOwnNetwork(import.meta.url)) {
  defineTests();
}

function defineTests() {
  let janus;
  let browser;
  let mast;
  let broadcasts;
  let clean;

  before(async () => {
    janus = await Janus.start({
      reclaim: 0, // its default: sessions go with their connections
      rooms: { "room-4321": { room: 4321, description: "permanent", publishers: 4, videocodec: "h264,vp8", secret: "room-secret" } },
    });
    janus.roomSecrets[4321] = "room-secret";
    browser = await WebrtcBrowser.start();
    mast = await Mast.start({ config: janusConfig(janus) });
    broadcasts = new Broadcasts(mast);
    clean = await firstWorld({ mast, janus });
  });

  afterEach(async () => {
    janus.check();
    await browser.clear();
    await sameWorld(clean, { mast, janus }, { timeout: 30000 });
  });

  after(async () => {
    await browser?.close();
    await mast?.close();
    await janus?.close();
  });

  const media = (codec, port = {}) => [
    { type: "video", mid: "v", port: port.v ?? 0, pt: 96, codec, ...(codec === "h264" && { fmtp: H264 }) },
    { type: "audio", mid: "a", port: port.a ?? 0, pt: 111, codec: "opus" },
  ];

  const request = (publisher, more = {}) => ({
    source_kind: "videoroom",
    room_id: 4321,
    room_spec: { secret: "room-secret" },
    publisher_id: publisher.id,
    resume: true,
    mountpoint_spec: { id: 9001, media: media("h264") },
    ...more,
  });

  test("a publisher becomes a mountpoint; what was made is gone after the stop, and the room that was there is there", { timeout: TEST_MS }, async () => {
    const publisher = await browser.publish(janus, { room: 4321, display: "camera" });
    await eventually("the server knows Janus", async () => (await broadcasts.ask("GET", "")).status === 200);
    // The first one makes the connection to Janus, which stays.
    const first = await broadcasts.run(request(publisher, { mountpoint_spec: { id: 9000, media: media("h264") } }));
    await broadcasts.stop(first.broadcast_id);
    const before = await world({ mast, janus });

    for (const owned of [true, false]) {
      const b = await broadcasts.run(request(publisher, { owned_by_app: owned, mountpoint_spec: { id: 9001, secret: "ms", media: media("h264") } }));
      assert.deepEqual(b.steps.map((s) => [s.name, s.state]), [["room", "done"], ["mountpoint", "done"], ["publisher", "done"], ["forward", "done"]]); // prettier-ignore
      assert.equal(b.forward_response.forwarders.length, 2);
      const viewer = await browser.watch(janus, { id: 9001 });
      const seen = await viewer.sees();
      assert.equal(seen.codec, "h264");
      await viewer.hears();
      await viewer.leave();
      const ended = await broadcasts.stop(b.broadcast_id);
      assert.deepEqual(await janus.forwarders(4321), []);
      assert.deepEqual(ended.kept.map((k) => k.kind), owned ? ["room"] : ["room", "mountpoint"]); // prettier-ignore
      if (!owned) {
        await janus.streaming({ request: "destroy", id: 9001, secret: "ms" });
      }
      await sameWorld(before, { mast, janus });
    }
  });

  test("an existing mountpoint is used, VP8, and never destroyed", { timeout: TEST_MS }, async () => {
    const publisher = await browser.publish(janus, { room: 4321, video: "vp8" });
    await janus.streaming({ request: "create", type: "rtp", id: 9005, media: media("vp8").map((m) => ({ ...m, ...(m.type === "video" && { rtcpport: 0 }) })) });
    const b = await broadcasts.run(request(publisher, { create_mountpoint: false, mountpoint_spec: { id: 9005 } }));
    const viewer = await browser.watch(janus, { id: 9005 });
    assert.equal((await viewer.sees()).codec, "vp8");
    await broadcasts.stop(b.broadcast_id);
    assert.equal((await janus.mountpoint(9005)).id, 9005);
    await janus.streaming({ request: "destroy", id: 9005 });
    const wrong = await broadcasts.start(request(publisher, { mountpoint_spec: { id: 9006, media: media("h264") } }));
    const failed = await broadcasts.reaches(wrong.broadcast_id, "failed");
    assert.match(failed.reason, /publisher sends vp8, track v of the mountpoint is h264/);
  });

  test("data, three layers of simulcast, and the flat fields of 1.0.0", { timeout: TEST_MS }, async () => {
    const publisher = await browser.publish(janus, { room: 4321, video: "vp8", data: true, simulcast: true, size: [960, 540] });
    const layered = [
      { type: "video", mid: "v", port: 0, port2: 0, port3: 0, simulcast: true, pt: 96, codec: "vp8" },
      { type: "audio", mid: "a", port: 0, pt: 111, codec: "opus" },
      { type: "data", mid: "d", port: 0 },
    ];
    const b = await broadcasts.run(request(publisher, { mountpoint_spec: { id: 9003, media: layered } }));
    assert.deepEqual(b.forward_response.forwarders.map((f) => f.type).sort(), ["audio", "data", "video", "video", "video"]); // prettier-ignore
    const viewer = await browser.watch(janus, { id: 9003 });
    await viewer.sees();
    await publisher.say("hello");
    await eventually("the message arrives", async () => (await viewer.stats()).messages.includes("hello"));
    await viewer.leave();
    await broadcasts.stop(b.broadcast_id);

    const flat = await broadcasts.run({
      source_kind: "videoroom",
      relay_kind: "none",
      room_id: 4321,
      room_spec: { secret: "room-secret" },
      publisher_id: publisher.id,
      mountpoint_id: 9004,
      video_port: 12004,
      audio_port: 12006,
      video_pt: 96,
      audio_pt: 111,
      video_codec: "VP8",
    });
    const watcher = await browser.watch(janus, { id: 9004 });
    await watcher.sees();
    await watcher.hears();
    await broadcasts.stop(flat.broadcast_id);
    assert.deepEqual(await janus.mountpoints(), []);
  });

  test("the second of two sounds, and a file that Janus plays", { timeout: TEST_MS }, async () => {
    const publisher = await browser.publish(janus, { room: 4321, audio: [440, 880] });
    const [video, audio] = media("h264");
    const b = await broadcasts.run(request(publisher, { mountpoint_spec: { id: 9007, media: [video, { ...audio, mindex: 1 }] } }));
    const viewer = await browser.watch(janus, { id: 9007 });
    await viewer.hears({ hz: 880 });
    await broadcasts.stop(b.broadcast_id);

    const filename = join(janus.dir, "tone.mulaw");
    await runFfmpeg(["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=8000", "-t", "10", "-ac", "1", "-f", "mulaw", filename]);
    const played = await broadcasts.run({ source_kind: "frontend_owned", mountpoint_spec: { id: 9008, type: "ondemand", filename } });
    const listener = await browser.watch(janus, { id: 9008 });
    await listener.hears({ hz: 440 });
    await broadcasts.stop(played.broadcast_id);
  });

  test("a publisher that leaves is waited for, and goes on with another id under the same name", { timeout: TEST_MS }, async () => {
    const publisher = await browser.publish(janus, { room: 4321, display: "studio" });
    const b = await broadcasts.run(request(publisher));
    const viewer = await browser.watch(janus, { id: 9001 });
    await viewer.sees();
    await publisher.leave();
    const waits = await broadcasts.reaches(b.broadcast_id, "degraded");
    assert.match(waits.reason, /does not publish in room 4321/);
    const again = await browser.publish(janus, { room: 4321, display: "studio" });
    assert.notEqual(again.id, publisher.id);
    await broadcasts.reaches(b.broadcast_id, "running");
    await viewer.sees();
    await broadcasts.stop(b.broadcast_id);
    assert.deepEqual(await janus.forwarders(4321), []);
  });

  test("a browser joins a slot that was there before it, by what the broadcast tells", { timeout: TEST_MS }, async () => {
    const { broadcast_id } = await broadcasts.start({
      source_kind: "browser_webrtc",
      room_id: 5555,
      room_spec: { publishers: 2, videocodec: "h264" },
      publisher_display: "guest",
      mountpoint_spec: { id: 9002, media: media("h264") },
    });
    const waits = await broadcasts.reaches(broadcast_id, "degraded");
    assert.deepEqual([waits.join.room, waits.join.display, waits.join.mountpoint], [5555, "guest", 9002]);
    const guest = await browser.publish(janus, { room: waits.join.room, display: waits.join.display });
    await broadcasts.reaches(broadcast_id, "running");
    const viewer = await browser.watch(janus, { id: waits.join.mountpoint });
    await viewer.sees();
    await guest.leave();
    await broadcasts.stop(broadcast_id);
    assert.ok(!(await janus.rooms()).some((r) => r.room === 5555));
  });

  test("Janus dies and returns: what was made is made anew, and goes on when the publisher is back", { timeout: TEST_MS }, async () => {
    const publisher = await browser.publish(janus, { room: 4321, display: "camera" });
    const b = await broadcasts.run(request(publisher));
    await janus.kill();
    await broadcasts.reaches(b.broadcast_id, "degraded");
    await janus.run();
    await eventually("the mountpoint is made anew", async () => (await janus.mountpoints()).some((m) => m.id === 9001));
    await browser.publish(janus, { room: 4321, display: "camera" });
    await broadcasts.reaches(b.broadcast_id, "running");
    const viewer = await browser.watch(janus, { id: 9001 });
    await viewer.sees();
    assert.equal((await janus.forwarders(4321)).length, 2);
    await broadcasts.stop(b.broadcast_id);
    assert.deepEqual(await janus.mountpoints(), []);
  });

  test("the server dies and returns: viewers see no gap, nothing is doubled, and the stop undoes all", { timeout: TEST_MS }, async () => {
    const publisher = await browser.publish(janus, { room: 4321, display: "camera" });
    const b = await broadcasts.run(request(publisher));
    const viewer = await browser.watch(janus, { id: 9001 });
    await viewer.sees();
    const before = await janus.forwarders(4321);
    await mast.stop("SIGKILL");
    await viewer.sees();
    await mast.run();
    await broadcasts.reaches(b.broadcast_id, "running");
    assert.deepEqual(await janus.forwarders(4321), before);
    await viewer.sees();
    await broadcasts.stop(b.broadcast_id);
    assert.deepEqual(await janus.forwarders(4321), []);
    assert.deepEqual(await janus.mountpoints(), []);
  });
}
