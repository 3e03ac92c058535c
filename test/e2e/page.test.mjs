// SPDX-License-Identifier: Apache-2.0
// The page with real publishers and a real browser (issue 2, 6.1 and 6.3).

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";

import { playerState, startBrowser, waitPlaying } from "./lib/browser.mjs";
import { publishFfmpeg, publishGstreamer } from "./lib/ffmpeg.mjs";
import { eventually, Mast, PATIENCE_MS, sleep, stopChild } from "./lib/mast.mjs";

const PLAY_S = 10;
const WINDOWS = 3;
const OPENS = 5;
const RESTARTS = 5;

let mast;
let browser;

before(async () => {
  mast = await Mast.start();
  browser = await startBrowser();
});

// Also what a failed test left open.
afterEach(async () => {
  for (const page of browser.context.pages()) {
    if (page.url() !== "about:blank") {
      await page.close();
    }
  }
});

after(async () => {
  await browser?.close();
  await mast?.close();
});

async function withPublisher(child, path, run) {
  try {
    await mast.onAir(path);
    return await run();
  } catch (e) {
    e.message += `\npublisher: ${child.log.slice(-1000)}\nmast: ${mast.log.slice(-2000)}`;
    throw e;
  } finally {
    await stopChild(child, "SIGKILL");
  }
}

async function open(path) {
  const page = await browser.newPage();
  await page.goto(`${mast.url}/${path}`);
  return page;
}

// What is wrong with ten seconds in which picture, sound and time should have gone on without a stall.
function misses(first, last, wall) {
  const moved = last.currentTime - first.currentTime;
  const held = {
    "no stall": last.stalls === first.stalls,
    "it plays": last.state === "playing" && last.error === null,
    [`position moved ${moved} s in ${wall} s`]: moved > wall * 0.93 - 0.5 && moved < wall * 1.1 + 2,
    "pictures": last.decodedFrames - first.decodedFrames > 25 * PLAY_S,
    "sound": last.decodedAudioBytes - first.decodedAudioBytes > 1000 * PLAY_S,
    "at the edge": last.latency < 1.5,
  }; // prettier-ignore
  return Object.keys(held).filter((what) => !held[what]);
}

// An encoder that shares two cores with a browser may be late itself, and the browser too: a window that misses something is
// measured once more, and said.
async function assertPlays(t, page) {
  await waitPlaying(page);
  for (let windows = WINDOWS; ; windows--) {
    const first = await playerState(page);
    const startedAt = Date.now();
    await sleep(PLAY_S * 1000);
    const last = await playerState(page);
    const wall = (Date.now() - startedAt) / 1000;
    const report = JSON.stringify({ first, last }, null, 1);
    const missed = misses(first, last, wall);
    if (windows > 1 && missed.length > 0) {
      t.diagnostic(`measuring again: ${missed.join(", ")}: ${report}`);
      continue;
    }
    assert.deepEqual(missed, [], report);
    assert.deepEqual(page.mastErrors, []);
    return last;
  }
}

// First, as long as nothing is live.
test("the front page lists what is live, and tells how to publish when nothing is", async () => {
  const page = await browser.newPage();
  await page.goto(mast.url);
  await page.getByText("Nothing is live").waitFor({ timeout: PATIENCE_MS });
  assert.ok(await page.getByText("OBS Studio").isVisible());
  const path = "studio/cam-1";
  await withPublisher(publishFfmpeg(mast.rtmp(path)), path, async () => {
    const row = page.locator(".card", { hasText: path });
    await row.waitFor();
    await row.getByText("Live", { exact: true }).waitFor({ timeout: PATIENCE_MS });
    await row.getByText(/H\.264 640×360/).waitFor();
    await row.getByText(/AAC 48 kHz stereo/).waitFor();
    await row.getByText(/[1-9]\d* kb\/s|Mb\/s/).waitFor({ timeout: PATIENCE_MS });
    await row.click();
    await waitPlaying(page);
    assert.deepEqual(page.mastErrors, []);
  });
  await page.close();
});

test("ffmpeg publishes H.264 with B pictures and AAC; the page plays ten seconds without a stall", async (t) => {
  const path = "live/ffmpeg";
  await withPublisher(publishFfmpeg(mast.rtmp(path)), path, async () => {
    const page = await open(path);
    const last = await assertPlays(t, page);
    assert.equal(last.width, 640);
    assert.equal(last.height, 360);
  });
});

test("GStreamer publishes; the page plays ten seconds without a stall", async (t) => {
  const path = "live/gstreamer";
  await withPublisher(publishGstreamer(mast.rtmp(path)), path, async () => {
    const page = await open(path);
    await assertPlays(t, page);
  });
});

test("first picture of a running stream", async (t) => {
  const path = "live/first";
  await withPublisher(publishFfmpeg(mast.rtmp(path), { gop: 60 }), path, async () => {
    const times = [];
    const latencies = [];
    for (let i = 0; i < OPENS; i++) {
      const page = await open(path);
      await waitPlaying(page);
      const s = await playerState(page);
      times.push(s.firstFrameMs);
      latencies.push(s.latency);
      await page.close();
      await sleep(170); // opens spread over the group
    }
    const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)];
    t.diagnostic(`first picture, ms after the page was asked for: ${times.map(Math.round).join(" ")}`);
    t.diagnostic(`median ${Math.round(median(times))} ms, behind ${median(latencies).toFixed(2)} s then`);
    assert.ok(median(times) < 5000, "only a floor for shared machines; docs/benchmarks.md has the measured number");
  });
});

test("the publisher is killed and comes back five times; the viewer stays connected and goes on", async () => {
  const path = "live/restarts";
  let child = publishFfmpeg(mast.rtmp(path));
  try {
    await mast.onAir(path);
    const page = await open(path);
    await waitPlaying(page);
    for (let i = 0; i < RESTARTS; i++) {
      await stopChild(child, "SIGKILL");
      await page.waitForFunction(() => window.mast.state === "waiting", null, { timeout: PATIENCE_MS, polling: 50 });
      child = publishFfmpeg(mast.rtmp(path));
      await waitPlaying(page);
      const from = await playerState(page);
      await eventually(`it goes on after return ${i}`, async () => {
        const to = await playerState(page);
        return to.currentTime - from.currentTime > 1 && to.decodedFrames > from.decodedFrames;
      });
    }
    const s = await playerState(page);
    assert.equal(s.connections, 1, "one WebSocket all along");
    assert.equal(s.rebuilds, 1, "one MediaSource all along");
    assert.deepEqual(page.mastErrors, []);
  } finally {
    await stopChild(child, "SIGKILL");
  }
});

test("a publisher that comes back with another picture size is played on", async () => {
  const path = "live/resize";
  let child = publishFfmpeg(mast.rtmp(path));
  try {
    await mast.onAir(path);
    const page = await open(path);
    await waitPlaying(page);
    await stopChild(child, "SIGKILL");
    await page.waitForFunction(() => window.mast.state === "waiting", null, { timeout: PATIENCE_MS, polling: 50 });
    child = publishFfmpeg(mast.rtmp(path), { size: "320x240" });
    await waitPlaying(page);
    await eventually("the new size", async () => (await playerState(page)).width === 320);
    assert.equal((await playerState(page)).connections, 1);
  } finally {
    await stopChild(child, "SIGKILL");
  }
});

test("the server is restarted; the page reconnects and plays again", async () => {
  const path = "live/server";
  let child = publishFfmpeg(mast.rtmp(path));
  try {
    await mast.onAir(path);
    const page = await open(path);
    await waitPlaying(page);
    await mast.stop("SIGKILL");
    await page.waitForFunction(() => window.mast.state === "reconnecting", null, { timeout: PATIENCE_MS, polling: 50 });
    await stopChild(child, "SIGKILL");
    await mast.run();
    child = publishFfmpeg(mast.rtmp(path));
    await mast.onAir(path);
    await waitPlaying(page);
    assert.ok((await playerState(page)).connections >= 2);
  } finally {
    await stopChild(child, "SIGKILL");
  }
});

test("a path nobody publishes to waits, and plays by itself when somebody does", async () => {
  const path = "live/later";
  const page = await open(path);
  await page.waitForFunction(() => ["waiting", "ended"].includes(window.mast.state), null, { timeout: PATIENCE_MS });
  await withPublisher(publishFfmpeg(mast.rtmp(path)), path, async () => {
    await waitPlaying(page);
    assert.equal((await playerState(page)).connections, 1);
  });
  await page.close();
});

test("video without sound plays", async () => {
  const path = "live/silent";
  await withPublisher(publishFfmpeg(mast.rtmp(path), { audio: false }), path, async () => {
    const page = await open(path);
    await waitPlaying(page);
    assert.deepEqual(page.mastErrors, []);
  });
});

test("pause ends the connection, and the return is at the edge", async () => {
  const path = "live/pause";
  await withPublisher(publishFfmpeg(mast.rtmp(path)), path, async () => {
    const page = await open(path);
    await waitPlaying(page);
    await page.keyboard.press("Space");
    await eventually("nobody reads", async () => (await mast.stream(path)).n_readers === 0);
    await sleep(2000);
    await page.keyboard.press("Space");
    await waitPlaying(page);
    await eventually("at the edge", async () => (await playerState(page)).latency < 1);
    await page.keyboard.press("m");
    assert.equal(await page.evaluate(() => window.mast.video.muted), false);
  });
});

// A browser that drives tests never hides a page, so the page is told, and its video paused, as browsers do then.
function setHidden(page, hidden) {
  return page.evaluate((h) => {
    Object.defineProperty(document, "hidden", { configurable: true, get: () => h });
    document.dispatchEvent(new Event("visibilitychange"));
    if (h) {
      window.mast.video.pause();
    }
  }, hidden);
}

test("a page that was hidden for a while is at the edge when it is looked at again", async () => {
  const path = "live/hidden";
  await withPublisher(publishFfmpeg(mast.rtmp(path)), path, async () => {
    const page = await open(path);
    await waitPlaying(page);
    await setHidden(page, true);
    await sleep(3000);
    assert.equal((await playerState(page)).paused, true);
    await setHidden(page, false);
    await waitPlaying(page);
    await eventually("at the edge", async () => (await playerState(page)).latency < 1.5);
    assert.equal((await playerState(page)).connections, 1);
  });
});

test("a page that was held up goes back to the edge", async () => {
  const path = "live/held";
  await withPublisher(publishFfmpeg(mast.rtmp(path)), path, async () => {
    const page = await open(path);
    await waitPlaying(page);
    await page.evaluate(() => {
      const until = performance.now() + 3000;
      while (performance.now() < until) {
        // nothing arrives, nothing is appended
      }
    });
    await eventually("at the edge", async () => {
      const s = await playerState(page);
      return s.state === "playing" && s.latency < 1.5;
    });
    assert.equal((await playerState(page)).connections, 1);
  });
});

test("every session is gone from the gauges when the viewers are", async () => {
  await eventually(
    "no reader is left",
    async () => {
      const { items } = await mast.get("/api/v1/streams");
      return items.every((s) => s.n_readers === 0);
    },
  );
});
