// SPDX-License-Identifier: Apache-2.0
// Publishers and readers that the world uses. Each start returns a child process whose stderr is kept in child.log.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";

export function startProgram(program, args, options = {}) {
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"], ...options });
  child.log = "";
  const keep = (data) => (child.log = (child.log + data).slice(-65536));
  child.stdout?.on("data", keep);
  child.stderr?.on("data", keep);
  child.on("error", (e) => keep(`${e}\n`));
  return child;
}

// Runs to its end, which must be good, and returns what it printed.
export async function runProgram(program, args, { timeout = 120000, ...options } = {}) {
  const child = startProgram(program, args, options);
  let out = "";
  child.stdout.on("data", (d) => (out += d));
  const timer = setTimeout(() => child.kill("SIGKILL"), timeout);
  const [code, signal] = await new Promise((done) => child.once("close", (...exit) => done(exit)));
  clearTimeout(timer);
  assert.equal(code, 0, `${program} ${args.join(" ")}: ${signal ?? ""} ${child.log.slice(-3000)}`);
  return out;
}

export function runFfmpeg(args, options) {
  return runProgram("ffmpeg", ["-hide_banner", "-loglevel", "error", "-nostdin", ...args], options);
}

export const ENCODERS = {
  h264: ["-c:v", "libx264", "-preset", "ultrafast", "-bf", "2"],
  hevc: ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none:bframes=2"],
  av1: ["-c:v", "libsvtav1", "-preset", "12"],
  vp9: ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8"],
  aac: ["-c:a", "aac"],
  opus: ["-c:a", "libopus"],
  mp3: ["-c:a", "libmp3lame"],
};

// A moving picture of 320x240 and a tone, in fragments, as test/tools/rtmp_publish reads it: a key frame each second.
export async function makeFile(file, { video = "h264", audio = "aac", seconds = 4, rate = 25 } = {}) {
  await runFfmpeg([
    "-f", "lavfi", "-i", `testsrc2=size=320x240:rate=${rate}`, "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000",
    "-t", String(seconds), "-g", String(rate), "-pix_fmt", "yuv420p", ...ENCODERS[video], ...ENCODERS[audio], "-ac", "2",
    "-movflags", "empty_moov+default_base_moof+frag_keyframe", file,
  ]); // prettier-ignore
  return file;
}

// framemd5 and framecrc lines: stream, dts, pts, duration, size, hash.
export function frames(text, stream = 0) {
  return text
    .split("\n")
    .filter((l) => l && !l.startsWith("#"))
    .map((l) => l.split(",").map((f) => f.trim()))
    .filter((f) => Number(f[0]) === stream)
    .map((f) => ({ dts: Number(f[1]), hash: f[5] }));
}

export function assertRising(list, what) {
  for (let i = 1; i < list.length; i++) {
    assert.ok(list[i].dts > list[i - 1].dts, `${what} ${i}: dts ${list[i].dts} after ${list[i - 1].dts}`);
  }
}

// {codec: {width, height, sample_rate, channels, packets}} of a file.
export async function probe(file) {
  const text = await runProgram("ffprobe", [
    "-v", "error", "-count_packets", "-of", "json",
    "-show_entries", "stream=codec_name,width,height,sample_rate,channels,nb_read_packets", file,
  ]); // prettier-ignore
  return Object.fromEntries(
    JSON.parse(text).streams.map(({ codec_name, nb_read_packets, sample_rate, ...s }) => [
      codec_name,
      { ...s, sample_rate: Number(sample_rate), packets: Number(nb_read_packets) },
    ]),
  );
}

// A moving picture and a tone: H.264 with B pictures, AAC.
export function publishFfmpeg(url, { size = "640x360", rate = 30, gop = 30, bframes = 2, audio = true, extra = [] } = {}) {
  const sound = audio ? ["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"] : [];
  return startProgram("ffmpeg", [
    "-hide_banner", "-loglevel", "warning", "-nostdin", "-re",
    "-f", "lavfi", "-i", `testsrc2=size=${size}:rate=${rate}`,
    ...sound,
    "-c:v", "libx264", "-preset", "ultrafast", "-profile:v", "main", "-bf", String(bframes),
    "-g", String(gop), "-keyint_min", String(gop), "-sc_threshold", "0", "-pix_fmt", "yuv420p", "-b:v", "800k",
    ...(audio ? ["-c:a", "aac", "-b:a", "96k", "-ac", "2"] : []),
    ...extra,
    "-f", "flv", url,
  ]); // prettier-ignore
}

// The command that most people have: x264 as it comes, but with two B pictures and no more, which it may refer to, and a key
// frame every 250 pictures.
export function publishDefaults(url, { size = "640x360", rate = 30 } = {}) {
  return startProgram("ffmpeg", [
    "-hide_banner", "-loglevel", "warning", "-nostdin", "-re",
    "-f", "lavfi", "-i", `testsrc2=size=${size}:rate=${rate}`,
    "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000",
    "-c:v", "libx264", "-bf", "2", "-pix_fmt", "yuv420p", "-c:a", "aac", "-ac", "2", "-f", "flv", url,
  ]); // prettier-ignore
}

// A file (MPEG-TS) with one picture and two sounds: 440 Hz, then 880 Hz. For a camera with two see rtsp-camera.mjs.
export async function makeTwoSounds(file, { seconds = 30 } = {}) {
  await runFfmpeg([
    "-f", "lavfi", "-i", "testsrc2=size=320x240:rate=30",
    "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000", "-f", "lavfi", "-i", "sine=frequency=880:sample_rate=48000",
    "-map", "0:v", "-map", "1:a", "-map", "2:a", "-t", String(seconds), "-c:v", "libx264", "-preset", "ultrafast", "-bf", "0",
    "-g", "30", "-pix_fmt", "yuv420p", "-c:a", "aac", "-ac", "2", "-f", "mpegts", file,
  ]); // prettier-ignore
  return file;
}

// options: of rtmp2sink, such as tls-validation-flags=0.
export function publishGstreamer(url, { width = 640, height = 360, rate = 30, gop = 30, options = "" } = {}) {
  const video =
    `videotestsrc is-live=true pattern=smpte ! video/x-raw,width=${width},height=${height},framerate=${rate}/1 ! ` +
    `x264enc speed-preset=ultrafast tune=zerolatency key-int-max=${gop} bitrate=800 ! h264parse ! queue ! mux.`;
  const audio = "audiotestsrc is-live=true freq=440 ! audioconvert ! audioresample ! voaacenc bitrate=96000 ! aacparse ! queue ! mux.";
  const pipeline = `flvmux name=mux streamable=true ! rtmp2sink location=${url} ${options} ${video} ${audio}`;
  return startProgram("gst-launch-1.0", ["-q", "-e", ...pipeline.split(" ").filter((w) => w)]);
}
