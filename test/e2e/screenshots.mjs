// SPDX-License-Identifier: Apache-2.0
// Makes the pictures of the README: the real program with streams that look like something, and the real pages. `make
// screenshots`; MAST_SHOTS_DIR is where they go (docs/), MAST_SHOTS=all takes every page in all colours and on a phone as well.

import { mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

import { startBrowser, waitPlaying } from "./lib/browser.mjs";
import { runFfmpeg, startProgram } from "./lib/ffmpeg.mjs";
import { eventually, Mast, sleep, stopChild } from "./lib/mast.mjs";
import { slowReader } from "./lib/slow.mjs";

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
const DIR = process.env.MAST_SHOTS_DIR ?? join(ROOT, "docs");
const ALL = process.env.MAST_SHOTS === "all";

const DESKTOP = { width: 1280, height: 800 };
const PHONE = { width: 360, height: 740 };

// Films of FILM_S seconds, made once and sent again and again, so that the machine has time for the browser.
const FILM_S = 12;
const STREAMS = [
  { path: "studio/camera-1", video: "gradients=size=640x360:rate=25:c0=0x0b3954:c1=0xff6663:c2=0xffd166:c3=0x118ab2:nb_colors=4:speed=0.02:duration=600,scale=1280:720", gop: 50, rate: "2500k" },
  { path: "studio/camera-2", video: "mandelbrot=size=640x360:rate=25:start_scale=0.5:end_scale=0.05:end_pts=600:maxiter=600", gop: 25, rate: "1200k" },
  { path: "stage/wide", video: "life=size=160x90:mold=18:rate=12.5:ratio=0.2:random_seed=7:death_color=0x1d4e5f:life_color=0xffd9a0:mold_color=0x0e2a36,scale=1280:720:flags=neighbor", gop: 25, rate: "1800k" },
  { path: "stage/test-card", video: "smptehdbars=size=1280x720:rate=25", gop: 100, rate: "400k" },
  { path: "door/entrance", video: "testsrc2=size=640x360:rate=15", gop: 30, rate: "700k", audio: false },
  { path: "radio/night", video: null },
];

async function makeFilm(folder, { path, video, gop, rate, audio = true }) {
  const file = join(folder, `${path.replace("/", "-")}.mp4`);
  const picture = video ? ["-f", "lavfi", "-i", video] : [];
  const sound = audio ? ["-f", "lavfi", "-i", "sine=frequency=330:sample_rate=48000,volume=0.1"] : [];
  await runFfmpeg([
    ...picture, ...sound, "-t", String(FILM_S),
    ...(video ? ["-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-g", String(gop), "-keyint_min", String(gop), "-sc_threshold", "0", "-b:v", rate, "-maxrate", rate, "-bufsize", rate] : []),
    ...(audio ? ["-c:a", "aac", "-b:a", "96k", "-ac", "2"] : []), file,
  ]); // prettier-ignore
  return file;
}

function publish(mast, path, film) {
  return startProgram("ffmpeg", ["-hide_banner", "-loglevel", "warning", "-nostdin", "-re", "-stream_loop", "-1", "-i", film, "-c", "copy", "-f", "flv", mast.rtmp(path)]);
}

// 256 colours are enough for a page, and a third of the size.
async function shrink(file) {
  const small = `${file}.small.png`;
  await runFfmpeg(["-y", "-i", file, "-vf", "split[a][b];[a]palettegen=stats_mode=full[p];[b][p]paletteuse=dither=none", small]);
  await rename(small, file);
}

async function shot(page, name, options = {}) {
  const file = join(DIR, `${name}.png`);
  await page.screenshot({ path: file, ...options });
  await shrink(file);
  if (page.mastErrors.length > 0) {
    throw new Error(`${name}: ${page.mastErrors.join("\n")}`);
  }
}

async function open(browser, url, { dark = true, lang = "en", size = DESKTOP } = {}) {
  const page = await browser.newPage();
  await page.setViewportSize(size);
  await page.addInitScript(
    ({ dark, lang }) => {
      localStorage.setItem("mast.theme", dark ? "dark" : "light");
      localStorage.setItem("mast.lang", lang);
    },
    { dark, lang },
  );
  await page.goto(url);
  return page;
}

async function wall(browser, mast, name, how) {
  const page = await open(browser, mast.url, how);
  await eventually("all pictures", async () => (await page.locator(".thumb.shows").count()) >= (how.size === PHONE ? 1 : STREAMS.length - 1));
  await sleep(1200);
  await shot(page, name);
  await page.close();
}

async function stream(browser, mast, name, how) {
  const page = await open(browser, `${mast.url}/studio/camera-1`, how);
  await waitPlaying(page);
  const slow = await slowReader(mast, "studio/camera-1", { bytes: 30000 });
  await eventually("a late reader", async () => (await page.locator("tr[data-level=lost]").count()) > 0);
  await sleep(2000);
  await waitPlaying(page);
  const panel = await page.locator(".panel.wide").first().boundingBox(); // the readers: what follows is of less interest
  await shot(page, name, how.size === PHONE || ALL ? { fullPage: true } : { fullPage: true, clip: { x: 0, y: 0, width: DESKTOP.width, height: panel.y + panel.height + 20 } });
  slow.close();
  await page.close();
}

async function simple(browser, mast, hash, name, how, settleMs) {
  const page = await open(browser, `${mast.url}/#${hash}`, how);
  await sleep(settleMs);
  await shot(page, name);
  await page.close();
}

await mkdir(DIR, { recursive: true });
const mast = await Mast.start({ config: { log: { level: "info" } } });
const browser = await startBrowser({ args: ["--hide-scrollbars"] });
const folder = await mkdtemp(join(tmpdir(), "mast-shots-"));
const programs = [];
try {
  if (ALL) {
    const page = await open(browser, mast.url, { dark: false });
    await page.getByText("OBS Studio").waitFor();
    await shot(page, "empty");
    await page.close();
  }
  for (const s of STREAMS) {
    programs.push(publish(mast, s.path, await makeFilm(folder, s)));
  }
  for (const s of STREAMS) {
    await mast.onAir(s.path);
  }
  const player = startProgram("ffmpeg", ["-hide_banner", "-loglevel", "error", "-nostdin", "-i", mast.rtmp("studio/camera-1"), "-c", "copy", "-f", "null", "-"]);
  programs.push(player);
  await sleep(Number(process.env.MAST_SHOTS_WARM_S ?? 60) * 1000); // graphs of a minute
  const looks = ALL
    ? [["-phone", { dark: true, size: PHONE }], ["-pt", { dark: false, lang: "pt" }], ["", { dark: true }], ["-light", { dark: false }]]
    : [["", { dark: true }]];
  for (const [suffix, how] of looks) {
    await wall(browser, mast, `wall${suffix}`, how);
    await stream(browser, mast, `stream${suffix}`, how);
    if (ALL) {
      await simple(browser, mast, "events", `events${suffix}`, how, 2500);
      await simple(browser, mast, "system", `system${suffix}`, how, 20000);
    }
  }
  if (!ALL) {
    await wall(browser, mast, "wall-phone", { dark: false, size: PHONE, lang: "pt" });
  }
} finally {
  await Promise.all(programs.map((p) => stopChild(p, "SIGKILL")));
  await browser.close();
  await mast.close();
  await rm(folder, { recursive: true, force: true });
}
