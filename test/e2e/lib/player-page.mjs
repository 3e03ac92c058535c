// SPDX-License-Identifier: Apache-2.0
// The player of web/src/player alone in a page, at an address of the server itself, so that a test chooses the transport
// and sees every state it tells of.

import { readFile } from "node:fs/promises";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, extname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

import { PATIENCE_MS } from "./mast.mjs";

const WEB = resolve(dirname(fileURLToPath(import.meta.url)), "../../../web");

// For startBrowser(): a page that the test serves itself counts as one from outside, which may not open a WebSocket to here;
// and pages that lie behind others are to be played as well.
export const PLAYER_ARGS = [
  "--disable-features=LocalNetworkAccessChecks,CalculateNativeWinOcclusion",
  "--disable-background-media-suspend",
  "--disable-background-timer-throttling",
  "--disable-backgrounding-occluded-windows",
  "--disable-renderer-backgrounding",
];

const HTML = `<!doctype html><meta charset="utf-8"><video muted playsinline width="640" height="360"></video>
<script type="module">
import { choices, openPlayer } from "./player.js";
const video = document.querySelector("video");
const q = new URLSearchParams(location.search);
const m = (window.mast = { video, states: [], stats: null, openedAt: performance.now(), choices: choices(video) });
m.open = (transport) => {
  m.player = openPlayer(video, {
    path: q.get("path"), transport, query: new URLSearchParams(q.get("query") ?? ""),
    onState: (s) => m.states.push({ ...s, at: performance.now() }),
    onStats: (s) => (m.stats = s),
  });
};
m.open(q.get("transport"));
</script>`;

let built; // the folder of the bundle

async function buildPlayer() {
  const { build } = await import(pathToFileURL(join(WEB, "node_modules/vite/dist/node/index.js")));
  const outDir = mkdtempSync(join(tmpdir(), "mast-player-"));
  await build({
    root: WEB,
    configFile: false,
    logLevel: "error",
    build: { outDir, emptyOutDir: true, target: "es2020", minify: false, lib: { entry: join(WEB, "src/player/index.ts"), formats: ["es"], fileName: () => "player.js" } },
  });
  return outDir;
}

// options.query: of the player's own requests; options.before: a script that runs in the page before anything else.
export async function openPlayerPage(browser, mast, path, { transport = "auto", query = "", before } = {}) {
  built ??= buildPlayer();
  const folder = await built;
  const page = await browser.newPage();
  if (before) {
    await page.addInitScript(before);
  }
  await page.route(`${mast.url}/player-test/**`, async (route) => {
    const name = new URL(route.request().url()).pathname.split("/").pop();
    const body = name === "" ? HTML : await readFile(join(folder, name)).catch(() => null);
    const type = extname(name) === "" ? "text/html" : "text/javascript";
    await (body === null ? route.fulfill({ status: 404 }) : route.fulfill({ body, contentType: type }));
  });
  await page.goto(`${mast.url}/player-test/?${new URLSearchParams({ path, transport, query })}`);
  return page;
}

export function playerPageState(page) {
  return page.evaluate(() => {
    const { video, player, states, stats } = window.mast;
    const d = player.details;
    return {
      transport: player.transport,
      phase: states[states.length - 1]?.phase,
      reason: states[states.length - 1]?.reason,
      states: states.map((s) => `${Math.round(s.at)} ${s.phase} ${s.transport} ${s.reason} ${s.message ?? ""}`),
      stats,
      details: { state: d.state, stalls: d.stalls, seeks: d.seeks, connections: d.connections, rebuilds: d.rebuilds, firstFrameMs: d.firstFrameMs },
      currentTime: video.currentTime,
      rate: video.playbackRate,
      frames: video.webkitDecodedFrameCount,
      audioBytes: video.webkitAudioDecodedByteCount,
      width: video.videoWidth,
      buffered: [...Array(video.buffered.length).keys()].map((i) => [video.buffered.start(i), video.buffered.end(i)]),
      error: video.error?.message ?? null,
    };
  });
}

// Waits until it plays, and its pictures go on.
export async function waitPlays(page, timeout = PATIENCE_MS) {
  const playing = () => window.mast?.states.at(-1)?.phase === "playing";
  await page.waitForFunction(playing, null, { timeout, polling: 50 });
  const from = await page.evaluate(() => window.mast.video.webkitDecodedFrameCount);
  await page.waitForFunction((n) => window.mast.video.webkitDecodedFrameCount > n + 10, from, { timeout, polling: 50 });
}
