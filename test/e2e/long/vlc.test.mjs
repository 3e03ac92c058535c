// SPDX-License-Identifier: Apache-2.0
// VLC reads for ten seconds: to a file, and to the end of its pipeline with pictures decoded (issue 2, 3).

import assert from "node:assert/strict";
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { probe, publishFfmpeg, startProgram } from "../lib/ffmpeg.mjs";
import { exitOf, Mast, stopChild } from "../lib/mast.mjs";

const SECONDS = 10;
const RATE = 25;
const NOBODY = ["--reuid", "65534", "--regid", "65534", "--clear-groups"];

let mast;
let folder;

before(async () => {
  mast = await Mast.start();
  folder = await mkdtemp(join(tmpdir(), "mast-vlc-"));
  await chmod(folder, 0o777); // VLC does not run as root
});

after(async () => {
  await mast?.close();
  if (folder) {
    await rm(folder, { recursive: true, force: true });
  }
});

async function runVlc(args) {
  const vlc = ["cvlc", "-I", "dummy", "-vv", "--run-time", String(SECONDS), "--play-and-exit", ...args, "vlc://quit"];
  const all = process.getuid() === 0 ? ["setpriv", ...NOBODY, ...vlc] : vlc;
  const child = startProgram(all[0], all.slice(1), { env: { ...process.env, HOME: folder } });
  let out = "";
  child.stdout.on("data", (d) => (out += d));
  child.stderr.on("data", (d) => (out += d));
  const timer = setTimeout(() => child.kill("SIGKILL"), (SECONDS + 20) * 1000);
  const exit = await exitOf(child);
  clearTimeout(timer);
  assert.equal(exit.code, 0, child.log.slice(-3000));
  return out;
}

test("VLC records and plays an RTMP stream", async () => {
  const path = "live/vlc";
  const publisher = publishFfmpeg(mast.rtmp(path), { size: "320x240", rate: RATE, gop: RATE });
  try {
    await mast.onAir(path);
    const file = join(folder, "out.ts");
    await runVlc([mast.rtmp(path), "--sout", `#std{access=file,mux=ts,dst=${file}}`, "--sout-all"]);
    const found = await probe(file);
    assert.deepEqual([found.h264.width, found.h264.height], [320, 240]);
    // It fills its cache first, so less than all of the time is in the file.
    assert.ok(found.h264.packets > RATE * (SECONDS - 6), JSON.stringify(found));
    assert.ok(found.aac.packets > 46 * (SECONDS - 6), JSON.stringify(found));

    const log = await runVlc([mast.rtmp(path), "--vout", "dummy", "--aout", "dummy"]);
    assert.match(log, /Received first picture/);
    assert.doesNotMatch(log, /picture is too late|buffer deadlock|timestamp.*unset|PTS is out of range/i);
  } finally {
    await stopChild(publisher, "SIGKILL");
  }
});
