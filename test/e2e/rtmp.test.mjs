// SPDX-License-Identifier: Apache-2.0
// RTMP with ffmpeg and GStreamer (issue 2, 3 and 6.2, 6.3); more programs in interop.test.mjs, more codecs in codecs.test.mjs.
// MAST_LONG makes the reading last a minute.

import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";

import { assertRising, frames, makeFile as encode, publishFfmpeg, publishGstreamer, runFfmpeg as run, startProgram } from "./lib/ffmpeg.mjs";
import { eventually, exitOf, Mast, stopChild } from "./lib/mast.mjs";

const PUBLISHER = join(process.env.MAST_BUILD ?? "../../build", "test/tools/rtmp_publish");
const SECONDS = process.env.MAST_LONG ? 60 : 8;
const RATE = 25;

let mast;
let folder;

before(async () => {
  mast = await Mast.start();
  folder = await mkdtemp(join(tmpdir(), "mast-rtmp-"));
});

after(async () => {
  await mast?.close();
  if (folder) {
    await rm(folder, { recursive: true, force: true });
  }
});

const makeFile = (name, options) => encode(join(folder, name), { rate: RATE, ...options });

function ffmpeg(args, options) {
  return startProgram("ffmpeg", ["-hide_banner", "-loglevel", "error", "-nostdin", ...args], options);
}

// Reads n decoded pictures of url, starting before anybody publishes.
function readPictures(url, n) {
  const child = ffmpeg(["-i", url, "-map", "0:v", "-frames:v", String(n), "-f", "framemd5", "-"]);
  child.text = "";
  child.stdout.on("data", (d) => (child.text += d));
  return child;
}

async function assertSamePictures(file, path, publish) {
  const sent = frames(await run(["-i", file, "-map", "0:v", "-f", "framemd5", "-"]));
  const reader = readPictures(mast.rtmp(path), sent.length);
  await eventually("the reader waits", async () => (await mast.stream(path))?.readers?.length === 1);
  const publisher = publish(mast.rtmp(path));
  const exit = await exitOf(reader);
  await stopChild(publisher);
  assert.equal(exit.code, 0, reader.log);
  const got = frames(reader.text);
  assert.equal(got.length, sent.length);
  assertRising(got, "picture");
  assert.deepEqual(got.map((f) => f.hash), sent.map((f) => f.hash));
}

// At once: the decoder gives its last pictures only when the stream ends, ten seconds after its publisher.
describe("ffmpeg reads every picture", { concurrency: true }, () => {
  test("that ffmpeg sent", async () => {
    const file = await makeFile("av.mp4", { seconds: SECONDS });
    await assertSamePictures(file, "live/same", (url) => ffmpeg(["-re", "-i", file, "-c", "copy", "-f", "flv", url]));
  });

  test("that was sent by FourCC, which goes out in the form that every player knows", async () => {
    const file = await makeFile("enhanced.mp4");
    await assertSamePictures(file, "live/enhanced", (url) => startProgram(PUBLISHER, ["--enhanced", url, file]));
  });
});

test("every packet arrives, in order", async () => {
  const path = "live/packets";
  const publisher = publishFfmpeg(mast.rtmp(path), { size: "320x240", rate: RATE });
  try {
    await mast.onAir(path);
    const text = await run(["-i", mast.rtmp(path), "-t", String(SECONDS), "-c", "copy", "-f", "framecrc", "-"]);
    for (const [stream, step, what] of [[0, 1000 / RATE, "video"], [1, 1024000 / 48000, "audio"]]) {
      const list = frames(text, stream);
      assert.ok(list.length > (SECONDS - 1) * (1000 / step), `${list.length} packets of ${what}`);
      assertRising(list, what);
      for (let i = 1; i < list.length; i++) {
        const gap = list[i].dts - list[i - 1].dts;
        assert.ok(Math.abs(gap - step) < 2, `${what} ${i}: a step of ${gap} ms`);
      }
    }
  } finally {
    await stopChild(publisher, "SIGKILL");
  }
});

test("GStreamer publishes, ffmpeg and GStreamer read", async () => {
  const path = "live/gst";
  const publisher = publishGstreamer(mast.rtmp(path));
  try {
    const s = await mast.onAir(path);
    assert.deepEqual(s.tracks.map((t) => t.codec).sort(), ["aac", "h264"]);
    const text = await run(["-i", mast.rtmp(path), "-t", "2", "-c", "copy", "-f", "framecrc", "-"]);
    assert.ok(frames(text, 0).length > 30);
    // librtmp takes its options behind the location.
    for (const source of [["rtmpsrc", `location=${mast.rtmp(path)} live=1`], ["rtmp2src", `location=${mast.rtmp(path)}`]]) {
      const reader = startProgram("gst-launch-1.0", [
        "-q", ...source, "num-buffers=50", "!", "flvdemux", "name=d", "d.video", "!", "fakesink",
      ]); // prettier-ignore
      await eventually("the end of fifty pictures", () => reader.exitCode !== null || reader.signalCode !== null);
      const exit = await exitOf(reader);
      await stopChild(reader, "SIGKILL");
      assert.equal(exit?.code, 0, `${source[0]}: ${reader.log}`);
    }
  } finally {
    await stopChild(publisher, "SIGKILL");
  }
});

test("a reader stays through five restarts of the publisher", async () => {
  const path = "live/restart";
  let publisher = publishFfmpeg(mast.rtmp(path), { size: "320x240", rate: RATE });
  await mast.onAir(path);
  const reader = ffmpeg(["-i", mast.rtmp(path), "-c", "copy", "-f", "framecrc", "-"]);
  let text = "";
  reader.stdout.on("data", (d) => (text += d));
  try {
    for (let round = 0; round < 5; round++) {
      const before = frames(text).length;
      await eventually(`pictures in round ${round}`, () => frames(text).length > before + RATE);
      await stopChild(publisher, "SIGKILL");
      publisher = publishFfmpeg(mast.rtmp(path), { size: "320x240", rate: RATE });
      await mast.onAir(path);
    }
    const before = frames(text).length;
    await eventually("pictures at the end", () => frames(text).length > before + RATE);
    assert.equal(reader.exitCode, null, reader.log);
    assertRising(frames(text), "video");
    assertRising(frames(text, 1), "audio");
  } finally {
    await stopChild(reader, "SIGKILL");
    await stopChild(publisher, "SIGKILL");
  }
});

test("RTMPS", async () => {
  const url = `rtmps://127.0.0.1:${mast.rtmpsPort}/live/tls`;
  const publisher = publishFfmpeg(url, { size: "320x240", rate: RATE });
  try {
    await mast.onAir("live/tls");
    const text = await run(["-i", url, "-t", "2", "-c", "copy", "-f", "framecrc", "-"]);
    assert.ok(frames(text).length > RATE, publisher.log);
    assertRising(frames(text), "video");
  } finally {
    await stopChild(publisher, "SIGKILL");
  }
});
