// SPDX-License-Identifier: Apache-2.0
// Every codec, from files that ffmpeg made, by our own publisher (ffmpeg 5.1 has no FLV for most of them): what the API says,
// what ffprobe reads in the fMP4 of the MSE socket, and what Chromium plays (issue 2, 6.2).

import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { playerState, startBrowser, waitPlaying } from "./lib/browser.mjs";
import { makeFile, probe, startProgram } from "./lib/ffmpeg.mjs";
import { Mast, PATIENCE_MS, stopChild } from "./lib/mast.mjs";
import { recordMse } from "./lib/mse.mjs";

const PUBLISHER = join(process.env.MAST_BUILD ?? "../../build", "test/tools/rtmp_publish");
const CHUNKS = 150; // two to three seconds of both tracks

let mast;
let folder;
let browser;

before(async () => {
  mast = await Mast.start();
  folder = await mkdtemp(join(tmpdir(), "mast-codecs-"));
  browser = await startBrowser();
});

after(async () => {
  await browser?.close();
  await mast?.close();
  if (folder) {
    await rm(folder, { recursive: true, force: true });
  }
});

async function assertFileOpens(path, video, audio) {
  const { init, mp4 } = await recordMse(mast, path, CHUNKS);
  const file = join(folder, "recorded.mp4");
  await writeFile(file, mp4);
  const found = await probe(file);
  assert.deepEqual(Object.keys(found).sort(), [video, audio].sort());
  assert.deepEqual([found[video].width, found[video].height], [320, 240]);
  assert.deepEqual([found[audio].sample_rate, found[audio].channels], [48000, 2]);
  // Each chunk of both tracks is one packet; the first message is the init segment.
  assert.ok(found[video].packets + found[audio].packets >= CHUNKS, JSON.stringify(found));
  assert.ok(found[video].packets > 25 && found[audio].packets > 25, JSON.stringify(found));
  return init;
}

for (const [video, audio, browserHas] of [
  ["h264", "aac", ["video", "audio"]],
  ["hevc", "opus", ["audio"]], // Chromium has HEVC only where the graphics card decodes it
  ["vp9", "mp3", ["video"]], // and MP3 only outside MP4 for MSE, as its answer says
  ["vp9", "opus", ["video", "audio"]],
  ["av1", "aac", ["video", "audio"]],
]) {
  test(`${video} and ${audio}`, async (t) => {
    const path = `live/${video}-${audio}`;
    const file = await makeFile(join(folder, `${video}-${audio}.mp4`), { video, audio });
    const publisher = startProgram(PUBLISHER, ["--loop", "100", mast.rtmp(path), file]);
    try {
      const s = await mast.onAir(path);
      const tracks = Object.fromEntries(s.tracks.map((track) => [track.codec, track]));
      assert.deepEqual(Object.keys(tracks).sort(), [video, audio].sort());
      assert.deepEqual([tracks[video].width, tracks[video].height], [320, 240]);
      assert.deepEqual([tracks[audio].sample_rate, tracks[audio].channels], [48000, 2]);

      const page = await browser.newPage();
      const [init] = await Promise.all([assertFileOpens(path, video, audio), page.goto(`${mast.url}/${path}`)]);
      const supported = await page.evaluate(
        (list) => list.filter((x) => MediaSource.isTypeSupported(`${x.kind}/mp4; codecs="${x.codecs}"`)).map((x) => x.kind),
        init.tracks,
      );
      t.diagnostic(`${init.mime}; this Chromium has of it: ${supported.join(", ") || "nothing"}`);
      for (const kind of browserHas) {
        assert.ok(supported.includes(kind), `Chromium lacks ${kind} of ${init.mime}`);
      }
      // Without a picture there is no first one to wait for.
      await (supported.includes("video")
        ? waitPlaying(page)
        : page.waitForFunction(() => window.mast.state === "playing", null, { timeout: PATIENCE_MS, polling: 50 }));
      const before = await playerState(page);
      await page.waitForFunction((from) => window.mast.currentTime > from + 2, before.currentTime, { timeout: PATIENCE_MS });
      const last = await playerState(page);
      assert.equal(last.error, null);
      if (supported.includes("video")) {
        assert.deepEqual([last.width, last.height], [320, 240]);
        assert.ok(last.decodedFrames - before.decodedFrames > 30, JSON.stringify({ before, last }));
      }
      if (supported.includes("audio")) {
        assert.ok(last.decodedAudioBytes > before.decodedAudioBytes, JSON.stringify({ before, last }));
      }
      assert.deepEqual(page.mastErrors, []);
      await page.close();
    } catch (e) {
      e.message += `\npublisher: ${publisher.log.slice(-1000)}\nmast: ${mast.log.slice(-3000)}`;
      throw e;
    } finally {
      await stopChild(publisher, "SIGKILL");
    }
  });
}
