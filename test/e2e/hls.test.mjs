// SPDX-License-Identifier: Apache-2.0
// HLS and LL-HLS of the real program: our checker follows the playlists, ffmpeg plays both variants, publishers come and go.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { mkdtemp, rm } from "node:fs/promises";
import { createServer, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { startBrowser } from "./lib/browser.mjs";
import { publishFfmpeg, runFfmpeg, startProgram } from "./lib/ffmpeg.mjs";
import { HlsChecker, openMaster, parsePlaylist } from "./lib/hls-check.mjs";
import { eventually, Mast, stopChild } from "./lib/mast.mjs";
import { openPlayerPage, PLAYER_ARGS, playerPageState, waitPlays } from "./lib/player-page.mjs";

const PUBLISHER = join(process.env.MAST_BUILD ?? "../../build", "test/tools/rtmp_publish");

const SIZE = { size: "320x180" };

let mast;
const publishers = [];

function publish(path, options = {}) {
  const child = publishFfmpeg(mast.rtmp(path), { ...SIZE, ...options });
  publishers.push(child);
  return child;
}

before(async () => {
  mast = await Mast.start();
});

after(async () => {
  await Promise.all(publishers.map((p) => stopChild(p, "SIGKILL")));
  await mast?.close();
});

const master = (path, query = "") => `${mast.url}/${path}/index.m3u8${query}`;

async function checkers(path) {
  const m = await openMaster(master(path));
  return { m, list: [m.main, m.audio].filter(Boolean).map((url) => new HlsChecker(url)) };
}

// Reads seconds of it and returns the dts of the packets, per stream.
async function play(url, seconds) {
  const child = startProgram("ffmpeg", [
    "-hide_banner", "-loglevel", "error", "-nostdin", "-i", url, "-t", String(seconds), "-map", "0", "-c", "copy", "-f", "framecrc", "-",
  ]); // prettier-ignore
  let out = "";
  child.stdout.on("data", (d) => (out += d));
  const code = await new Promise((done) => child.once("close", done));
  assert.equal(code, 0, child.log);
  const streams = {};
  for (const line of out.split("\n").filter((l) => l && !l.startsWith("#"))) {
    const [stream, dts] = line.split(",").map((f) => Number(f));
    (streams[stream] ??= []).push(dts);
  }
  return Object.values(streams);
}

describe("hls", { concurrency: true }, () => {
  test("the rules hold while a publisher leaves and returns", async () => {
    let publisher = publish("live/rules");
    await mast.onAir("live/rules");
    const { m, list } = await checkers("live/rules");
    assert.match(m.variant.CODECS, /^avc1\.[0-9a-f]{6},mp4a\.40\.2$/);
    assert.equal(m.variant.RESOLUTION, "320x180");
    assert.equal(m.variant["FRAME-RATE"], "30.000");
    const parts = (n) => Promise.all(list.map((c) => c.follow(() => c.known.size >= n)));
    await parts(4);
    const before = list.map((c) => c.list.open.msn);
    await stopChild(publisher, "SIGKILL");
    publisher = publish("live/rules");
    // A reload may wait in vain meanwhile: 503 after three target durations, and asked again.
    const until = async (c) => {
      while (c.discontinuities === 0 || c.known.size < 8) {
        await c.reload().catch((e) => {
          if (!/: 503 /.test(e.message)) {
            throw e;
          }
        });
      }
    };
    await Promise.all(list.map(until));
    list.forEach((c, i) => {
      assert.equal(c.discontinuities, 1);
      assert.ok(c.list.open.msn > before[i]);
      assert.ok(c.parts > 20, `${c.parts} parts`);
    });
    // All renditions count alike.
    const dsn = list.map((c) => c.list.open.dsn);
    assert.equal(dsn[0], dsn[1]);
    assert.ok((await mast.metric("mast_hls_readers")) >= 1);
    const stream = await mast.stream("live/rules");
    assert.equal(stream.readers.filter((r) => r.protocol === "hls").length, 1);
  });

  test("ffmpeg plays both variants", async () => {
    publish("live/play");
    await mast.onAir("live/play");
    const runs = await Promise.all(["", "?plain"].map((query) => play(master("live/play", query), 10)));
    for (const streams of runs) {
      assert.equal(streams.length, 2);
      for (const dts of streams) {
        assert.ok(dts.length > 200, `${dts.length} packets`);
        for (let i = 1; i < dts.length; i++) {
          assert.ok(dts[i] > dts[i - 1], `dts ${dts[i]} after ${dts[i - 1]}`);
        }
      }
    }
    const m = await openMaster(master("live/play", "?plain"));
    const plain = await (await fetch(m.main)).text();
    assert.doesNotMatch(plain, /PART|PRELOAD|SERVER-CONTROL|RENDITION|SKIP/);
    assert.ok(parsePlaylist(plain).segments.length > 2);
  });

  test("sound alone, and pictures alone", async () => {
    const sound = startProgram("ffmpeg", [
      "-hide_banner", "-loglevel", "warning", "-nostdin", "-re", "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=44100",
      "-c:a", "aac", "-f", "flv", mast.rtmp("live/sound"),
    ]); // prettier-ignore
    publishers.push(sound);
    publish("live/silent", { audio: false, rate: 15, gop: 15 });
    await Promise.all(
      ["live/sound", "live/silent"].map(async (path) => {
        await mast.onAir(path);
        const { m, list } = await checkers(path);
        assert.equal(list.length, 1);
        assert.equal(m.variant.RESOLUTION === undefined, path === "live/sound");
        await list[0].follow((c) => c.known.size >= 4);
        assert.ok(list[0].parts >= 10);
      }),
    );
  });

  test("numbers go on after nobody watched, and what slid out is gone", async () => {
    publish("live/idle");
    await mast.onAir("live/idle");
    const first = parsePlaylist(await (await fetch((await openMaster(master("live/idle"))).main)).text());
    const url = new URL(first.segments[0].uri, `${mast.url}/live/idle/~hls/`);
    assert.equal((await fetch(url)).status, 200);
    const head = await fetch(url, { method: "HEAD" });
    assert.ok(Number(head.headers.get("content-length")) > 1000);
    await eventually("the lease ends", async () => (await mast.stream("live/idle")).readers.length === 0);
    assert.equal((await fetch(url)).status, 404);
    const { list } = await checkers("live/idle");
    await list[0].follow((c) => c.known.size >= 2);
    assert.ok(list[0].list.msn > first.open.msn, `${list[0].list.msn} after ${first.open.msn}`);
    assert.equal(list[0].list.dsn, first.dsn);
  });

  test("what cannot be answered is refused", async () => {
    publish("live/refuse");
    await mast.onAir("live/refuse");
    const m = await openMaster(master("live/refuse"));
    const list = parsePlaylist(await (await fetch(m.main)).text());
    const file = (name) => `${mast.url}/live/refuse/~hls/${name}`;
    const table = [
      [`${m.main}?_HLS_msn=${list.open.msn + 9}`, 400],
      [`${m.main}?_HLS_part=1`, 400],
      [`${m.main}?_HLS_msn=x`, 400],
      [file("video9.m3u8"), 404],
      [file("video7.m3u8"), 404],
      [file("audio1.m3u8"), 404],
      [file("video1-1.m4s"), 404],
      [file("video1-01.m4s"), 404],
      [file("..%2findex.m3u8"), 400],
      [master("live/nobody"), 404],
      [`${mast.url}/live/nobody/~hls/video1.m3u8`, 404],
      [`${mast.url}/live/nobody/~hls/video1-1.m4s`, 404],
      [`${mast.url}/api/x/index.m3u8`, 400],
    ];
    for (const [url, status] of table) {
      const reply = await fetch(url);
      assert.equal(reply.status, status, url);
      await reply.arrayBuffer();
    }
    // The part that is hinted at comes as soon as it is there.
    const hinted = await fetch(new URL(list.hint.URI, m.main));
    assert.equal(hinted.status, 200);
    assert.ok((await hinted.arrayBuffer()).byteLength > 100);
  });
});

// Two languages in AAC and one in Opus, as E-RTMP multitrack of our own sender.
async function makeTracks(file) {
  const tone = (hz) => ["-f", "lavfi", "-i", `sine=frequency=${hz}:sample_rate=48000`];
  await runFfmpeg([
    "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=30", ...tone(440), ...tone(880), ...tone(1320),
    "-map", "0", "-map", "1", "-map", "2", "-map", "3", "-t", "4", "-g", "30", "-pix_fmt", "yuv420p", "-c:v", "libx264", "-preset", "ultrafast",
    "-c:a:0", "aac", "-c:a:1", "aac", "-c:a:2", "libopus", "-ac", "2", "-movflags", "empty_moov+default_base_moof+frag_keyframe", file,
  ]); // prettier-ignore
}

describe("in Chromium", { concurrency: true }, () => {
  let browser;
  let folder;

  before(async () => {
    browser = await startBrowser({ args: PLAYER_ARGS });
    folder = await mkdtemp(join(tmpdir(), "mast-hls-"));
  });

  after(async () => {
    await browser?.close();
    await rm(folder, { recursive: true, force: true });
  });

  test("hls.js plays both variants on when the publisher comes back, with another size", async () => {
    const path = "live/player";
    let publisher = publish(path);
    await mast.onAir(path);
    const pages = await Promise.all(["", "plain"].map((query) => openPlayerPage(browser, mast, path, { transport: "hls", query })));
    await Promise.all(pages.map((page) => waitPlays(page)));
    await stopChild(publisher, "SIGKILL");
    publisher = publish(path, { size: "480x270" });
    await Promise.all(pages.map((page) => page.waitForFunction(() => window.mast.video.videoWidth === 480, null, { timeout: 60000, polling: 50 })));
    for (const page of pages) {
      await waitPlays(page);
      const s = await playerPageState(page);
      assert.equal(s.reason, "chosen");
      assert.equal(s.details.rebuilds, 1, JSON.stringify(s));
      assert.ok(s.audioBytes > 0);
      assert.deepEqual(page.mastErrors, []);
      await page.close();
    }
    await stopChild(publisher, "SIGKILL");
  });

  test("a proxy that lets no WebSocket through: the player falls to hls.js and says why", async () => {
    const path = "live/proxied";
    publish(path);
    await mast.onAir(path);
    const proxy = createServer((req, res) => {
      const { upgrade, connection, ...headers } = req.headers;
      const to = request({ host: "127.0.0.1", port: mast.httpPort, path: req.url, method: req.method, headers }, (from) => {
        res.writeHead(from.statusCode, from.headers);
        from.pipe(res);
      });
      to.on("error", () => res.destroy());
      req.pipe(to);
      res.on("close", () => to.destroy());
    });
    await new Promise((done) => proxy.listen(0, "127.0.0.1", done));
    try {
      const page = await openPlayerPage(browser, { url: `http://127.0.0.1:${proxy.address().port}` }, path);
      await waitPlays(page);
      const s = await playerPageState(page);
      assert.deepEqual([s.transport, s.reason], ["hls", "upgrade-refused"]);
      assert.match(s.states[0], /connecting mse auto-mse/);
      await page.close();
    } finally {
      proxy.closeAllConnections();
      await new Promise((done) => proxy.close(done));
    }
  });

  test("several tracks of sound: a group for each codec, and hls.js changes between them", async () => {
    const path = "live/languages";
    const file = join(folder, "tracks.mp4");
    await makeTracks(file);
    publishers.push(startProgram(PUBLISHER, ["--loop", "100", mast.rtmp(path), file]));
    await mast.onAir(path);
    await eventually("all have a playlist", async () => (await openMaster(master(path))).audios.length === 3);
    const m = await openMaster(master(path));
    assert.deepEqual(m.audios.map((a) => [a["GROUP-ID"], a.NAME, a.DEFAULT]), [
      ["audio2", "Audio 1", "YES"],
      ["audio2", "Audio 2", "NO"],
      ["audio4", "Audio 3", "YES"],
    ]);
    const list = [m.main, ...m.audios.map((a) => a.url)].map((url) => new HlsChecker(url));
    list.forEach((c) => (c.renditions = 4));
    await Promise.all(list.map((c) => c.follow(() => c.known.size >= 2)));
    list.slice(1).forEach((c) => list[0].checkAlike(c));
    const page = await openPlayerPage(browser, mast, path, { transport: "hls" });
    await waitPlays(page);
    const hls = await page.evaluateHandle(() => window.mast.player.current.hls);
    assert.equal(await hls.evaluate((h) => h.audioTracks.length), 2); // of the group that plays
    await hls.evaluate((h) => (h.audioTrack = 1));
    await page.waitForFunction((h) => h.audioTrack === 1, hls, { timeout: 60000 });
    const bytes = (await playerPageState(page)).audioBytes;
    await page.waitForFunction((n) => window.mast.video.webkitAudioDecodedByteCount > n + 20000, bytes, { timeout: 60000, polling: 50 });
    await waitPlays(page);
    assert.deepEqual(page.mastErrors, []);
    await page.close();
  });
});

const PAGE = "https://page.example.org";

// What a browser asks first when a page of another site sets a header, and what it needs to hear with the reply.
async function askAsPage(url, origin) {
  const headers = { Origin: origin, "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization" };
  const preflight = await fetch(url, { method: "OPTIONS", headers });
  const reply = await fetch(url, { headers: { Origin: origin } });
  await reply.arrayBuffer();
  const said = (r, name) => r.headers.get(`access-control-${name}`);
  return {
    preflight: [preflight.status, said(preflight, "allow-origin"), said(preflight, "allow-methods"), /authorization/i.test(said(preflight, "allow-headers") ?? "")],
    reply: [reply.status, said(reply, "allow-origin"), reply.headers.get("vary")],
  };
}

test("pages of other sites: all of them, or those that are named", async () => {
  const url = master("live/nobody-there");
  const file = `${mast.url}/live/nobody-there/~hls/video1-1.0.m4s`;
  for (const u of [url, file]) {
    const r = await askAsPage(u, PAGE);
    assert.deepEqual(r.preflight, [204, "*", "GET, HEAD", true]);
    assert.deepEqual(r.reply, [404, "*", null]);
  }
  const named = await Mast.start({ config: { hls: { origins: [PAGE] } } });
  try {
    for (const u of [url, file].map((x) => x.replace(mast.url, named.url))) {
      const yes = await askAsPage(u, PAGE);
      assert.deepEqual(yes.preflight, [204, PAGE, "GET, HEAD", true]);
      assert.deepEqual(yes.reply, [404, PAGE, "Origin"]);
      const no = await askAsPage(u, "https://elsewhere.example.org");
      assert.deepEqual(no.preflight, [204, null, null, false]);
      assert.deepEqual(no.reply, [404, null, "Origin"]);
    }
  } finally {
    await named.close();
  }
});

test("credentials go on into the playlists, and an ended stream says so", async () => {
  const config = {
    streams: { continuity: "1s" },
    access: {
      users: [
        { name: "studio", password: "publishing", publish: ["*"], api: true },
        { name: "ann", password: "s3cret-of-ann", read: ["live/*"] },
      ],
    },
  };
  const closed = await Mast.start({ config });
  const publisher = publishFfmpeg(`${closed.rtmp("live/keys")}?user=studio&pass=publishing`, SIZE);
  try {
    const url = `${closed.url}/live/keys/index.m3u8`;
    await eventually("the stream is there", async () => (await fetch(`${url}?user=ann&pass=s3cret-of-ann`)).status === 200);
    assert.ok([401, 403].includes((await fetch(url)).status));
    assert.ok([401, 403].includes((await fetch(`${url}?user=ann&pass=wrong`)).status));
    const m = await openMaster(`${url}?user=ann&pass=s3cret-of-ann`);
    assert.match(m.main, /\?user=ann&pass=s3cret-of-ann$/);
    assert.ok([401, 403].includes((await fetch(m.main.replace(/\?.*/, ""))).status));
    const c = new HlsChecker(m.main);
    await c.follow(() => c.known.size >= 2);
    assert.match(c.list.segments[0].uri, /\?user=ann&pass=s3cret-of-ann$/);
    assert.ok([401, 403].includes((await fetch(new URL(c.list.segments[0].uri.replace(/\?.*/, ""), m.main))).status));
    // Packed for who takes it, but not where the text holds credentials.
    const authorization = `Basic ${btoa("ann:s3cret-of-ann")}`;
    for (const [accept, coding] of [["gzip", "gzip"], ["identity", null], ["gzip;q=0", null]]) {
      const bare = await fetch(m.main.replace(/\?.*/, ""), { headers: { authorization, "accept-encoding": accept } });
      assert.deepEqual([bare.status, bare.headers.get("content-encoding"), bare.headers.get("vary")], [200, coding, "Accept-Encoding"]);
      const list = await bare.text();
      assert.ok(list.startsWith("#EXTM3U") && parsePlaylist(list).segments.length > 0, list);
      assert.equal((await fetch(m.main, { headers: { "accept-encoding": accept } })).headers.get("content-encoding"), null);
    }
    await stopChild(publisher, "SIGTERM");
    await c.follow(() => c.list.ended);
    assert.ok(!closed.wholeLog.includes("s3cret-of-ann"), "a secret is in the log");
  } finally {
    await stopChild(publisher, "SIGKILL");
    await closed.close();
  }
});
