// SPDX-License-Identifier: Apache-2.0
// RTMP and RTMPS as further programs speak them, and who may: addresses of several segments, credentials behind the key,
// librtmp, certificates (issue 2, 3). What needs OBS or VLC is in long/.

import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { assertRising, frames, probe, publishFfmpeg, publishGstreamer, runFfmpeg, runProgram, startProgram } from "./lib/ffmpeg.mjs";
import { eventually, exitOf, Mast, stopChild } from "./lib/mast.mjs";

const PASSWORD = "a secret+of 100% x&y";
const CREDENTIALS = `user=studio&pass=${encodeURIComponent(PASSWORD)}`;

let open; // this machine may do everything
let closed; // only users may
let folder;

before(async () => {
  open = await Mast.start();
  closed = await Mast.start({
    config: {
      access: {
        users: [
          { name: "studio", password: PASSWORD, publish: ["live/*"], api: true },
          { name: "viewer", password: "watch only 1", read: ["live/*"] },
        ],
      },
    },
  });
  folder = await mkdtemp(join(tmpdir(), "mast-interop-"));
});

after(async () => {
  await open?.close();
  await closed?.close();
  if (folder) {
    await rm(folder, { recursive: true, force: true });
  }
});

const rtmps = (mast, path) => `rtmps://127.0.0.1:${mast.rtmpsPort}/${path}`;

// The program publishes while run() does.
async function whilePublishing(child, mast, run) {
  try {
    return await run();
  } catch (e) {
    e.message += `\npublisher: ${child.log.slice(-1500)}\nmast: ${mast.log.slice(-3000)}`;
    throw e;
  } finally {
    await stopChild(child, "SIGKILL");
  }
}

async function assertReads(args, what) {
  const text = await runFfmpeg([...args, "-t", "2", "-c", "copy", "-f", "framecrc", "-"]);
  for (const stream of [0, 1]) {
    const list = frames(text, stream);
    assert.ok(list.length > 30, `${what}: ${list.length} packets of stream ${stream}`);
    assertRising(list, what);
  }
}

test("addresses of one and of many segments, ffmpeg's switches, librtmp", async () => {
  const path = "studio-1/main/stage/cam.2";
  const publisher = publishFfmpeg(open.rtmp(path), { size: "320x240", rate: 25, gop: 25 });
  await whilePublishing(publisher, open, async () => {
    await open.onAir(path);
    await assertReads(["-i", open.rtmp(path)], "as one address");
    await assertReads(["-rtmp_live", "live", "-i", open.rtmp(path)], "as live");
    await assertReads(["-rtmp_app", "studio-1/main", "-rtmp_playpath", "stage/cam.2", "-i", open.rtmp("x")], "app and playpath apart");

    const file = join(folder, "dump.flv");
    const dump = startProgram("rtmpdump", ["--live", "-q", "-r", open.rtmp(""), "-a", "studio-1/main/stage", "-y", "cam.2", "-o", file]);
    await eventually("rtmpdump's file", async () => {
      const found = await probe(file);
      return found.h264?.packets > 50 && found.aac?.packets > 80;
    }, { every: 500 });
    await stopChild(dump, "SIGINT");
    const found = await probe(file);
    assert.deepEqual([found.h264.width, found.h264.height], [320, 240]);
  });
});

test("ffmpeg and GStreamer publish and read by RTMPS", async () => {
  const publishers = [
    ["ffmpeg", (url) => publishFfmpeg(url, { size: "320x240", rate: 25, gop: 25, extra: ["-tls_verify", "0"] })],
    ["gst", (url) => publishGstreamer(url, { width: 320, height: 240, rate: 25, gop: 25, options: "tls-validation-flags=0" })],
  ];
  await Promise.all(publishers.map(async ([name, publish]) => {
    const path = `live/tls-${name}`;
    await whilePublishing(publish(rtmps(open, path)), open, async () => {
      const s = await open.onAir(path);
      assert.equal(s.publisher.protocol, "rtmps");
      await assertReads(["-i", rtmps(open, path)], `${name} by RTMPS`);
      // The self-made certificate is its own authority, and names 127.0.0.1.
      const trusted = ["-ca_file", join(open.dir, "tls-self-signed.pem"), "-tls_verify", "1"];
      await assertReads([...trusted, "-i", rtmps(open, path)], "verified");
      const source = ["rtmp2src", `location=${rtmps(open, path)}`, "tls-validation-flags=0", "num-buffers=60"];
      await runProgram("gst-launch-1.0", ["-q", ...source, "!", "flvdemux", "name=d", "d.video", "!", "fakesink"]);
    });
  })); // prettier-ignore
});

test("only who has the password publishes, and only who has it reads", async () => {
  const path = "live/guarded";
  const refusals = () => closed.log.match(/publish refused/g)?.length ?? 0;
  for (const query of ["", "?user=studio&pass=wrong", "?user=viewer&pass=watch%20only%201"]) {
    const before = refusals();
    const child = publishFfmpeg(closed.rtmp(path + query), { size: "320x240", rate: 25 });
    const exit = await exitOf(child);
    assert.notEqual(exit.code, 0);
    assert.equal(refusals(), before + 1, query);
    assert.match(child.log, /password|credentials/, "the publisher is told why");
  }
  const publishers = [
    ["ffmpeg", (url) => publishFfmpeg(url, { size: "320x240", rate: 25, gop: 25 })],
    ["gst", (url) => publishGstreamer(url, { width: 320, height: 240, rate: 25, gop: 25 })],
  ];
  await Promise.all(publishers.map(async ([name, publish]) => {
    const mine = `${path}-${name}`;
    const viewer = "user=viewer&pass=watch%20only%201";
    await whilePublishing(publish(closed.rtmp(`${mine}?${CREDENTIALS}`)), closed, async () => {
      await eventually(`${mine} is on air`, () => closed.log.includes(`${mine}: preparing -> live`));
      await assertReads(["-i", closed.rtmp(`${mine}?${viewer}`)], "a user");
      await assert.rejects(assertReads(["-i", closed.rtmp(mine)], "nobody"));
      await assert.rejects(assertReads(["-i", closed.rtmp(`${mine}?${CREDENTIALS}`)], "a user who may only publish"));
      const source = ["rtmp2src", `location=${closed.rtmp(`${mine}?${viewer}`)}`, "num-buffers=30"];
      await runProgram("gst-launch-1.0", ["-q", ...source, "!", "fakesink"]);
    });
  })); // prettier-ignore
  assert.ok(!closed.wholeLog.includes(PASSWORD) && !closed.wholeLog.includes(encodeURIComponent(PASSWORD)), "no secret in the log");
});

test("publishers are asked for user and password the way Flash servers did", async () => {
  const users = [{ name: "cam", password: "simple-secret-1", publish: ["live/*"], read: ["*"], api: true }];
  const mast = await Mast.start({ config: { access: { users }, rtmp: { challenge: true } } });
  const url = (who, path) => `rtmp://${who}127.0.0.1:${mast.rtmpPort}/${path}`;
  try {
    for (const [name, publish] of [
      ["ffmpeg", (who, path) => publishFfmpeg(url(`${who}@`, path), { size: "320x240", rate: 25, gop: 25 })],
      ["gst", (who, path) => publishGstreamer(url(`${who}@`, path), { width: 320, height: 240, rate: 25, gop: 25 })],
    ]) {
      const path = `live/asked-${name}`;
      for (const who of ["cam:simple-secret-2", "mac:simple-secret-1"]) {
        const child = publish(who, path);
        await eventually(`${name} with ${who} is refused`, () => mast.log.includes(`${path}: publish refused: these credentials`));
        await stopChild(child, "SIGKILL");
        mast.log = "";
      }
      await whilePublishing(publish("cam:simple-secret-1", path), mast, async () => {
        await eventually(`${path} is on air`, () => mast.log.includes(`${path}: preparing -> live`));
        await assertReads(["-i", `${url("", path)}?user=cam&pass=simple-secret-1`], `from ${name}`);
      });
      assert.doesNotMatch(mast.wholeLog, /simple-secret/);
    }
    const child = publishFfmpeg(url("", "live/nobody"), { size: "320x240", rate: 25 });
    assert.notEqual((await exitOf(child)).code, 0);
    assert.match(mast.log, /asked for user and password/);
  } finally {
    await mast.close();
  }
});
