// SPDX-License-Identifier: Apache-2.0
// live/cam~opus and live/cam~aac of the real program, with the real mast-av: made when somebody reads them, gone after.

import assert from "node:assert/strict";
import { mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { assertRising, frames, probe, publishFfmpeg, runFfmpeg, startProgram } from "./lib/ffmpeg.mjs";
import { eventually, exitOf, Hopeless, Mast, stopChild } from "./lib/mast.mjs";
import { recordMse } from "./lib/mse.mjs";
import { WebSocketClient } from "./lib/ws.mjs";

let mast;
let folder;
let publisher;

before(async () => {
  mast = await Mast.start({ config: { streams: { linger: "500ms" } } });
  folder = await mkdtemp(join(tmpdir(), "mast-derived-"));
  publisher = publishFfmpeg(mast.rtmp("live/cam"), { size: "320x180" });
  await mast.onAir("live/cam");
});

after(async () => {
  await stopChild(publisher, "SIGKILL");
  await mast?.close();
  await rm(folder, { recursive: true, force: true });
});

// The workers are children of mast, started by whichever of its threads is the control loop.
async function workers() {
  const pids = [];
  for (const task of await readdir(`/proc/${mast.pid}/task`)) {
    for (const pid of (await readFile(`/proc/${mast.pid}/task/${task}/children`, "utf8")).trim().split(" ").filter(Boolean)) {
      if ((await readFile(`/proc/${pid}/comm`, "utf8").catch(() => "")).trim() === "mast-av") {
        pids.push(Number(pid));
      }
    }
  }
  return pids;
}

const gone = () => eventually("nobody reads, nothing is made", async () => (await mast.metric("mast_derived_streams")) === 0 && !(await mast.stream("live/cam~opus")));

test("who reads ~opus gets the pictures as they are, and Opus", async () => {
  assert.equal(await mast.metric("mast_derived_streams"), 0);
  assert.deepEqual(await workers(), []);
  const { init, mp4 } = await recordMse(mast, "live/cam~opus", 120);
  assert.deepEqual(init.tracks.map((t) => t.codec), ["h264", "opus"]);
  const file = join(folder, "opus.mp4");
  await writeFile(file, mp4);
  const got = await probe(file);
  assert.equal(got.opus.sample_rate, 48000);
  assert.equal(got.opus.channels, 2);
  const text = await runFfmpeg(["-i", file, "-c", "copy", "-f", "framecrc", "-"]);
  const [pictures, sound] = [frames(text, 0), frames(text, 1)];
  assertRising(sound, "sound");
  for (let i = 1; i < sound.length; i++) {
    assert.equal(sound[i].dts - sound[i - 1].dts, 960, `packet ${i} is 20 ms after the one before`);
  }
  // As much sound as there are pictures, but for what the encoder still had.
  const seconds = [pictures.length / 30, sound.length / 50];
  assert.ok(seconds[0] > 1 && Math.abs(seconds[0] - seconds[1]) < 0.5, `${seconds} s`);
  await runFfmpeg(["-xerror", "-i", file, "-f", "null", "-"]); // all of it can be decoded
});

test("the API shows it with its parent, and it goes with its last reader", async () => {
  await gone();
  const ws = await WebSocketClient.connect(`${mast.url}/live/cam~opus/mse`);
  const s = await mast.onAir("live/cam~opus");
  assert.equal(s.kind, "derived");
  assert.equal(s.parent, "live/cam");
  assert.deepEqual(s.tracks.map((t) => t.codec), ["h264", "opus"]);
  assert.equal(s.n_readers, 1);
  const parent = await mast.stream("live/cam");
  assert.equal(parent.kind, "published");
  assert.equal(parent.parent, undefined);
  assert.deepEqual(parent.readers.map((r) => r.protocol), ["derived"]);
  assert.equal(await mast.metric("mast_derived_streams"), 1);
  assert.equal(await mast.metric("mast_av_jobs"), 1);
  assert.equal(await mast.metric("mast_av_workers"), 1);
  ws.destroy();
  await gone();
  assert.equal(await mast.metric("mast_av_jobs"), 0);
  assert.equal((await mast.stream("live/cam")).n_readers, 0);
});

test("a worker that is killed costs its readers a few frames, not the connection", async () => {
  const reader = startProgram("ffmpeg", [
    "-hide_banner", "-loglevel", "error", "-nostdin", "-i", `${mast.url}/live/cam~opus/index.m3u8`, "-map", "0:a", "-c", "copy", "-f", "framecrc", "-",
  ]); // prettier-ignore
  let text = "";
  reader.stdout.on("data", (d) => (text += d));
  try {
    await eventually("it plays", () => {
      if (reader.exitCode !== null) {
        throw new Hopeless(reader.log + mast.log.slice(-6000));
      }
      return frames(text).length > 10;
    });
    assert.match(text, /codec_id 0: opus/);
    const before = await workers();
    assert.equal(before.length, 1);
    const { publisher: child } = await mast.stream("live/cam~opus");
    process.kill(before[0], "SIGKILL");
    await eventually("another worker", async () => (await mast.metric("mast_av_restarts_total")) === 1 && (await workers()).some((p) => p !== before[0]));
    const n = frames(text).length;
    await eventually("sound goes on", () => frames(text).length > n + 150);
    assertRising(frames(text), "sound");
    assert.equal(reader.exitCode, null);
    assert.equal((await mast.stream("live/cam~opus")).publisher.id, child.id);
  } finally {
    await stopChild(reader, "SIGKILL");
  }
});

test("sound that is of the codec already is passed on: RTMP reads ~aac", async () => {
  const text = await runFfmpeg(["-i", mast.rtmp("live/cam~aac"), "-t", "1", "-c", "copy", "-f", "framecrc", "-"]);
  assert.match(text, /codec_id 1: aac/);
  assert.ok(frames(text, 0).length >= 25);
  assert.ok(frames(text, 1).length >= 40);
  assertRising(frames(text, 1), "sound");
});

test("nothing else is derived, and nobody publishes to such a path", async () => {
  for (const [path, status] of [
    ["live/cam~mp3/index.m3u8", 404],
    ["live/cam~mp3/mse", 404],
    ["live/cam~mp3/keyframe.mp4", 404],
    ["live/cam~opus~aac/index.m3u8", 404],
    ["live/nobody~opus/index.m3u8", 404],
    ["api/v1/streams/live/cam~mp3", 404],
    ["live/cam~opus/keyframe.mp4", 200],
  ]) {
    const reply = await fetch(`${mast.url}/${path}`);
    assert.equal(reply.status, status, path);
    await reply.arrayBuffer();
  }
  const reader = startProgram("ffmpeg", ["-loglevel", "error", "-nostdin", "-i", mast.rtmp("live/cam~mp3"), "-f", "null", "-"]);
  assert.notEqual((await exitOf(reader)).code, 0);
  const intruder = publishFfmpeg(mast.rtmp("live/cam~opus"), { size: "320x180" });
  assert.notEqual((await exitOf(intruder)).code, 0);
  assert.match(mast.log, /publish: a path is of letters/);
});
