// SPDX-License-Identifier: Apache-2.0
// Relay builtin: RTMP with B pictures, published to Mast or pulled from another server, is watched by Chromium at a Janus
// mountpoint, with its sound; what must be encoded anew goes through ffmpeg instead.

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";

import { publishDefaults, publishFfmpeg } from "./lib/ffmpeg.mjs";
import { Janus } from "./lib/janus.mjs";
import { eventually, Mast, stopChild, TEST_MS } from "./lib/mast.mjs";
import { inOwnNetwork } from "./lib/netns.mjs";
import { RtmpServer } from "./lib/rtmp-server.mjs";
import { WebrtcBrowser } from "./lib/webrtc-page.mjs";
import { firstWorld, sameWorld } from "./lib/world.mjs";

const H264 = "packetization-mode=1;profile-level-id=42e01f;level-asymmetry-allowed=1";
const KEY = "n0t-t0-be-seen";
// mast-av stays for the next one who needs it.
const WORKER = /process .*mast-av|descriptor (anon_inode:\[pidfd\]|pipe|socket)$/;

if (inOwnNetwork(import.meta.url)) {
  defineTests();
}

function defineTests() {
  let janus;
  let browser;
  let mast;
  let clean;
  const children = [];
  const child = (c) => (children.push(c), c);
  // B pictures that nothing refers to: they are left out, and what is left is in order.
  const withB = (url) => child(publishFfmpeg(url, { bframes: 2, extra: ["-x264-params", "b-pyramid=none"] }));

  before(async () => {
    janus = await Janus.start({ apiSecret: "apis3cret", reclaim: 0 });
    browser = await WebrtcBrowser.start();
    mast = await Mast.start({
      config: {
        janus: [{ name: "main", url: janus.url, api_secret: "apis3cret", admin_key: janus.streamingKey, room_admin_key: janus.roomKey }],
        outgoing: { allow: ["127.0.0.0/8"] },
      },
    });
    clean = await firstWorld({ mast, janus });
  });

  afterEach(async () => {
    janus.check();
    await browser.clear();
    await Promise.all(children.splice(0).map((c) => stopChild(c, "SIGKILL")));
    await sameWorld(clean, { mast, janus }, { except: WORKER, timeout: 30000 });
  });

  after(async () => {
    await mast?.close();
    await browser?.close();
    await janus?.close();
  });

  async function call(method, path, body) {
    const r = await mast.fetch(`/api/v1/broadcasts${path}`, {
      method,
      headers: { "content-type": "application/json" },
      body: body && JSON.stringify(body),
    });
    assert.ok(r.status < 300, `${method} ${path}: ${r.status} ${r.text}`);
    return r.text && JSON.parse(r.text);
  }

  const begin = (id, mountpoint, more) =>
    call("POST", "", {
      id,
      mountpoint_spec: {
        id: mountpoint,
        media: [
          { type: "video", mid: "v", port: 0, pt: 96, codec: "h264", fmtp: H264 },
          { type: "audio", mid: "a", port: 0, pt: 111, codec: "opus" },
        ],
      },
      ...more,
    });

  const becomes = (id, state) => eventually(`${id} is ${state}`, async () => (await call("GET", `/${id}`)).state === state);

  async function end(id, mountpoint) {
    await call("DELETE", `/${id}`);
    await becomes(id, "stopped");
    assert.deepEqual((await janus.mountpoints()).filter((m) => m.id === mountpoint), []); // prettier-ignore
    await call("DELETE", `/${id}`);
  }

  test("what is published to us is watched at Janus, also after the publisher went and came back", { timeout: TEST_MS }, async () => {
    const made = await begin("own", 9101, { source_kind: "rtmp_external" });
    assert.equal(made.srs_info.path, "broadcast/own");
    assert.equal(made.srs_info.publish_url, mast.rtmp("broadcast/own"));
    const publisher = withB(made.srs_info.publish_url);
    await becomes("own", "running");
    const viewer = await browser.watch(janus, { id: 9101 });
    const seen = await viewer.sees({ frames: 60 });
    assert.deepEqual([seen.codec, seen.width, seen.height], ["h264", 640, 360]);
    await viewer.hears({ hz: 440 });
    const b = await call("GET", "/own");
    assert.equal(b.relay_info.kind, "builtin");
    assert.ok(b.relay_info.b_dropped > 0, "B pictures were left out");
    await stopChild(publisher, "SIGKILL");
    await becomes("own", "degraded");
    withB(made.srs_info.publish_url);
    await becomes("own", "running");
    await viewer.sees({ frames: 60 }); // the same viewer: the timeline went on
    await end("own", 9101);
  });

  test("a stream of another server is pulled, and again after it was away", { timeout: TEST_MS }, async () => {
    const server = await RtmpServer.start();
    try {
      await begin("pulled", 9102, { source_kind: "rtmp_external", srs: { rtmp_url: server.url, app: server.app, stream_key: KEY } });
      await becomes("pulled", "degraded");
      withB(server.address(KEY));
      await becomes("pulled", "running");
      const viewer = await browser.watch(janus, { id: 9102 });
      await viewer.sees();
      await server.kill();
      await becomes("pulled", "degraded");
      await server.run();
      withB(server.address(KEY));
      await becomes("pulled", "running");
      await viewer.sees();
      assert.ok(!JSON.stringify(await call("GET", "/pulled")).includes(KEY));
      await end("pulled", 9102);
      assert.ok(!mast.wholeLog.includes(KEY), "the key is in no log");
    } finally {
      await server.close();
    }
  });

  test("Janus is killed; the stream goes on at its new ports", { timeout: TEST_MS }, async () => {
    await begin("killed", 9103, { source_kind: "stream", stream: "live/k" });
    withB(mast.rtmp("live/k"));
    await becomes("killed", "running");
    await janus.kill();
    await becomes("killed", "degraded");
    await janus.run();
    await eventually("the mountpoint is back", async () => (await janus.mountpoint(9103)).media.every((m) => m.age_ms < 1000));
    await becomes("killed", "running");
    const viewer = await browser.watch(janus, { id: 9103 });
    await viewer.sees();
    await end("killed", 9103);
  });

  test("pictures that others need go through ffmpeg, which says why", { timeout: TEST_MS }, async () => {
    await begin("anew", 9104, { source_kind: "stream", stream: "live/anew" });
    child(publishDefaults(mast.rtmp("live/anew")));
    await becomes("anew", "running");
    const viewer = await browser.watch(janus, { id: 9104 });
    await viewer.sees({ within: 30000 });
    await viewer.hears({ hz: 440 });
    const b = await call("GET", "/anew");
    assert.equal(b.relay_info.kind, "ffmpeg");
    assert.match(b.relay_info.why, /others need them/);
    assert.ok(b.steps.some((s) => s.name === "relay") && !b.steps.some((s) => s.name === "sender"));
    await end("anew", 9104);
  });
}
