// SPDX-License-Identifier: Apache-2.0
// docs/reverse-proxy.md: its configurations of Mast, nginx and Caddy, with the real programs. Only names of files and ports are changed.

import assert from "node:assert/strict";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { request } from "node:https";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, before, test } from "node:test";

import { startBrowser, waitPlaying } from "./lib/browser.mjs";
import { makeCertificate } from "./lib/certificate.mjs";
import { publishFfmpeg, startProgram } from "./lib/ffmpeg.mjs";
import { parsePlaylist } from "./lib/hls-check.mjs";
import { blocks } from "./lib/markdown.mjs";
import { eventually, freePort, Mast, stopChild } from "./lib/mast.mjs";

const ROOT = resolve(import.meta.dirname ?? new URL(".", import.meta.url).pathname, "../..");
const NAME = "tv.example.org";
// Who asks the proxy: another address than the proxy's own, which is trusted.
const CLIENT = "127.0.0.5";

let folder;
let mast;
let publisher;
const config = {}; // language -> the block of the page

before(async () => {
  for (const b of blocks(await readFile(join(ROOT, "docs/reverse-proxy.md"), "utf8"))) {
    config[b.info] = b.text;
  }
  folder = await mkdtemp(join(tmpdir(), "mast-proxy-"));
  makeCertificate({ certificate: join(folder, "fullchain.pem"), key: join(folder, "privkey.pem") }, NAME, { for: `DNS:${NAME}` });
  mast = await Mast.start();
  await mast.stop();
  mast.writeConfig = () => writeFile(mast.configFile, config.yaml);
  mast.env = { MAST_STATE_DIR: mast.dir, MAST_HTTP_WEB_DIR: join(ROOT, "web/dist"), MAST_HTTP_PORT: mast.httpPort, MAST_RTMP_PORT: mast.rtmpPort, MAST_RTMPS_PORT: mast.rtmpsPort };
  await mast.run();
  publisher = publishFfmpeg(mast.rtmp("live/tv?user=studio&pass=choose-a-long-one"));
  await onAir();
});

after(async () => {
  if (publisher) {
    await stopChild(publisher, "SIGKILL");
  }
  await mast?.close();
  await rm(folder, { recursive: true, force: true });
});

const studio = { Authorization: `Basic ${Buffer.from("studio:choose-a-long-one").toString("base64")}` };
const api = async (path) => JSON.parse((await mast.fetch(path, { headers: studio })).text);
const onAir = () => eventually("the stream is on the air", async () => (await api("/api/v1/streams/live/tv")).ready);

async function startNginx(port) {
  const text = config.nginx
    .replace("listen 443 ssl http2", `listen 127.0.0.1:${port} ssl http2`)
    .replaceAll("127.0.0.1:8888", `127.0.0.1:${mast.httpPort}`)
    .replaceAll(/\/etc\/letsencrypt\/live\/[^/]+/g, folder)
    .replace("/var/cache/nginx/mast", join(folder, "cache"));
  const temp = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((n) => `${n}_temp_path ${join(folder, n)};\n`).join("");
  const file = join(folder, "nginx.conf");
  // As root, the workers would be nobody, who may not read the folder.
  const user = process.getuid() === 0 ? "user root;\n" : "";
  await writeFile(file, `${user}daemon off;\npid ${join(folder, "nginx.pid")};\nerror_log stderr;\nevents {}\nhttp {\naccess_log off;\n${temp}${text}}\n`);
  return startProgram("/usr/sbin/nginx", ["-c", file, "-p", folder, "-e", "stderr"]);
}

async function startCaddy(port) {
  const text = config.caddy
    .replace(`${NAME} {`, `https://${NAME}:${port} {\n\tbind 127.0.0.1\n\ttls ${join(folder, "fullchain.pem")} ${join(folder, "privkey.pem")}`)
    .replaceAll("127.0.0.1:8888", `127.0.0.1:${mast.httpPort}`);
  const file = join(folder, "Caddyfile");
  await writeFile(file, `{\n\tadmin off\n\tauto_https disable_redirects\n\tgrace_period 1s\n}\n${text}`);
  await mkdir(join(folder, "caddy"), { recursive: true });
  return startProgram("caddy", ["run", "--adapter", "caddyfile", "--config", file], {
    env: { ...process.env, HOME: join(folder, "caddy"), XDG_DATA_HOME: join(folder, "caddy"), XDG_CONFIG_HOME: join(folder, "caddy") },
  });
}

// What the tests ask of a proxy, as a client of another address would.
class Site {
  constructor(port) {
    this.port = port;
  }

  request(path, headers = {}) {
    const host = `${NAME}:${this.port}`;
    return request({ host: "127.0.0.1", port: this.port, path, servername: NAME, rejectUnauthorized: false, localAddress: CLIENT, headers: { Host: host, Origin: `https://${host}`, ...headers }, agent: false });
  }

  get(path, headers) {
    return new Promise((done, fail) => {
      const asked = this.request(path, headers);
      asked.on("error", fail).on("response", (r) => {
        const parts = [];
        r.on("data", (d) => parts.push(d)).on("error", fail);
        r.on("end", () => done({ status: r.statusCode, headers: r.headers, data: Buffer.concat(parts) }));
      });
      asked.end();
    });
  }

  async text(path, headers) {
    const reply = await this.get(path, headers);
    assert.equal(reply.status, 200, `${path}: ${reply.data}`);
    return reply.data.toString();
  }
}

async function withProxy(start, body) {
  const port = await freePort();
  const proxy = await start(port);
  const site = new Site(port);
  try {
    await eventually("the proxy answers", async () => {
      if (proxy.exitCode !== null) {
        throw new Error("it ended");
      }
      return (await site.get("/readyz")).status === 200;
    });
    await body(site);
  } catch (e) {
    e.message += `\nproxy: ${proxy.log.slice(-3000)}\nmast: ${mast.log.slice(-3000)}`;
    throw e;
  } finally {
    await stopChild(proxy);
  }
}

async function checkPage(site) {
  const browser = await startBrowser({ args: [`--host-resolver-rules=MAP ${NAME} 127.0.0.1`], ignoreHTTPSErrors: true });
  try {
    const page = await browser.newPage();
    await page.goto(`https://${NAME}:${site.port}/`);
    const login = await page.evaluate(async () => {
      const body = JSON.stringify({ user: "studio", password: "choose-a-long-one" });
      return (await fetch("/api/v1/session", { method: "POST", headers: { "Content-Type": "application/json" }, body })).status;
    });
    assert.equal(login, 200);
    const [cookie] = await page.context().cookies();
    assert.deepEqual([cookie.name, cookie.secure], ["__Host-mast-session", true], "the proxy says that the client came by TLS");
    await page.reload();
    await page.waitForFunction(() => document.body.innerText.includes("live/tv"), null, { timeout: 60000, polling: 50 });
    await page.goto(`https://${NAME}:${site.port}/live/tv`);
    await waitPlaying(page);
    const s = await api("/api/v1/streams/live/tv");
    assert.ok(s.readers.some((r) => r.protocol === "mse"), "by WebSocket, not by something the page fell back to");
  } finally {
    await browser.close();
  }
}

// A WebSocket that stays open, and what the API says of who opened it.
async function checkAddress(site) {
  const asked = site.request("/live/tv/mse", { Connection: "Upgrade", Upgrade: "websocket", "Sec-WebSocket-Version": 13, "Sec-WebSocket-Key": "bWFzdCBpcyBvbiBhaXIhIQ==" });
  const socket = await new Promise((done, fail) => {
    asked.on("upgrade", (reply, s) => done(s)).on("response", (r) => fail(new Error(`${r.statusCode}`))).on("error", fail);
    asked.end();
  });
  socket.on("error", () => {});
  try {
    const s = await eventually("the reader is listed", async () => {
      const now = await api("/api/v1/streams/live/tv");
      return now.readers.some((r) => r.protocol === "mse") ? now : null;
    });
    const remote = s.readers.find((r) => r.protocol === "mse").remote;
    assert.ok(remote.startsWith(CLIENT), `the reader is ${remote}`);
  } finally {
    socket.destroy();
  }
  await eventually("the reader is gone", async () => !(await api("/api/v1/streams/live/tv")).readers.some((r) => r.protocol === "mse"));
}

async function checkHls(site) {
  const master = await site.text("/live/tv/index.m3u8");
  const name = master.split("\n").find((l) => /^~hls\/video/.test(l));
  const list = parsePlaylist(await eventually("a segment is complete", async () => {
    const text = await site.text(`/live/tv/${name}`);
    return text.includes("#EXTINF") ? text : null;
  }));
  const msn = list.open.msn;
  // Held until the next segment has begun: an answer without it would be one that nobody waited for.
  const next = parsePlaylist(await site.text(`/live/tv/${name}?_HLS_msn=${msn + 1}&_HLS_part=0`));
  assert.ok(next.open.msn >= msn + 1 && (next.open.msn > msn + 1 || next.open.parts.length > 0), next.text);
  const segment = `/live/tv/~hls/${next.segments.at(-1).uri}`;
  const first = await site.get(segment);
  assert.equal(first.status, 200);
  assert.match(first.headers["cache-control"], /^max-age=86400, immutable$/);
  assert.deepEqual((await site.get(segment)).data, first.data);
  const signedIn = await site.get(segment, studio);
  return { segment, signedIn };
}

// Told of what happens while the connection stays open: a proxy that gathers answers would never pass it on.
async function checkEvents(site) {
  const asked = site.request("/api/v1/events", studio);
  const reply = await new Promise((done, fail) => {
    asked.on("response", done).on("error", fail);
    asked.end();
  });
  let seen = "";
  reply.on("data", (d) => (seen += d)).on("error", () => {});
  try {
    assert.equal(reply.statusCode, 200);
    await eventually("the first event", () => seen.includes("event: start"));
    assert.equal((await mast.fetch("/api/v1/reload", { method: "POST", headers: studio })).status, 200);
    await eventually("what happened", () => seen.includes("config.reloaded"));
  } finally {
    asked.destroy();
  }
}

async function checkRefusals(site) {
  assert.equal((await site.get("/api/v1/streams")).status, 401, "what was forwarded has no right of this machine");
  assert.equal((await site.get("/api/v1/streams", { ...studio, Origin: "https://evil.example" })).status, 403);
  // A client cannot name itself: the proxy's word about it comes last.
  const lied = await site.get("/api/v1/streams", { "X-Forwarded-For": "127.0.0.1", Forwarded: "for=127.0.0.1" });
  assert.equal(lied.status, 401);
}

test("nginx: page by wss, address, LL-HLS, events, cache", async () => {
  await withProxy(startNginx, async (site) => {
    await checkAddress(site);
    const { segment, signedIn } = await checkHls(site);
    const cached = await site.get(segment);
    assert.equal(cached.headers["x-cache"], "HIT");
    assert.equal(signedIn.headers["x-cache"], "HIT", "everybody may watch it, so it may come from the cache");
    // The other way round: what came with credentials in a header is not kept for those without.
    const part = `/live/tv/~hls/${parsePlaylist(await site.text(`/live/tv/~hls/${segment.split("/").at(-1).split("-")[0]}.m3u8`)).segments.at(-1).parts[0].uri}`;
    assert.match((await site.get(part, studio)).headers["cache-control"], /^private, max-age=86400/);
    assert.equal((await site.get(part)).headers["x-cache"], "MISS");
    await checkEvents(site);
    await checkRefusals(site);
    await checkPage(site);
  });
});

test("Caddy: page by wss, address, LL-HLS, events", async () => {
  await withProxy(startCaddy, async (site) => {
    await checkAddress(site);
    const { signedIn } = await checkHls(site);
    assert.match(signedIn.headers["cache-control"], /^private, /);
    await checkEvents(site);
    await checkRefusals(site);
    await checkPage(site);
  });
});
