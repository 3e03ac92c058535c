// SPDX-License-Identifier: Apache-2.0
// Running it: HTTPS, wss and RTMPS with certificates that change, reload, events, the service manager (issue 3, 2 and 4).

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { connect as connectTls } from "node:tls";

import { startBrowser, waitPlaying } from "./lib/browser.mjs";
import { publishFfmpeg } from "./lib/ffmpeg.mjs";
import { eventually, Mast, stopChild } from "./lib/mast.mjs";
import { WebSocketClient } from "./lib/ws.mjs";

let folder;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "mast-operation-"));
});

after(async () => {
  await rm(folder, { recursive: true, force: true });
});

// A certificate of its own at these paths, over what was there. Returns its subject.
function makeCertificate(name) {
  execFileSync("openssl", [
    "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
    "-subj", `/CN=${name}`, "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost",
    "-keyout", join(folder, "tls.key"), "-out", join(folder, "tls.crt"),
  ], { stdio: "ignore" }); // prettier-ignore
  return name;
}

// The subject of the certificate that a port shows to who connects now.
function shownCertificate(port) {
  return new Promise((done, fail) => {
    const s = connectTls({ host: "127.0.0.1", port, rejectUnauthorized: false }, () => {
      done(s.getPeerCertificate().subject.CN);
      s.destroy();
    });
    s.on("error", fail);
  });
}

const curl = (...args) => execFileSync("curl", ["-sS", "--max-time", "20", ...args], { encoding: "utf8" });

// An MSE client that counts what comes.
async function watch(mast, path) {
  const ws = await WebSocketClient.connect(`${mast.url}/${path}/mse`);
  const seen = { chunks: 0, closed: false, texts: [] };
  ws.on("binary", () => seen.chunks++);
  ws.on("text", (t) => seen.texts.push(JSON.parse(t)));
  ws.on("close", () => (seen.closed = true));
  seen.more = async (n = 20) => {
    const from = seen.chunks;
    await eventually(`${n} more chunks`, () => seen.closed || seen.chunks >= from + n);
    assert.equal(seen.closed, false);
  };
  seen.close = () => ws.close();
  await seen.more();
  return seen;
}

async function withPublisher(mast, path, url, run) {
  const child = publishFfmpeg(url, { size: "320x180" });
  try {
    await mast.onAir(path);
    return await run();
  } catch (e) {
    e.message += `\npublisher: ${child.log.slice(-1000)}\nmast: ${mast.log.slice(-3000)}`;
    throw e;
  } finally {
    await stopChild(child, "SIGKILL");
  }
}

test("HTTPS with a certificate of one's own: curl trusts it, HSTS is said, plain HTTP is refused", async () => {
  makeCertificate("first");
  const files = { certificate: join(folder, "tls.crt"), key: join(folder, "tls.key") };
  const mast = await Mast.start({ config: { http: { tls: { enabled: true, ...files } }, rtmps: files } });
  try {
    const head = curl("--cacert", files.certificate, "-D", "-", "-o", "/dev/null", `${mast.url}/`);
    assert.match(head, /^HTTP\/1\.1 200/);
    assert.match(head, /strict-transport-security: max-age=15552000/i);
    assert.throws(() => curl(`${mast.url}/`), /certificate/); // nobody else vouches for it
    assert.throws(() => curl(mast.url.replace("https:", "http:")), /Empty reply|reset/);
    const bin = process.env.MAST_BIN;
    assert.match(execFileSync(bin, ["stream", "ls", "--url", mast.url, "--ca", files.certificate], { encoding: "utf8" }), /^PATH/);
  } finally {
    await mast.close();
  }
});

test("a self-made certificate: plain and TLS share the port, ffmpeg publishes over RTMPS, the page plays over https and wss", async () => {
  const mast = await Mast.start({ config: { http: { tls: { enabled: true, plain: true } } } });
  const secure = { url: mast.url.replace("http:", "https:") };
  const browser = await startBrowser({ args: ["--ignore-certificate-errors"] });
  try {
    await withPublisher(mast, "live/tls", `rtmps://127.0.0.1:${mast.rtmpsPort}/live/tls`, async () => {
      assert.equal((await mast.stream("live/tls")).publisher.protocol, "rtmps");
      assert.equal(curl(`${mast.url}/healthz`), "ok\n");
      assert.equal(curl("--cacert", join(mast.dir, "tls-self-signed.pem"), `${secure.url}/healthz`), "ok\n");
      assert.doesNotMatch(curl("-k", "-D", "-", "-o", "/dev/null", `${secure.url}/`), /strict-transport/i);
      (await watch(mast, "live/tls")).close();
      (await watch(secure, "live/tls")).close();
      const page = await browser.newPage();
      await page.goto(`${secure.url}/live/tls`);
      await waitPlaying(page);
      assert.equal(await page.evaluate(() => location.protocol), "https:");
      assert.deepEqual(page.mastErrors, []);
    });
  } finally {
    await browser.close();
    await mast.close();
  }
});
