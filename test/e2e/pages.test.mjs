// SPDX-License-Identifier: Apache-2.0
// What the pages show besides the picture (issue 3, 5): the wall, a stream's details, events, the system; languages, keyboard,
// phone. The picture itself is page.test.mjs.

import assert from "node:assert/strict";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, test } from "node:test";

import { pressTwice, startBrowser, waitPlaying } from "./lib/browser.mjs";
import { runFfmpeg, startProgram } from "./lib/ffmpeg.mjs";
import { eventually, Mast, PATIENCE_MS, stopChild } from "./lib/mast.mjs";
import { slowReader } from "./lib/slow.mjs";

const CAMERA = "studio/cam-1";
const WALL = ["door/a", "door/b", "door/c", "door/d", "door/e", CAMERA];
const PHONE = { width: 360, height: 640 };

let mast;
let browser;
let folder;
let film;
let other;

const otherUrl = () => `http://127.0.0.1:${other.address().port}`;
const publishers = new Map();

// Copied from a file again and again, so that six of them cost nothing.
function publish(path) {
  publishers.set(path, startProgram("ffmpeg", ["-hide_banner", "-loglevel", "warning", "-nostdin", "-re", "-stream_loop", "-1", "-i", film, "-c", "copy", "-f", "flv", mast.rtmp(path)]));
}

async function unpublish(path) {
  await stopChild(publishers.get(path), "SIGKILL");
  publishers.delete(path);
}

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "mast-pages-"));
  film = join(folder, "film.mp4");
  // Noise makes it large, so that a slow reader is soon behind.
  await runFfmpeg(["-f", "lavfi", "-i", "testsrc2=size=640x360:rate=25,noise=alls=30:allf=t", "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000", "-t", "7", "-c:v", "libx264", "-preset", "ultrafast", "-b:v", "6M", "-g", "25", "-sc_threshold", "0", "-pix_fmt", "yuv420p", "-c:a", "aac", film]);
  // Another site, whose pages have our player in a frame: allowed with ?embed, and not without.
  other = createServer((req, res) => {
    const src = `${mast.url}/${CAMERA}${req.url.includes("whole") ? "" : "?embed"}`;
    res.setHeader("content-type", "text/html").end(`<!doctype html><iframe src="${src}" width="640" height="360" allow="autoplay"></iframe>`);
  });
  await new Promise((done) => other.listen(0, "127.0.0.1", done));
  mast = await Mast.start({ config: { http: { embed: [otherUrl()] } } });
  browser = await startBrowser();
  WALL.forEach(publish);
  for (const path of WALL) {
    await mast.onAir(path);
  }
});

afterEach(async () => {
  for (const page of browser.context.pages()) {
    if (page.url() !== "about:blank") {
      await page.evaluate(() => localStorage.clear());
      await page.close();
    }
  }
});

after(async () => {
  await browser?.close();
  other?.close();
  for (const path of [...publishers.keys()]) {
    await unpublish(path);
  }
  await mast?.close();
  await rm(folder, { recursive: true, force: true });
});

// Opens a page that is watched for what must never happen.
async function open(where, { from = browser, size, init } = {}) {
  const page = await from.newPage();
  if (size) {
    await page.setViewportSize(size);
  }
  await page.addInitScript(() => {
    window.violations = [];
    document.addEventListener("securitypolicyviolation", (e) => window.violations.push(`${e.violatedDirective} ${e.blockedURI}`));
  });
  if (init) {
    await page.addInitScript(init);
  }
  await page.goto(mast.url + where);
  return page;
}

async function assertClean(page) {
  assert.deepEqual(await page.evaluate(() => window.violations), [], "content security policy");
  assert.deepEqual(page.mastErrors, [], "console");
}

const visible = (locator) => locator.waitFor({ timeout: PATIENCE_MS });

// What a card shows, as small colours; null while it shows nothing.
function pixels(page, path) {
  return page.evaluate((p) => {
    const video = document.querySelector(`.card[href="/${p}"] .thumb.shows video.front`);
    if (!video || video.videoWidth === 0) {
      return null;
    }
    const canvas = document.createElement("canvas");
    canvas.width = 64;
    canvas.height = 36;
    const context = canvas.getContext("2d");
    context.drawImage(video, 0, 0, 64, 36);
    const { data } = context.getImageData(0, 0, 64, 36);
    const colours = new Set();
    for (let i = 0; i < data.length; i += 4) {
      colours.add((data[i] >> 5) * 64 + (data[i + 1] >> 5) * 8 + (data[i + 2] >> 5));
    }
    return { width: video.videoWidth, height: video.videoHeight, colours: colours.size, sum: data.reduce((a, b) => a + b, 0) };
  }, path);
}

test("the wall shows the streams with decoded pictures, which change, and counts nobody for them", async () => {
  const page = await open("/");
  const first = await eventually("a picture", () => pixels(page, CAMERA));
  assert.deepEqual([first.width, first.height], [640, 360]);
  assert.ok(first.colours > 20, `${first.colours} colours`);
  const card = page.locator(`.card[href="/${CAMERA}"]`);
  await visible(card.getByText("H.264 640×360, 25 fps"));
  await visible(card.getByText("AAC 48 kHz"));
  await visible(card.getByText(/Mb\/s +· +up 0:\d\d/));
  assert.equal((await mast.stream(CAMERA)).n_readers, 0);
  await eventually("another picture", async () => (await pixels(page, CAMERA))?.sum !== first.sum);
  await page.getByRole("searchbox").fill("door");
  await eventually("what is searched for", async () => (await page.locator(".card").count()) === WALL.length - 1);
  await page.getByRole("searchbox").fill("door nothing");
  await visible(page.getByText("No stream matches."));
  await assertClean(page);
});

test("the page's files are packed for who takes it", async () => {
  const html = await (await fetch(mast.url)).text();
  for (const name of html.match(/\/assets\/[^"]+\.(js|css)/g)) {
    const [plain, packed] = await Promise.all(["identity", "gzip, br"].map((accept) => fetch(mast.url + name, { headers: { "accept-encoding": accept } })));
    assert.deepEqual([plain, packed].map((r) => r.headers.get("content-encoding")), [null, "gzip"], name);
    assert.deepEqual([plain, packed].map((r) => r.headers.get("vary")), ["Accept-Encoding", "Accept-Encoding"]);
    assert.ok(Number(packed.headers.get("content-length")) < 0.4 * Number(plain.headers.get("content-length")));
    assert.equal(packed.headers.get("content-type"), plain.headers.get("content-type"));
    assert.notEqual(packed.headers.get("etag"), plain.headers.get("etag"));
    assert.equal(await packed.text(), await plain.text());
  }
});

test("pictures are asked for only where somebody looks", async () => {
  const page = await browser.newPage();
  await page.setViewportSize(PHONE);
  await page.clock.install();
  const asked = new Set();
  let n = 0;
  page.on("request", (r) => {
    if (r.url().endsWith("/keyframe.mp4")) {
      asked.add(new URL(r.url()).pathname.slice(1).replace("/keyframe.mp4", ""));
      n++;
    }
  });
  await page.goto(`${mast.url}/`);
  await eventually("the first picture", async () => {
    await page.clock.runFor(100);
    return (await pixels(page, "door/a")) !== null;
  });
  await page.clock.runFor(9000);
  assert.ok(!asked.has(CAMERA), "the last card is far below");
  await page.locator(`.card[href="/${CAMERA}"]`).scrollIntoViewIfNeeded();
  await eventually("its picture, once it is seen", async () => {
    await page.clock.runFor(500);
    return asked.has(CAMERA) && (await pixels(page, CAMERA)) !== null;
  });
  await page.evaluate(() => {
    Object.defineProperty(document, "hidden", { configurable: true, get: () => true });
    document.dispatchEvent(new Event("visibilitychange"));
  });
  const before = n;
  await page.clock.runFor(30000);
  assert.equal(n, before, "nobody looks at a hidden tab");
});

test("a card says so when the browser has not the decoder", async () => {
  const page = await open("/", {
    init: () => {
      HTMLMediaElement.prototype.canPlayType = () => "";
    },
  });
  await visible(page.locator(`.card[href="/${CAMERA}"]`).getByText("H.264: this browser has no decoder for it"));
  await assertClean(page);
});

test("how to publish names the ports of this server", async () => {
  const page = await open("/");
  await page.getByText("How to publish").click();
  await visible(page.getByText(`rtmp://127.0.0.1:${mast.rtmpPort}/live`, { exact: true }));
  await assertClean(page);
});

test("a stream's page plays, tells why this transport, and shows graphs that have data", async () => {
  const page = await open(`/${CAMERA}`);
  await waitPlaying(page);
  await visible(page.getByText("MSE over WebSocket: lowest delay"));
  await visible(page.getByText(/every 1\.00 s/));
  await eventually("bars", async () => (await page.locator(".graph-groups .bar").count()) >= 3);
  const line = await page.locator(".graph-rate .line-stroke").getAttribute("d");
  assert.ok((line.match(/L/g) ?? []).length >= 3, line);
  assert.match(await page.locator(".graph-rate").getAttribute("aria-label"), /^Bitrate of the last \d+ seconds: mean \d+(\.\d)? Mb\/s/);
  await visible(page.getByText(/avc1\.[0-9a-f]{6}/));
  await visible(page.getByText("Lavf", { exact: false }).first());
  await visible(page.locator("tr[data-reader]").getByText("keeps up"));
  await visible(page.getByText(`rtmp://127.0.0.1:${mast.rtmpPort}/${CAMERA}`, { exact: true }));
  await visible(page.locator(".panel .event").getByText("on air"));
  const download = page.waitForEvent("download", { timeout: PATIENCE_MS });
  await page.keyboard.press("s");
  const saved = await download;
  assert.match(saved.suggestedFilename(), /^studio-cam-1-.*\.png$/);
  assert.ok((await stat(await saved.path())).size > 10000);
  await assertClean(page);
});

test("another transport can be chosen, and plays", async () => {
  const page = await open(`/${CAMERA}`);
  await waitPlaying(page);
  await page.getByLabel("Transport").selectOption("hls");
  await eventually("hls", async () => (await page.evaluate(() => window.mast.transport)) === "hls");
  await waitPlaying(page);
  await visible(page.getByText("LL-HLS (hls.js): your choice"));
  await page.getByLabel("Transport").selectOption("auto");
  await waitPlaying(page);
  assert.equal(await page.evaluate(() => window.mast.transport), "mse");
  await assertClean(page);
});

test("a slow reader is listed with the reason, and can be ended", async () => {
  const slow = await slowReader(mast, CAMERA, { bytes: 40000 }); // 1.3 of 6 Mb/s
  try {
    const page = await open(`/${CAMERA}`);
    const row = page.locator("tr[data-reader]", { hasText: "slow" });
    await visible(row.getByText(/network slower than the stream: takes \S+ [kM]b\/s of \S+ Mb\/s; skipped to a key frame \d+ times?/));
    assert.equal(await row.getAttribute("data-level"), "lost");
    const seen = (await mast.stream(CAMERA)).readers.find((r) => r.agent === "slow");
    assert.ok(seen.jumps >= 1 && seen.dropped > 0 && seen.behind_ms > 0, JSON.stringify(seen));
    await pressTwice(row.getByRole("button"));
    await row.waitFor({ state: "detached", timeout: PATIENCE_MS });
    assert.ok(!(await mast.stream(CAMERA)).readers.some((r) => r.agent === "slow"));
    await assertClean(page);
  } finally {
    slow.close();
  }
});

test("events arrive as they happen, are filtered, and wait while the list is stopped", async () => {
  const path = "events/here";
  const page = await open("/#events");
  await visible(page.locator(".event", { hasText: CAMERA }).getByText("on air").first()); // from before it was opened
  publish(path);
  const mine = page.locator(".event:visible", { hasText: path });
  await visible(mine.getByText("on air"));
  await page.getByRole("searchbox").fill(`${path} ready`);
  await eventually("only what is searched for", async () => (await page.locator(".event:visible").count()) === 1);
  await page.getByRole("searchbox").fill("");
  await page.getByRole("button", { name: "Stop" }).click();
  await unpublish(path);
  await visible(page.getByRole("button", { name: /Go on \(\+1\)/ }));
  assert.equal(await mine.getByText("publisher lost").count(), 0);
  await page.keyboard.press("p");
  await visible(mine.getByText("publisher lost"));
  await page.getByRole("button", { name: "Clear" }).click();
  assert.equal(await page.locator(".event").count(), 0);
  await assertClean(page);
});

test("the event list goes on where it was after a lost connection", async () => {
  const page = await browser.newPage();
  const asked = [];
  const event = (n) => `id: b-${n}\ndata: ${JSON.stringify({ id: `b-${n}`, time: "2026-01-01T00:00:00Z", type: "stream.ready", resource: `streams/n${n}`, data: {} })}\n\n`;
  await page.route("**/api/v1/events", (route) => {
    asked.push(route.request().headers()["last-event-id"] ?? "");
    const body = asked.length === 1 ? event(7) : asked.length === 2 ? event(8) : "event: reset\nid: c-0\ndata: {}\n\n";
    return route.fulfill({ status: 200, contentType: "text/event-stream", body });
  });
  await page.goto(`${mast.url}/#events`);
  await visible(page.getByText("events before this are missing").first());
  assert.deepEqual(asked.slice(0, 3), ["", "b-7", "b-8"]);
  assert.equal(await page.locator(".event", { hasText: "n7" }).count(), 1);
  assert.equal(await page.locator(".event", { hasText: "n8" }).count(), 1);
});

test("the system page has the numbers of this server", async () => {
  const page = await open("/#system");
  await visible(page.getByText(`127.0.0.1:${mast.rtmpPort}`));
  await visible(page.getByText(/^[\d.]+ Mb\/s$/).first());
  await eventually("two looks make a line", async () => ((await page.locator(".graph-traffic .in-stroke").getAttribute("d")) ?? "").includes("L"));
  await visible(page.locator(".tile", { hasText: "Streams" }).getByText(/^[6-9]$/));
  await assertClean(page);
});

test("Portuguese by the browser and by the switch, kept over a reload", async () => {
  const brazil = await startBrowser({ locale: "pt-BR" });
  try {
    const page = await open("/", { from: brazil });
    await visible(page.getByRole("link", { name: "Ao vivo", exact: true }));
    assert.equal(await page.evaluate(() => document.documentElement.lang), "pt");
    await page.getByRole("button", { name: /^Idioma/ }).click();
    await visible(page.getByRole("link", { name: "Streams", exact: true }));
    await page.reload();
    await visible(page.getByRole("link", { name: "Streams", exact: true }));
    await page.keyboard.press("i");
    await visible(page.getByRole("link", { name: "Eventos" }));
    await page.goto(`${mast.url}/${CAMERA}`);
    await waitPlaying(page);
    await visible(page.getByText("MSE por WebSocket: menor atraso"));
    await page.getByRole("button", { name: "Pausar (espaço)" }).waitFor({ state: "attached" });
    await visible(page.getByText("Quadros-chave"));
    await assertClean(page);
  } finally {
    await brazil.close();
  }
});

test("on a phone nothing is wider than the screen", async () => {
  for (const [where, there] of [["/", ".card"], [`/${CAMERA}`, "tr[data-reader]"], ["/#broadcasts", ".empty"], ["/#events", ".event"], ["/#system", ".tile"]]) {
    for (const lang of ["en", "pt"]) {
      const page = await browser.newPage();
      await page.setViewportSize(PHONE);
      await page.addInitScript((l) => localStorage.setItem("mast.lang", l), lang);
      await page.goto(mast.url + where);
      await visible(page.locator(there).first());
      const widths = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
      assert.ok(widths[0] <= widths[1], `${where} in ${lang}: ${widths}`);
      const nav = await page.locator(".top nav a").last().boundingBox();
      const tools = await page.locator(".tools").boundingBox();
      assert.ok(nav.x + nav.width <= tools.x || nav.y + nav.height <= tools.y || tools.y + tools.height <= nav.y, `${where} in ${lang}: the head of the page has no room`);
      assert.deepEqual(page.mastErrors, []);
      await page.evaluate(() => localStorage.clear());
      await page.close();
    }
  }
});

test("everything can be reached and done with the keyboard", async () => {
  const page = await open("/");
  const focused = () => page.evaluate(() => document.activeElement?.textContent || document.activeElement?.getAttribute("aria-label"));
  await visible(page.locator(".card").first());
  await page.keyboard.press("Tab");
  assert.equal(await focused(), "Skip to the content");
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement?.tagName), "MAIN");
  await page.keyboard.press("/");
  assert.equal(await page.evaluate(() => document.activeElement?.getAttribute("type")), "search");
  await page.keyboard.type("cam-1");
  await eventually("one card", async () => (await page.locator(".card").count()) === 1);
  await page.keyboard.press("Escape");
  await eventually("all cards", async () => (await page.locator(".card").count()) === WALL.length);
  await page.keyboard.press("?");
  await visible(page.getByRole("dialog", { name: "Keyboard" }));
  await page.keyboard.press("e"); // not while the overlay is there
  assert.equal(new URL(page.url()).hash, "");
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  const theme = () => page.evaluate(() => document.documentElement.dataset.theme);
  const themes = new Set();
  for (let i = 0; i < 3; i++) {
    themes.add(await theme());
    await page.keyboard.press("t");
  }
  assert.deepEqual([...themes].sort(), ["dark", "light"]);
  await page.keyboard.press("e");
  await visible(page.getByRole("heading", { name: "Events" }));
  await page.keyboard.press("y");
  await visible(page.getByRole("heading", { name: "System" }));
  await page.keyboard.press("w");
  const card = page.locator(`.card[href="/${CAMERA}"]`);
  await visible(card);
  await card.focus();
  await page.keyboard.press("Enter");
  await waitPlaying(page);
  const at = await page.evaluate(() => window.mast.video.volume);
  await page.keyboard.press("ArrowDown");
  assert.ok((await page.evaluate(() => window.mast.video.volume)) < at);
  await page.keyboard.press("Space");
  await visible(page.getByRole("button", { name: "Play", exact: true }));
  await page.keyboard.press("Space");
  await waitPlaying(page);
  await page.keyboard.press("f");
  await eventually("full screen", () => page.evaluate(() => document.fullscreenElement !== null));
  await page.keyboard.press("f");
  await assertClean(page);
});

test("the embedded page is the player and nothing else", async () => {
  const page = await open(`/${CAMERA}?embed`);
  await waitPlaying(page);
  assert.equal(await page.locator("header, .panel").count(), 0);
  const box = await page.locator(".stage").boundingBox();
  assert.deepEqual([box.x, box.y, box.width, box.height], [0, 0, 1280, 800]);
  await assertClean(page);
});

test("sites that are named may have the player in a frame, and nothing else of the server", async () => {
  const page = await browser.newPage();
  await page.goto(`${otherUrl()}/`);
  const frame = await eventually("the player's frame", () => page.frames().find((f) => f.url().startsWith(mast.url)));
  await frame.waitForFunction(() => window.mast?.state === "playing" && window.mast.currentTime > 0, null, { timeout: PATIENCE_MS });
  assert.deepEqual(page.mastErrors, []);
  await page.goto(`${otherUrl()}/whole`);
  await eventually("it is refused", () => page.mastErrors.some((e) => /frame-ancestors|refused|violates/i.test(e)));
});

test("colours follow the system until one is chosen, and reduced motion is heard", async () => {
  const page = await browser.newPage();
  await page.emulateMedia({ colorScheme: "dark", reducedMotion: "reduce" });
  await page.addInitScript(() => localStorage.removeItem("mast.theme"));
  await page.goto(`${mast.url}/`);
  const theme = () => page.evaluate(() => document.documentElement.dataset.theme);
  await eventually("dark", async () => (await theme()) === "dark");
  await page.emulateMedia({ colorScheme: "light" });
  await eventually("light", async () => (await theme()) === "light");
  await visible(page.locator(".card").first());
  assert.equal(await page.evaluate(() => getComputedStyle(document.querySelector(".thumb video")).transitionDuration), "0s");
});
