// SPDX-License-Identifier: Apache-2.0
// Debian's Chromium, headless, with a fresh profile. It has the proprietary codecs, and its picture and sound are decoded
// as on any machine, only not shown.

import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

import { PATIENCE_MS } from "./mast.mjs";

const ARGS = [
  "--headless=new",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--autoplay-policy=no-user-gesture-required",
];

// Returns {context, newPage, close}. Errors that a page throws or logs are collected in page.mastErrors.
export async function startBrowser({ args = [], ...options } = {}) {
  const profile = await mkdtemp(join(tmpdir(), "mast-chromium-"));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    headless: false, // playwright's own switch would ask for the old headless mode; ARGS has the new one
    args: [...ARGS, ...args],
    viewport: { width: 1280, height: 800 },
    ...options,
  });
  context.setDefaultTimeout(PATIENCE_MS);
  return {
    context,
    async newPage() {
      const page = await context.newPage();
      page.mastErrors = [];
      page.on("pageerror", (e) => page.mastErrors.push(String(e)));
      page.on("console", (m) => {
        if (m.type() === "error") {
          page.mastErrors.push(m.text());
        }
      });
      return page;
    },
    async close() {
      await context.close();
      await rm(profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
    },
  };
}

// A button of web/src/sure.ts: it asks when it is pressed, and does it when it is pressed again within three seconds. However slow
// the machine: should those be over, it is pressed twice at once.
export async function pressTwice(button) {
  await button.click();
  const asked = await button.evaluate((b) => {
    const isAsking = () => b.classList.contains("sure");
    if (!isAsking()) {
      b.click();
    }
    const first = isAsking();
    b.click();
    return first;
  });
  assert.ok(asked, "it asks first");
}

// What the player says about itself, as plain data.
export function playerState(page) {
  return page.evaluate(() => {
    const m = window.mast;
    return {
      state: m.state,
      currentTime: m.currentTime,
      buffered: m.buffered,
      latency: m.latency,
      rate: m.rate,
      stalls: m.stalls,
      seeks: m.seeks,
      connections: m.connections,
      rebuilds: m.rebuilds,
      firstFrameMs: m.firstFrameMs,
      droppedFrames: m.droppedFrames,
      totalFrames: m.totalFrames,
      decodedFrames: m.video.webkitDecodedFrameCount,
      decodedAudioBytes: m.video.webkitAudioDecodedByteCount,
      readyState: m.video.readyState,
      paused: m.video.paused,
      width: m.video.videoWidth,
      height: m.video.videoHeight,
      error: m.video.error?.message ?? null,
    };
  });
}

// Waits until the page plays and its position has moved.
export async function waitPlaying(page, timeout = PATIENCE_MS) {
  await page.waitForFunction(() => window.mast?.state === "playing" && window.mast.firstFrameMs !== null, null, {
    timeout,
    polling: 50,
  });
  const from = await page.evaluate(() => window.mast.currentTime);
  await page.waitForFunction((t) => window.mast.currentTime > t + 0.2, from, { timeout, polling: 50 });
}
