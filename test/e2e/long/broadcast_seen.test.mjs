// SPDX-License-Identifier: Apache-2.0
// What broadcasts can besides the usual, seen and heard by a browser at a real Janus: rooms that the front end fills, the nth of
// several sounds, media that Janus fetches itself, ids that are text, and TLS to Janus.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, test } from "node:test";

import { Broadcasts, janusConfig } from "../lib/broadcast.mjs";
import { makeTwoSounds, publishDefaults, publishFfmpeg, runFfmpeg, startProgram } from "../lib/ffmpeg.mjs";
import { Janus } from "../lib/janus.mjs";
import { eventually, freePort, Mast, stopChild, TEST_MS } from "../lib/mast.mjs";
import { inOwnNetwork } from "../lib/netns.mjs";
import { RtmpServer } from "../lib/rtmp-server.mjs";
import { RtspCamera } from "../lib/rtsp-camera.mjs";
import { WebrtcBrowser } from "../lib/webrtc-page.mjs";
import { sameWorld, servantsOf, world } from "../lib/world.mjs";

const H264 = "packetization-mode=1;profile-level-id=42e01f;level-asymmetry-allowed=1";
const video = { type: "video", mid: "v", port: 0, pt: 96, codec: "h264", fmtp: H264 };
const audio = { type: "audio", mid: "a", port: 0, pt: 111, codec: "opus" };

if (inOwnNetwork(import.meta.url)) {
  defineTests();
}

// A certificate for 127.0.0.1 that signs itself: {cert, key}, files.
function makeCertificate(dir, name, address) {
  const [cert, key] = [join(dir, `${name}.crt`), join(dir, `${name}.key`)];
  execFileSync("openssl", [
    ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", `/CN=${name}`],
    ...["-addext", `subjectAltName=IP:${address}`, "-keyout", key, "-out", cert],
  ], { stdio: "ignore" }); // prettier-ignore
  return { cert, key };
}

function defineTests() {
  let dir;
  let certificate;
  let janus;
  let browser;
  let mast;
  let broadcasts;
  const open = [];
  const opened = (thing) => (open.push(thing), thing);
  const feed = (child) => opened({ close: () => stopChild(child, "SIGKILL") });

  before(async () => {
    dir = mkdtempSync(join(tmpdir(), "mast-seen-"));
    certificate = makeCertificate(dir, "janus", "127.0.0.1");
    janus = await Janus.start({ tls: certificate });
    browser = await WebrtcBrowser.start();
    mast = await Mast.start({ config: { ...janusConfig(janus, { public_url: janus.url }), outgoing: { allow: ["127.0.0.0/8"] } } });
    broadcasts = new Broadcasts(mast);
  });

  afterEach(async () => {
    janus.check();
    for (const thing of open.splice(0).reverse()) {
      await thing.close();
    }
    await browser.clear();
    await broadcasts.ask("POST", "/stop-all"); // a test that failed leaves nothing to the next one
    await eventually("all have ended", async () => (await broadcasts.ask("GET", "?active=true")).body.items.every((b) => /stopped|failed/.test(b.state)));
  });

  after(async () => {
    await browser?.close();
    await mast?.close();
    await janus?.close();
    rmSync(dir, { recursive: true, force: true });
  });

  // Pictures, if there are any, and the tone.
  async function perceives(id, { pictures = true, hz, from = janus } = {}) {
    const viewer = await browser.watch(from, { id });
    if (pictures) {
      await viewer.sees();
    }
    await viewer.hears({ hz });
    await viewer.leave();
  }

  // ---- frontend_owned ----

  test("a room of the front end: a browser joins by what the broadcast tells; health follows who publishes", { timeout: TEST_MS }, async () => {
    const { broadcast_id: id } = await broadcasts.start({ source_kind: "frontend_owned", room_spec: { publishers: 2, videocodec: "h264", pin: "room pin" } });
    const waits = await broadcasts.reaches(id, "degraded");
    assert.match(waits.reason, /nobody publishes in room \d+ yet/);
    assert.equal(waits.health.publisher, false);
    assert.ok(waits.join.pin_required);
    assert.match(waits.note, new RegExp(`publish into room ${waits.join.room}$`));
    for (let round = 0; round < 2; round++) {
      const guest = await browser.publish({ url: waits.join.janus_url }, { room: waits.join.room, pin: "room pin", display: `guest ${round}` });
      const runs = await broadcasts.reaches(id, "running");
      assert.deepEqual([runs.health.healthy, runs.health.publisher], [true, true]);
      await guest.leave();
      const again = await broadcasts.reaches(id, "degraded");
      assert.deepEqual([again.health.healthy, again.health.publisher], [false, false]);
    }
    await broadcasts.stop(id);
    assert.ok(!(await janus.rooms()).some((r) => r.room === waits.join.room));
  });

  test("a room and a mountpoint of the front end, which forwards by itself: health follows the media", { timeout: TEST_MS }, async () => {
    const { broadcast_id: id } = await broadcasts.start({
      source_kind: "frontend_owned",
      room_id: 5001,
      room_spec: { publishers: 2, videocodec: "h264" },
      mountpoint_spec: { id: 9201, media: [{ ...video, rtcpport: 0 }, audio] },
    });
    const waits = await broadcasts.reaches(id, "degraded");
    assert.match(waits.reason, /no media for \d+ ms on track/);
    const { join, mountpoint_response } = waits;
    const page = await browser.publish({ url: join.janus_url }, { room: join.room });
    const to = Object.fromEntries(mountpoint_response.ports.map((p) => [p.kind, p]));
    const client = opened(await janus.client());
    const handle = await client.attach("videoroom");
    await handle.ask({
      request: "rtp_forward", room: join.room, publisher_id: page.id, admin_key: janus.roomKey, host: to.video.host,
      streams: [
        { mid: page.mids.video[0], port: to.video.port, rtcp_port: to.video.rtcp_port, pt: 96 },
        { mid: page.mids.audio[0], port: to.audio.port, pt: 111 },
      ],
    }); // prettier-ignore
    await broadcasts.reaches(id, "running");
    await perceives(join.mountpoint);
    await page.unpublish();
    await broadcasts.reaches(id, "degraded");
    await broadcasts.stop(id);
    assert.deepEqual(await janus.mountpoints(), []);
  });

  test("a stream that the front end publishes to: health follows whether it is on air", { timeout: TEST_MS }, async () => {
    const { broadcast_id: id } = await broadcasts.start({ source_kind: "frontend_owned", stream: "live/front" });
    const waits = await broadcasts.reaches(id, "degraded");
    assert.match(waits.reason, /nobody publishes live\/front yet/);
    assert.equal(waits.join.publish_url, mast.rtmp("live/front"));
    assert.match(waits.note, /publish by RTMP to join.publish_url$/);
    for (let round = 0; round < 2; round++) {
      const publisher = feed(publishFfmpeg(waits.join.publish_url, { size: "320x240" }));
      assert.equal((await broadcasts.reaches(id, "running")).health.stream, true);
      await publisher.close();
      assert.match((await broadcasts.reaches(id, "degraded")).reason, /nobody publishes live\/front/);
    }
    await broadcasts.stop(id);
  });

  // ---- the nth sound ----

  const second = { mountpoint_spec: { id: 9202, media: [video, { ...audio, mindex: 1 }] } };

  test("a camera with two sounds, by ffmpeg: the mountpoint has the one that mindex names, or both; gstreamer refuses", { timeout: TEST_MS }, async () => {
    const camera = opened(await RtspCamera.start({ tones: [440, 880] }));
    const { address: url, user: username, password } = camera;
    const request = { source_kind: "rtsp_camera", relay_kind: "ffmpeg", rtsp_camera: { url, username, password } };
    for (const [media, tones] of [
      [[video, { ...audio, mindex: 0 }], { a: 440 }],
      [[video, { ...audio, mindex: 1 }], { a: 880 }],
      [[video, { ...audio, mid: "x", mindex: 1 }, { ...audio, mid: "y", mindex: 0 }], { x: 880, y: 440 }],
    ]) {
      const { broadcast_id: id } = await broadcasts.start({ ...request, mountpoint_spec: { id: 9202, media } });
      await broadcasts.reaches(id, "running");
      const viewer = await browser.watch(janus, { id: 9202 });
      await viewer.sees();
      for (const [mid, hz] of Object.entries(tones)) {
        await viewer.hears({ mid, hz });
      }
      await viewer.leave();
      await broadcasts.stop(id);
    }
    const refused = await broadcasts.ask("POST", "", { ...request, ...second, relay_kind: "gstreamer" });
    assert.deepEqual([refused.status, refused.body.field], [400, "mountpoint_spec.media[1].mindex"]);
  });

  test("a publisher with two sounds: the mountpoint has the one that mindex names; a third one is refused by its words", { timeout: TEST_MS }, async () => {
    await janus.videoroom({ request: "create", room: 5002, publishers: 3, videocodec: "h264" });
    const publisher = await browser.publish(janus, { room: 5002, audio: [440, 880] });
    assert.equal(publisher.mids.audio.length, 2);
    const request = { source_kind: "videoroom", room_id: 5002, publisher_id: publisher.id };
    for (const [mindex, hz] of [[1, 880], [0, 440]]) {
      const b = await broadcasts.run({ ...request, mountpoint_spec: { id: 9202, media: [video, { ...audio, mindex }] } });
      await perceives(9202, { hz });
      await broadcasts.stop(b.broadcast_id);
    }
    const { broadcast_id: id } = await broadcasts.start({ ...request, mountpoint_spec: { id: 9202, media: [video, { ...audio, mindex: 2 }] } });
    assert.match((await broadcasts.reaches(id, "failed")).reason, /mindex.*2: the source has 2 audio streams|^forward: 2: the source has 2 audio streams/);
    await janus.videoroom({ request: "destroy", room: 5002 });
  });

  for (const relay of ["ffmpeg", "gstreamer"]) {
    test(`MPEG-TS with two sounds that ${relay} reads by input_url: the mountpoint has the one that mindex names`, { timeout: TEST_MS }, async () => {
      const file = await makeTwoSounds(join(dir, `${relay}.ts`), { seconds: 10 });
      const port = await freePort();
      const input_url = `udp://127.0.0.1:${port}`;
      feed(startProgram("ffmpeg", ["-hide_banner", "-loglevel", "error", "-nostdin", "-re", "-stream_loop", "-1", "-i", file, "-map", "0", "-c", "copy", "-f", "mpegts", `${input_url}?pkt_size=1316`])); // prettier-ignore
      for (const [mindex, hz] of [[1, 880], [0, 440]]) {
        const media = [video, { ...audio, mindex }];
        const { broadcast_id: id } = await broadcasts.start({ source_kind: "rtmp_external", relay_kind: relay, input_url, mountpoint_spec: { id: 9202, media } });
        await broadcasts.reaches(id, "running");
        await perceives(9202, { hz });
        await broadcasts.stop(id);
      }
    });
  }

  // ---- external ----

  test("the source kind external of 1.0.0 is rtmp_external, and says so", { timeout: TEST_MS }, async () => {
    const server = opened(await RtmpServer.start());
    feed(publishDefaults(server.address("old"), { size: "320x240" }));
    await server.published("old");
    const before = await world({ mast });
    const request = {
      source_kind: "external",
      relay_kind: "ffmpeg",
      srs: { rtmp_url: server.url, app: "live", stream_key: "old" },
      mountpoint_spec: { id: 9203, media: [video, audio] },
    };
    const plan = await broadcasts.ask("POST", "/plan", request);
    assert.deepEqual([plan.status, plan.body.source_kind], [200, "rtmp_external"]);
    assert.match(plan.body.warnings.join(), /external is deprecated/);
    const { broadcast_id: id, request: taken, warnings } = await broadcasts.start(request);
    assert.equal(taken.source_kind, "rtmp_external");
    assert.match(warnings.join(), /external is deprecated/);
    await broadcasts.reaches(id, "running");
    await perceives(9203, { hz: 440 });
    await broadcasts.stop(id);
    await sameWorld(before, { mast }, { except: /tcp to/ });
  });

  // ---- what Janus fetches itself ----

  const fetched = (id, spec) => ({ source_kind: "frontend_owned", mountpoint_spec: { id, ...spec } });

  test("mountpoints of files: live and on demand, Opus and G.711", { timeout: TEST_MS }, async () => {
    const sine = ["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000", "-t", "20"];
    const files = { opus: join(dir, "tone.opus"), pcmu: join(dir, "tone.mulaw"), pcma: join(dir, "tone.alaw") };
    await runFfmpeg([...sine, "-c:a", "libopus", "-frame_duration", "20", "-f", "ogg", files.opus]);
    await runFfmpeg([...sine, "-ar", "8000", "-ac", "1", "-f", "mulaw", files.pcmu]);
    await runFfmpeg([...sine, "-ar", "8000", "-ac", "1", "-f", "alaw", files.pcma]);
    const before = await world({ mast, janus });
    for (const [type, codec] of [["live", "opus"], ["ondemand", "opus"], ["live", "pcmu"], ["ondemand", "pcma"]]) {
      const b = await broadcasts.run(fetched(9204, { type, filename: files[codec], secret: "ms", pin: "mp" }));
      assert.match(b.note, /fetched by Janus itself$/);
      assert.equal(b.request.mountpoint_spec.media[0].codec, codec);
      const viewer = await browser.watch(janus, { id: 9204, pin: "mp" });
      await viewer.hears({ hz: 440 });
      assert.equal((await viewer.stats()).tracks[0].codec, codec);
      await viewer.leave();
      assert.equal((await broadcasts.show(b.broadcast_id)).health.healthy, true);
      await broadcasts.stop(b.broadcast_id);
    }
    await sameWorld(before, { mast, janus });
  });

  test("a mountpoint of a file that is there is used, and never destroyed; what cannot be played is refused", { timeout: TEST_MS }, async () => {
    const filename = join(dir, "used.opus");
    await runFfmpeg(["-f", "lavfi", "-i", "sine=frequency=880:sample_rate=48000", "-t", "10", "-c:a", "libopus", "-f", "ogg", filename]);
    await janus.streaming({ request: "create", type: "ondemand", id: 9205, filename, audio: true, audiopt: 111, audiocodec: "opus" });
    const b = await broadcasts.run({ ...fetched(9205, { type: "ondemand" }), create_mountpoint: false });
    await perceives(9205, { pictures: false, hz: 880 });
    await broadcasts.stop(b.broadcast_id);
    assert.equal((await janus.mountpoint(9205)).id, 9205);
    await janus.streaming({ request: "destroy", id: 9205 });
    const refused = await broadcasts.ask("POST", "", fetched(9206, { type: "live", filename: "/tmp/tone.mp3" }));
    assert.deepEqual([refused.status, refused.body.field], [400, "mountpoint_spec.filename"]);
    assert.match(refused.body.detail, /^must end with .opus/);
    const { broadcast_id: id } = await broadcasts.start(fetched(9206, { type: "live", filename: join(dir, "none.opus") }));
    assert.match((await broadcasts.reaches(id, "failed")).reason, /^mountpoint: janus main refused to make the mountpoint: Can't add 'live' stream, no such file .*\(456\)/);
    // The id is free again, as is told of an unknown type that it is not.
    const again = await broadcasts.run(fetched(9206, { type: "live", filename }));
    await broadcasts.stop(again.broadcast_id);
  });

  test("a mountpoint that Janus fetches from a camera by RTSP; the camera goes and returns", { timeout: TEST_MS }, async () => {
    const camera = opened(await RtspCamera.start({ user: "cam", password: "secret" }));
    const spec = { type: "rtsp", url: camera.address, rtsp_user: "cam", rtsp_pwd: "secret", rtsp_reconnect_delay: 2, metadata: "mine" };
    const b = await broadcasts.run(fetched(9207, spec));
    await perceives(9207, { hz: 440 });
    assert.doesNotMatch(JSON.stringify(await broadcasts.show(b.broadcast_id)), /"secret"/);
    await camera.kill();
    const waits = await broadcasts.reaches(b.broadcast_id, "degraded");
    assert.match(waits.reason, /no media/);
    await camera.run();
    await broadcasts.reaches(b.broadcast_id, "running");
    await perceives(9207, { hz: 440 });
    await broadcasts.stop(b.broadcast_id);
    assert.deepEqual(await janus.mountpoints(), []);
    const { broadcast_id: id } = await broadcasts.start(fetched(9208, { ...spec, rtsp_pwd: "wrong", media: [{ type: "video", mid: "v" }] }));
    assert.match((await broadcasts.reaches(id, "failed")).reason, /^mountpoint: janus main refused to make the mountpoint: Error creating 'RTSP' stream \(456\)/);
    const refused = await broadcasts.ask("POST", "", fetched(9208, { type: "rtsp", url: "file:///etc/passwd" }));
    assert.deepEqual([refused.status, refused.body.field, refused.body.detail], [400, "mountpoint_spec.url", "must be rtsp:// or rtsps://"]);
  });

  // ---- ids that are text ----

  test("a Janus with string_ids: rooms, publishers and mountpoints by text; Janus dies, the server dies", { timeout: TEST_MS }, async () => {
    const texts = await Janus.start({ stringIds: true });
    const server = await Mast.start({ config: janusConfig(texts, { string_ids: true }) });
    const there = new Broadcasts(server);
    try {
      const request = {
        source_kind: "videoroom",
        room_id: "the-studio",
        room_spec: { secret: "rs", videocodec: "h264" },
        publisher_display: "camera",
        resume: true,
        mountpoint_spec: { id: "stage 1", secret: "ms", media: [video, audio] },
      };
      await texts.videoroom({ request: "create", room: "the-studio", secret: "rs", publishers: 3, videocodec: "h264", permanent: true });
      texts.roomSecrets["the-studio"] = "rs";
      await browser.publish(texts, { room: "the-studio", display: "camera", audio: [440] });
      const b = await there.run(request);
      assert.deepEqual([b.mountpoint_response.id, b.room_response.room], ["stage 1", "the-studio"]);
      assert.equal(typeof b.forward_response.publisher_id, "string");
      await perceives("stage 1", { hz: 440, from: texts });

      const forwarders = await texts.forwarders("the-studio");
      await server.stop("SIGKILL");
      await server.run();
      await there.reaches(b.broadcast_id, "running");
      assert.deepEqual(await texts.forwarders("the-studio"), forwarders);

      await texts.kill();
      await there.reaches(b.broadcast_id, "degraded");
      await texts.run();
      await browser.publish(texts, { room: "the-studio", display: "camera", audio: [880] });
      await there.reaches(b.broadcast_id, "running");
      await perceives("stage 1", { hz: 880, from: texts });
      await there.stop(b.broadcast_id);
      assert.deepEqual(await texts.forwarders("the-studio"), []);
      assert.deepEqual(await texts.mountpoints(), []);

      // A permanent one that is there after a restart of Janus is taken up; ids of ours are text too.
      const permanent = await there.run({ ...request, mountpoint_spec: { secret: "ms", permanent: true, media: [video, audio] } });
      assert.equal(permanent.mountpoint_response.id, `mast-${permanent.broadcast_id}`);
      await texts.kill();
      await there.reaches(permanent.broadcast_id, "degraded");
      await texts.run();
      await browser.publish(texts, { room: "the-studio", display: "camera", audio: [440] });
      await there.reaches(permanent.broadcast_id, "running");
      assert.equal((await texts.mountpoints()).length, 1);
      await perceives(permanent.mountpoint_response.id, { hz: 440, from: texts });
      await there.stop(permanent.broadcast_id);
      assert.deepEqual(await texts.mountpoints(), []);
      texts.check();
    } finally {
      await server.close();
      await texts.close();
    }
  });

  // ---- TLS ----

  test("wss to Janus: with its certificate a broadcast runs, without it or for another address it is refused", { timeout: TEST_MS }, async () => {
    const other = makeCertificate(dir, "other", "127.0.0.1");
    const misnamed = makeCertificate(dir, "misnamed", "10.9.9.9");
    const elsewhere = await Janus.start({ tls: misnamed });
    const [trusted] = janusConfig(janus, { url: janus.secureUrl, ca: certificate.cert }).janus;
    const server = await Mast.start({
      config: {
        janus: [
          trusted,
          { ...trusted, name: "stranger", ca: other.cert },
          { ...trusted, name: "public", ca: undefined },
          { ...trusted, name: "misnamed", url: elsewhere.secureUrl, ca: misnamed.cert },
        ],
        outgoing: { allow: ["127.0.0.0/8"] },
      },
    });
    const there = new Broadcasts(server);
    try {
      await janus.videoroom({ request: "create", room: 5003, publishers: 3, videocodec: "h264" });
      const publisher = await browser.publish(janus, { room: 5003, audio: [440] });
      const request = { source_kind: "videoroom", room_id: 5003, publisher_id: publisher.id, mountpoint_spec: { id: 9209, media: [video, audio] } };
      const b = await there.run(request);
      await perceives(9209, { hz: 440 });
      await there.stop(b.broadcast_id);
      for (const name of ["stranger", "public", "misnamed"]) {
        const seen = await eventually(`${name} is refused`, async () => {
          const { servers, items } = await server.get("/api/v1/janus");
          return (servers ?? items).find((s) => s.name === name && s.reason);
        });
        assert.match(seen.reason, name === "misnamed" ? /address/i : /certificate/i, seen.reason);
      }
      await janus.videoroom({ request: "destroy", room: 5003 });
    } finally {
      await server.close();
      await elsewhere.close();
    }
  });

  test("nothing of all that is left", async () => {
    assert.deepEqual(servantsOf(mast.pid).filter((p) => /ffmpeg|gst-launch/.test(p.command)), []);
    assert.deepEqual(await janus.mountpoints(), []);
  });
}
