// SPDX-License-Identifier: Apache-2.0
// Publishers and readers that the world uses. Each start returns a child process whose stderr is kept in child.log.

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

export function publishGstreamer(url, { width = 640, height = 360, rate = 30, gop = 30 } = {}) {
  const video =
    `videotestsrc is-live=true pattern=smpte ! video/x-raw,width=${width},height=${height},framerate=${rate}/1 ! ` +
    `x264enc speed-preset=ultrafast tune=zerolatency key-int-max=${gop} bitrate=800 ! h264parse ! queue ! mux.`;
  const audio = "audiotestsrc is-live=true freq=440 ! audioconvert ! audioresample ! voaacenc bitrate=96000 ! aacparse ! queue ! mux.";
  const pipeline = `flvmux name=mux streamable=true ! rtmp2sink location=${url} ${video} ${audio}`;
  return startProgram("gst-launch-1.0", ["-q", "-e", ...pipeline.split(" ")]);
}
