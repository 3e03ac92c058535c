// SPDX-License-Identifier: Apache-2.0
// A picture with the time of its making burnt in, as 32 blocks for the bits of its milliseconds, and how a page reads it:
// glass to glass without a camera.

import { startProgram } from "./ffmpeg.mjs";

const WIDTH = 320;
const HEIGHT = 180;
const BLOCK = 10;

function paint(frame, n) {
  const now = Date.now() >>> 0;
  frame.fill(96, 0, WIDTH * HEIGHT);
  for (let y = 0; y < HEIGHT; y++) {
    const row = y * WIDTH;
    if (y < 60) {
      for (let bit = 0; bit < 32; bit++) {
        frame.fill((now >>> bit) & 1 ? 235 : 16, row + bit * BLOCK, row + (bit + 1) * BLOCK);
      }
    } else if (y > 80) {
      const x = (n * 3 + y) % (WIDTH - 40); // something that moves
      frame.fill(200, row + x, row + x + 40);
    }
  }
}

// A publisher whose pictures are painted here and encoded by ffmpeg without delay.
export function publishClock(url, { rate = 30, gop = 30 } = {}) {
  const child = startProgram(
    "ffmpeg",
    [
      "-hide_banner", "-loglevel", "warning", "-nostdin",
      "-use_wallclock_as_timestamps", "1", "-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", `${WIDTH}x${HEIGHT}`, "-framerate", String(rate),
      "-i", "pipe:0",
      "-re", "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000",
      "-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", String(gop), "-sc_threshold", "0", "-b:v", "600k",
      "-c:a", "aac", "-b:a", "96k", "-ac", "2", "-f", "flv", url,
    ],
    { stdio: ["pipe", "pipe", "pipe"] },
  ); // prettier-ignore
  const frame = Buffer.alloc((WIDTH * HEIGHT * 3) / 2, 128);
  const startedAt = Date.now();
  let n = 0;
  const timer = setInterval(() => {
    // What an encoder that is late leaves in its pipe is not painted twice: it would be late for ever.
    const due = Math.floor(((Date.now() - startedAt) * rate) / 1000);
    if (due > n && child.stdin.writableLength === 0) {
      n = due;
      paint(frame, n);
      child.stdin.write(Buffer.from(frame));
    }
  }, 5);
  child.stdin.on("error", () => clearInterval(timer));
  child.once("exit", () => clearInterval(timer));
  return child;
}

// In the page: the delays, in ms, of the next n pictures of its <video>.
export function readClock(page, n) {
  return page.evaluate(
    ([count, width, height, block]) =>
      new Promise((done) => {
        const video = document.querySelector("video");
        const canvas = new OffscreenCanvas(width, height);
        const context = canvas.getContext("2d", { willReadFrequently: true });
        const delays = [];
        const seen = () => {
          const shown = Date.now();
          context.drawImage(video, 0, 0, width, height);
          const row = context.getImageData(0, 30, width, 1).data;
          let time = 0;
          for (let bit = 0; bit < 32; bit++) {
            time += row[4 * (bit * block + block / 2)] > 128 ? 2 ** bit : 0;
          }
          delays.push((shown % 2 ** 32) - time);
          if (delays.length < count) {
            video.requestVideoFrameCallback(seen);
          } else {
            done(delays);
          }
        };
        video.requestVideoFrameCallback(seen);
      }),
    [n, WIDTH, HEIGHT, BLOCK],
  );
}
