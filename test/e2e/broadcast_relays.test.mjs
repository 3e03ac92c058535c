// SPDX-License-Identifier: Apache-2.0
// Broadcasts of RTMP feeds, cameras and streams by every relay, with a real Janus: a browser decodes pictures and sound at the
// mountpoint. The feeds are what encoders send by default, with B pictures that others refer to.

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";

import { Broadcasts, janusConfig } from "./lib/broadcast.mjs";
import { publishDefaults, publishFfmpeg } from "./lib/ffmpeg.mjs";
import { Janus } from "./lib/janus.mjs";
import { Mast, stopChild, TEST_MS } from "./lib/mast.mjs";
import { inOwnNetwork } from "./lib/netns.mjs";
import { RtmpServer } from "./lib/rtmp-server.mjs";
import { RtspCamera } from "./lib/rtsp-camera.mjs";
import { WebrtcBrowser } from "./lib/webrtc-page.mjs";
import { firstWorld, sameWorld, servantsOf } from "./lib/world.mjs";

const H264 = "packetization-mode=1;profile-level-id=42e01f;level-asymmetry-allowed=1";
// mast-av stays for the next one who needs it.
const WORKER = /process .*mast-av|descriptor (anon_inode:\[pidfd\]|pipe|socket)$/;

if (inOwnNetwork(import.meta.url)) {
  defineTests();
}

function defineTests() {
  let janus;
  let browser;
  let mast;
  let broadcasts;
  let clean;
  const open = [];

  before(async () => {
    janus = await Janus.start({ reclaim: 0 }); // its default: sessions go with their connections
    browser = await WebrtcBrowser.start();
    mast = await Mast.start({ config: { ...janusConfig(janus), outgoing: { allow: ["127.0.0.0/8"] } } });
    broadcasts = new Broadcasts(mast);
    clean = await firstWorld({ mast, janus });
  });

  afterEach(async () => {
    janus.check();
    for (const thing of open.splice(0).reverse()) {
      await thing.close();
    }
    await browser.clear();
    await sameWorld(clean, { mast, janus }, { except: WORKER, timeout: 30000 });
  });

  after(async () => {
    await browser?.close();
    await mast?.close();
    await janus?.close();
  });

  const opened = (thing) => (open.push(thing), thing);
  const feed = (child) => opened({ close: () => stopChild(child, "SIGKILL") });

  const request = (more) => ({
    mountpoint_spec: {
      id: 9001,
      media: [
        { type: "video", mid: "v", port: 0, pt: 96, codec: "h264", fmtp: H264 },
        { type: "audio", mid: "a", port: 0, pt: 111, codec: "opus", fmtp: "minptime=10;useinbandfec=1;stereo=1;sprop-stereo=1" },
      ],
    },
    ...more,
  });

  // Pictures and the tone of 440 Hz that all our sources make.
  async function isSeen(hz = 440) {
    const viewer = await browser.watch(janus, { id: 9001 });
    await viewer.sees();
    await viewer.hears({ hz });
    await viewer.leave();
  }

  const spec = (server, key) => ({ rtmp_url: server.url, app: "live", stream_key: key });

  for (const relay of ["ffmpeg", "gstreamer"]) {
    test(`a feed at another RTMP server, by ${relay}, started before it is there`, { timeout: TEST_MS }, async () => {
      const server = opened(await RtmpServer.start());
      const { broadcast_id: id } = await broadcasts.start(request({ source_kind: "rtmp_external", relay_kind: relay, srs: spec(server, "secret-key-1") }));
      const waits = await broadcasts.reaches(id, "degraded");
      assert.match(waits.reason, /no media/);
      feed(publishDefaults(server.address("secret-key-1"), { size: "320x240" }));
      await broadcasts.reaches(id, "running");
      await isSeen();
      assert.doesNotMatch(JSON.stringify(await broadcasts.show(id)), /secret-key-1/);
      await broadcasts.stop(id);
      assert.deepEqual(await janus.mountpoints(), []);
    });

    test(`a camera with a password, by ${relay}`, { timeout: TEST_MS }, async () => {
      const camera = opened(await RtspCamera.start());
      const { address: url, user: username, password } = camera;
      const b = await broadcasts.start(request({ source_kind: "rtsp_camera", relay_kind: relay, rtsp_camera: { url, username, password } }));
      await broadcasts.reaches(b.broadcast_id, "running");
      await isSeen();
      await broadcasts.stop(b.broadcast_id);
    });
  }

  test("a feed that comes to us, by the builtin relay: no process of another program", { timeout: TEST_MS }, async () => {
    const b = await broadcasts.start(request({ source_kind: "rtmp_external", stream: "live/cam" }));
    assert.equal(b.relay_info?.kind ?? "builtin", "builtin");
    feed(publishFfmpeg(mast.rtmp("live/cam"), { size: "320x240", gop: 30, bframes: 0 }));
    await broadcasts.reaches(b.broadcast_id, "running");
    await isSeen();
    assert.ok(!servantsOf(mast.pid).some((p) => /ffmpeg|gst-launch/.test(JSON.stringify(p))));
    await broadcasts.stop(b.broadcast_id);
  });

  test("pictures that must be encoded anew: ffmpeg takes over from the builtin relay, and says why", { timeout: TEST_MS }, async () => {
    const server = opened(await RtmpServer.start());
    feed(publishDefaults(server.address("feed"), { size: "320x240" }));
    await server.published("feed");
    const { broadcast_id: id } = await broadcasts.start(request({ source_kind: "rtmp_external", srs: spec(server, "feed") }));
    const b = await broadcasts.reaches(id, "running");
    await isSeen();
    const shown = await broadcasts.show(id);
    assert.equal(shown.relay_info.kind, "ffmpeg", JSON.stringify(b.relay_info));
    assert.ok(shown.relay_info.why);
    await broadcasts.stop(id);
    assert.deepEqual(await janus.mountpoints(), []);
  });
}
