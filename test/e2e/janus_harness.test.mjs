// SPDX-License-Identifier: Apache-2.0
// What the tests of broadcasts stand on, without Mast: Chromium publishes into a room of a real Janus, its RTP is forwarded to a
// mountpoint, another page decodes that; Janus is killed and returns. And what is counted is counted.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { after, afterEach, before, test } from "node:test";

import { publishDefaults, runProgram } from "./lib/ffmpeg.mjs";
import { Janus } from "./lib/janus.mjs";
import { eventually, exitOf, PATIENCE_MS, stopChild, TEST_MS } from "./lib/mast.mjs";
import { inOwnNetwork } from "./lib/netns.mjs";
import { Obs, startScreen } from "./lib/obs.mjs";
import { RtmpServer } from "./lib/rtmp-server.mjs";
import { RtspCamera } from "./lib/rtsp-camera.mjs";
import { WebrtcBrowser } from "./lib/webrtc-page.mjs";
import { diffWorld, sameWorld, world } from "./lib/world.mjs";
import { WsProxy } from "./lib/ws-proxy.mjs";

const H264 = "packetization-mode=1;profile-level-id=42e01f;level-asymmetry-allowed=1";

if (inOwnNetwork(import.meta.url)) {
  defineTests();
}

function defineTests() {
  let janus;
  let browser;

  before(async () => {
    janus = await Janus.start({
      rooms: { "room-4321": { room: 4321, description: "permanent", publishers: 4, videocodec: "h264,vp8" } },
    });
    browser = await WebrtcBrowser.start();
  });

  afterEach(async () => {
    janus.check();
    await browser.clear();
  });

  after(async () => {
    await browser?.close();
    await janus?.close();
  });

  const media = (codec, ...more) => [
    { type: "video", mid: "v", port: 0, rtcpport: 0, pt: 96, codec, iface: "127.0.0.1", ...(codec === "h264" && { fmtp: H264 }) },
    { type: "audio", mid: "a", port: 0, pt: 111, codec: "opus", iface: "127.0.0.1" },
    ...more,
  ];

  // A mountpoint of that media, and forwards of the publisher's tracks to it.
  async function bridge(id, publisher, codec, more = {}) {
    const { media: moreMedia = [], streams: moreStreams = () => [], ...request } = more;
    const { stream } = await janus.streaming({ request: "create", type: "rtp", id, media: media(codec, ...moreMedia), ...request });
    const port = Object.fromEntries(stream.ports.map((p) => [p.mid, p]));
    const { forwarders } = await janus.videoroom({
      request: "rtp_forward",
      room: 4321,
      publisher_id: publisher.id,
      host: "127.0.0.1",
      host_family: "ipv4",
      streams: [
        { mid: publisher.mids.video[0], port: port.v.port, rtcp_port: port.v.rtcp_port, pt: 96 },
        { mid: publisher.mids.audio[0], port: port.a.port, pt: 111 },
        ...moreStreams(port),
      ],
    });
    return forwarders;
  }

  async function unbridge(id, publisher, forwarders) {
    for (const { stream_id } of forwarders) {
      await janus.videoroom({ request: "stop_rtp_forward", room: 4321, publisher_id: publisher.id, stream_id });
    }
    await janus.streaming({ request: "destroy", id });
  }

  test("a page publishes, another watches the mountpoint that it is forwarded to; after that all is as before", { timeout: TEST_MS }, async () => {
    const publisher = await browser.publish(janus, { room: 4321, display: "camera", audio: [440], data: true });
    assert.deepEqual((await janus.participants(4321)).map((p) => p.display), ["camera"]); // prettier-ignore
    const before = await world({ janus });

    const data = { media: [{ type: "data", mid: "d", port: 0, iface: "127.0.0.1" }], streams: (p) => [{ mid: publisher.mids.data[0], port: p.d.port }] };
    const forwarders = await bridge(9001, publisher, "h264", data);
    assert.deepEqual(forwarders.map((f) => f.type).sort(), ["audio", "data", "video"]); // prettier-ignore
    const viewer = await browser.watch(janus, { id: 9001 });
    const seen = await viewer.sees();
    assert.deepEqual([seen.codec, seen.width, seen.height], ["h264", 320, 240]);
    await viewer.hears({ hz: 440 });
    await publisher.say("hello");
    await eventually("the message arrives", async () => (await viewer.stats()).messages.includes("hello"));
    await eventually("Janus says that media comes", async () => (await janus.mountpoint(9001)).media.find((m) => m.mid === "v").age_ms < 1000);
    await viewer.leave();

    const during = diffWorld(before, await world({ janus }));
    assert.equal(during.filter((l) => /^\+ forwarder room 4321/.test(l)).length, 3, during.join("\n"));
    assert.ok(during.includes("+ mountpoint 9001"), during.join("\n"));
    await unbridge(9001, publisher, forwarders);
    await sameWorld(before, { janus });
    await publisher.leave();
    assert.deepEqual(await janus.participants(4321), []);
  });

  test("Janus is killed and returns with what is in its files; the page publishes again, VP8", { timeout: TEST_MS }, async () => {
    const publisher = await browser.publish(janus, { room: 4321, id: 77, video: "vp8" });
    await bridge(9002, publisher, "vp8");
    const viewer = await browser.watch(janus, { id: 9002 });
    await viewer.sees();
    await janus.kill();
    await assert.rejects(janus.mountpoints());
    await eventually("the page knows", async () => (await viewer.stats()).closed);
    assert.throws(() => janus.check(), /SIGKILL/);
    assert.deepEqual((await world({ janus })).janus, ["not running"]);

    await janus.run();
    assert.deepEqual(await janus.mountpoints(), []);
    assert.deepEqual((await janus.rooms()).map((r) => r.description), ["permanent"]); // prettier-ignore
    await publisher.publish();
    assert.equal(publisher.id, 77);
    await bridge(9002, publisher, "vp8");
    await viewer.watch();
    const seen = await viewer.sees();
    assert.equal(seen.codec, "vp8");
    await viewer.hears();
  });

  const probe = async (...args) =>
    JSON.parse(await runProgram("ffprobe", ["-v", "error", "-of", "json", "-analyzeduration", "2000000", "-show_streams", ...args])).streams;

  test("the sources give what they say: a B-picture feed, OBS with a password, cameras", { timeout: TEST_MS }, async () => {
    const open = [];
    const opened = (x) => (open.push(x), x);
    let server, feed, obs;
    try {
      server = opened(await RtmpServer.start());
      feed = publishDefaults(server.address("feed"), { size: "320x240" });
      opened({ close: () => stopChild(feed, "SIGKILL") });
      const camera = opened(await RtspCamera.start({ audio: "aac", tones: [440, 880] }));
      obs = opened(await Obs.start(opened(await startScreen()), { password: "obs-secret-pw" }));

      await server.published("feed");
      const [fed, shown] = await Promise.all([
        probe("-select_streams", "v", server.address("feed")),
        probe("-rtsp_transport", "tcp", camera.url),
        assert.rejects(probe("-rtsp_transport", "tcp", camera.address), /401/),
      ]);
      assert.deepEqual(fed.map((s) => [s.codec_name, s.has_b_frames]), [["h264", 2]]); // prettier-ignore
      assert.deepEqual(shown.map((s) => s.codec_name), ["h264", "aac", "aac"]); // prettier-ignore

      const idle = await world({ obs });
      await obs.service({ server: `${server.url}/${server.app}`, key: "obs" });
      await obs.startStream();
      await server.published("obs");
      assert.ok(diffWorld(idle, await world({ obs })).includes("+ OBS streams"));
      await obs.kill();
      await eventually("the stream is gone", async () => !(await server.streams()).obs?.publishing);
    } catch (e) {
      e.message += `\nnginx: ${(await server?.log())?.slice(-1500)}\nfeed: ${feed?.log.slice(-1500)}\nOBS: ${obs?.log.slice(-1500)}`;
      throw e;
    } finally {
      for (const program of open.reverse()) {
        await program.close();
      }
    }
  });

  test("a reply is lost on the way, a request never arrives", async () => {
    const proxy = await WsProxy.start(janus.port);
    const client = await janus.client(proxy.url);
    const create = (id) => ({ request: "create", admin_key: janus.streamingKey, type: "rtp", id, media: media("h264") });
    try {
      const handle = await client.attach("streaming");
      client.answerMs = 500;
      const asked = [];
      proxy.onRequest = (m) => {
        asked.push(m.body?.request);
        return m.body?.id !== 9004;
      };
      proxy.onReply = (m) => m.plugindata?.data.streaming !== "created";
      await assert.rejects(handle.ask(create(9003)), /no answer/);
      await assert.rejects(handle.ask(create(9004)), /no answer/);
      assert.deepEqual((await janus.mountpoints()).filter((m) => m.id > 9002).map((m) => m.id), [9003]); // prettier-ignore
      await handle.ask({ request: "destroy", id: 9003 });
      assert.deepEqual(asked.filter((r) => r), ["create", "create", "destroy"]); // prettier-ignore
      proxy.cut();
      await eventually("the client knows", () => client.closed);
    } finally {
      client.close();
      await proxy.close();
    }
  });

  test("an orphan is seen", async () => {
    const before = await world({});
    const parent = spawn("sh", ["-c", "sleep 61 & echo $!"], { stdio: ["ignore", "pipe", "ignore"] });
    let pid = "";
    parent.stdout.on("data", (d) => (pid += d));
    await exitOf(parent);
    await eventually("it is seen", async () => diffWorld(before, await world({})).includes("+ process sleep 61"));
    process.kill(Number(pid), "SIGKILL");
    await sameWorld(before, {});
  });
}
