// SPDX-License-Identifier: Apache-2.0
// docs/quickstart.md, run as it stands: sections in their order, each against a server of its own. What a block is, its info
// string says: `publish` stays until a stream is on the air, `play` until media arrives, `run` ends by itself, `yaml mast.yml` is the
// server's configuration from there on, `html page` plays in Chromium on another origin. `install` is what tools/prove-setup runs.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { chmod, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, before, test } from "node:test";

import { startBrowser } from "./lib/browser.mjs";
import { makeFile } from "./lib/ffmpeg.mjs";
import { blocks } from "./lib/markdown.mjs";
import { eventually, exitOf, Mast } from "./lib/mast.mjs";

const ROOT = resolve(import.meta.dirname ?? new URL(".", import.meta.url).pathname, "../..");
const BIN = resolve(process.env.MAST_BIN ?? join(ROOT, "build/src/app/mast"));
const page = await readFile(join(ROOT, "docs/quickstart.md"), "utf8");

let folder; // where the reader of the page sits: with a film, and mast in the PATH
const running = []; // shells of the section

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "mast-quickstart-"));
  await chmod(folder, 0o777);
  await mkdir(join(folder, "bin"));
  await symlink(BIN, join(folder, "bin/mast"));
  await makeFile(join(folder, "film.mp4"), { seconds: 4 });
});

after(async () => {
  await rm(folder, { recursive: true, force: true });
});

// The ports of the page are the defaults; the test's are free ones.
const here = (mast, text) =>
  text
    .replaceAll("127.0.0.1:8888", `127.0.0.1:${mast.httpPort}`)
    .replaceAll("127.0.0.1:1936", `127.0.0.1:${mast.rtmpsPort}`)
    .replaceAll("rtmp://127.0.0.1/", `rtmp://127.0.0.1:${mast.rtmpPort}/`);

// VLC does not run as root.
const NOBODY = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];

function startShell(mast, text) {
  const command = ["bash", "-e", "-c", here(mast, text)];
  const [program, ...args] = process.getuid() === 0 && text.startsWith("cvlc") ? [...NOBODY, ...command] : command;
  const child = spawn(program, args, {
    cwd: folder,
    detached: true, // a group of its own, so that what it started ends with it
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, HOME: folder, PATH: `${join(folder, "bin")}:${process.env.PATH}`, SDL_VIDEODRIVER: "dummy", SDL_AUDIODRIVER: "dummy" },
  });
  child.log = "";
  const keep = (d) => (child.log = (child.log + d).slice(-8192));
  child.stdout.on("data", keep);
  child.stderr.on("data", keep);
  running.push(child);
  return child;
}

async function endShell(child) {
  if (child.exitCode === null && child.signalCode === null) {
    process.kill(-child.pid, "SIGKILL");
  }
  await exitOf(child);
}

const ended = (child) => child.exitCode !== null || child.signalCode !== null;

// Until `done` answers something, while the command lives.
async function whileAlive(child, what, done) {
  return eventually(what, async () => (ended(child) ? { ended: true } : done())).then((r) => {
    assert.ok(!r.ended, `${what}: the command ended: ${child.log}`);
    return r;
  });
}

async function streams(mast) {
  const reply = await mast.fetch("/api/v1/streams", { headers: mast.headers });
  assert.equal(reply.status, 200, reply.text);
  return JSON.parse(reply.text).items;
}

const publishers = []; // blocks that published in this section

async function publish(mast, block) {
  publishers.push(block);
  const known = new Set((await streams(mast)).filter((s) => s.on_air).map((s) => s.path));
  const child = startShell(mast, block.text);
  await whileAlive(child, `line ${block.line} is on the air`, async () => (await streams(mast)).find((s) => s.ready && s.on_air && !known.has(s.path)));
}

async function play(mast, block) {
  const sent = async () => (await streams(mast)).reduce((sum, s) => sum + s.bytes_out, 0);
  const before = await sent();
  const child = startShell(mast, block.text);
  await whileAlive(child, `line ${block.line} gets media`, async () => (await sent()) > before + 50000);
  await endShell(child);
}

async function runToEnd(mast, block) {
  const child = startShell(mast, block.text);
  const exit = await exitOf(child);
  assert.equal(exit.code, 0, `line ${block.line}: ${child.log}`);
}

async function showPage(mast, block) {
  const files = { "/": here(mast, block.text), "/hls.min.js": await readFile(join(ROOT, "web/node_modules/hls.js/dist/hls.min.js"), "utf8") };
  const site = createServer((req, reply) => {
    reply.writeHead(files[req.url] ? 200 : 404, { "Content-Type": req.url === "/" ? "text/html" : "text/javascript" });
    reply.end(files[req.url]);
  });
  await new Promise((done) => site.listen(0, "127.0.0.1", done));
  const browser = await startBrowser();
  try {
    const tab = await browser.newPage();
    await tab.goto(`http://127.0.0.1:${site.address().port}/`);
    await tab.waitForFunction(() => document.querySelector("video").currentTime > 0.5, null, { timeout: 60000, polling: 50 });
  } finally {
    await browser.close();
    site.closeAllConnections?.();
    site.close();
  }
}

// The user of the page's configuration may use the API.
async function configure(mast, block) {
  await mast.stop();
  await writeFile(join(folder, "mast.yml"), block.text);
  const user = block.text.match(/name: (\w+), password: ([\w-]+)/);
  mast.headers = { Authorization: `Basic ${Buffer.from(`${user[1]}:${user[2]}`).toString("base64")}` };
  mast.writeConfig = () => writeFile(mast.configFile, block.text);
  const all = { MAST_HTTP_PORT: mast.httpPort, MAST_RTMP_PORT: mast.rtmpPort, MAST_RTMPS_PORT: mast.rtmpsPort, MAST_STATE_DIR: mast.dir };
  // Addresses as in the tests: nothing listens for others.
  mast.env = { ...all, MAST_HTTP_ADDRESS: "127.0.0.1", MAST_RTMP_ADDRESS: "127.0.0.1", MAST_RTMPS_ADDRESS: "127.0.0.1", MAST_HTTP_WEB_DIR: join(ROOT, "web/dist") };
  await mast.run();
}

// On a page of another site: refused as the configuration stands, shown once it names the site.
async function showFrame(mast, block) {
  const site = createServer((req, reply) => reply.writeHead(200, { "Content-Type": "text/html" }).end(here(mast, block.text)));
  await new Promise((done) => site.listen(0, "127.0.0.1", done));
  const origin = `http://127.0.0.1:${site.address().port}`;
  const browser = await startBrowser();
  try {
    const tab = await browser.newPage();
    const frame = async () => {
      await tab.goto(origin);
      return tab.frames().find((f) => f !== tab.mainFrame());
    };
    assert.equal(await (await frame()).evaluate(() => document.querySelector("video")).catch(() => null), null);
    mast.config.http.embed = [origin];
    await mast.stop();
    await mast.run();
    await publish(mast, publishers.at(-1));
    await (await frame()).waitForFunction(() => document.querySelector("video")?.currentTime > 0.5, null, { timeout: 60000, polling: 50 });
  } finally {
    await browser.close();
    site.closeAllConnections?.();
    site.close();
  }
}

const does = { frame: showFrame, publish, play, run: runToEnd, page: showPage, "mast.yml": configure };

const sections = page.split(/^(?=## )/m).slice(1);
let line = page.slice(0, page.indexOf(sections[0])).split("\n").length - 1;
for (const text of sections) {
  const found = blocks(text).map((b) => ({ ...b, line: b.line + line }));
  line += text.split("\n").length - 1;
  const title = text.match(/^## (.*)/)[1];
  for (const b of found) {
    const [language, what, when] = b.info.split(" ");
    assert.ok(what === "install" || does[what], `line ${b.line}: \`\`\`${language} ${what ?? ""} says not how to test it`);
    b.run = !when || process.env.MAST_LONG ? does[what] : null;
  }
  if (found.some((b) => b.run)) {
    test(title, async () => {
      const mast = await Mast.start();
      try {
        for (const b of found.filter((b) => b.run)) {
          await b.run(mast, b);
        }
      } finally {
        await Promise.all(running.splice(0).map(endShell));
        await mast.close();
      }
    });
  }
}
