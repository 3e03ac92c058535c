// SPDX-License-Identifier: Apache-2.0
// Running it: HTTPS, wss and RTMPS with certificates that change, reload, events, the service manager (issue 3, 2 and 4).

import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { connect as connectTls } from "node:tls";

import { startBrowser, waitPlaying } from "./lib/browser.mjs";
import { makeCertificate } from "./lib/certificate.mjs";
import { publishFfmpeg, startProgram } from "./lib/ffmpeg.mjs";
import { eventually, exitOf, freePort, Mast, sleep, stopChild } from "./lib/mast.mjs";
import { WebSocketClient } from "./lib/ws.mjs";

let folder;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "mast-operation-"));
});

after(async () => {
  await rm(folder, { recursive: true, force: true });
});

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

function connectTcp(port) {
  return new Promise((done, fail) => {
    const s = connect(port, "127.0.0.1", () => {
      s.destroy();
      done(true);
    });
    s.on("error", fail);
  });
}

const exitedAlready = (child) => child.exitCode !== null || child.signalCode !== null;

function curl(...args) {
  return execFileSync("curl", ["-sS", "--max-time", "20", ...args], { encoding: "utf8" });
}

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
  const files = { certificate: join(folder, "tls.crt"), key: join(folder, "tls.key") };
  makeCertificate(files, "first");
  const mast = await Mast.start({ config: { http: { tls: { enabled: true, ...files } }, rtmps: files } });
  try {
    for (const [version, first] of [["--http1.1", /^HTTP\/1\.1 200 /], ["--http2", /^HTTP\/2 200 /]]) {
      const head = curl("--cacert", files.certificate, version, "-D", "-", "-o", "/dev/null", `${mast.url}/`);
      assert.match(head, first);
      assert.match(head, /strict-transport-security: max-age=15552000/i);
    }
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

// ---- reload ----

async function writeConfig(mast, change) {
  change(mast.config);
  await mast.writeConfig();
}

async function reload(mast) {
  const reply = await fetch(`${mast.url}/api/v1/reload`, { method: "POST" });
  return { status: reply.status, ...(await reply.json()) };
}

test("reload: certificates, ports, stream settings and the log level change; no client of a stream notices", async () => {
  const files = { certificate: join(folder, "tls.crt"), key: join(folder, "tls.key") };
  makeCertificate(files, "before");
  const mast = await Mast.start({
    config: { watch: false, log: { level: "info" }, http: { tls: { enabled: true, plain: true, ...files } }, rtmps: files },
  });
  try {
    await withPublisher(mast, "live/kept", mast.rtmp("live/kept"), async () => {
      const player = startProgram("ffmpeg", ["-hide_banner", "-loglevel", "error", "-nostdin", "-i", mast.rtmp("live/kept"), "-c", "copy", "-f", "null", "-"]);
      const seen = await watch(mast, "live/kept");
      const secure = await watch({ url: mast.url.replace("http:", "https:") }, "live/kept");
      const sessions = async () => {
        const s = await mast.stream("live/kept");
        return [s.publisher.id, ...s.readers.map((r) => r.id)].sort().join(" ");
      };
      await eventually("the three read", async () => (await mast.stream("live/kept")).readers.length === 3);
      const before = await sessions();

      assert.deepEqual(await reload(mast), { status: 200, changed: [], restart: [] });

      // Certificates: the files have the same names and other contents.
      makeCertificate(files, "after");
      assert.equal(await shownCertificate(mast.rtmpsPort), "before");
      assert.equal((await reload(mast)).status, 200);
      assert.equal(await shownCertificate(mast.rtmpsPort), "after");
      assert.equal(await shownCertificate(mast.httpPort), "after");

      // Other ports and addresses; the HTTP port stays and is widened, which needs the port twice for a moment.
      const oldRtmp = mast.rtmpPort;
      mast.rtmpPort = await freePort();
      await writeConfig(mast, (c) => {
        c.rtmp.port = mast.rtmpPort;
        c.http.address = "0.0.0.0";
        c.log.level = "debug";
        c.streams = { second_publisher: "takeover" };
        c.loops = 7;
      });
      const report = await reload(mast);
      assert.deepEqual(report.changed.sort(), ["http.address", "log.level", "rtmp.port", "streams.second_publisher"]);
      assert.deepEqual(report.restart, ["loops"]);
      assert.match(mast.log, /loops waits for a restart/);
      await assert.rejects(connectTcp(oldRtmp), /ECONNREFUSED/);
      assert.equal(curl(`http://127.0.0.2:${mast.httpPort}/healthz`), "ok\n");
      // By the new port, and over the one that is on air: both settings are in force for streams that come.
      await withPublisher(mast, "live/new", mast.rtmp("live/new"), async () => {
        const first = (await mast.stream("live/new")).publisher.id;
        const second = publishFfmpeg(mast.rtmp("live/new"), { size: "320x180" });
        await eventually("the second takes over", async () => {
          const s = await mast.stream("live/new");
          return s?.publisher && s.publisher.id !== first;
        });
        await stopChild(second, "SIGKILL");
      });
      // What waits is told again, until the restart.
      assert.deepEqual(await reload(mast), { status: 200, changed: [], restart: ["loops"] });

      await seen.more();
      await secure.more();
      assert.equal(await sessions(), before);
      assert.equal(exitedAlready(player), false, player.log);
      assert.equal((await mast.stream("live/kept")).dropped, 0);
      for (const s of [seen, secure]) {
        assert.equal(s.texts.filter((t) => t.type === "init").length, 1);
        assert.deepEqual(s.texts.filter((t) => t.type === "state").map((t) => t.state), ["live"]);
        s.close();
      }
      await stopChild(player, "SIGKILL");
    });
  } finally {
    await mast.close();
  }
});

test("reload: what is wrong is refused with where, and nothing changes", async () => {
  const files = { certificate: join(folder, "tls.crt"), key: join(folder, "tls.key") };
  makeCertificate(files, "good");
  const mast = await Mast.start({ config: { watch: false, rtmps: files } });
  try {
    const refused = async (change, where) => {
      const kept = structuredClone(mast.config);
      await writeConfig(mast, change);
      const reply = await reload(mast);
      assert.equal(reply.status, 422);
      assert.equal(reply.code, "invalid-configuration");
      assert.match(`${reply.field} ${reply.detail}`, where);
      mast.config = kept;
      await connectTcp(mast.rtmpPort);
    };
    const taken = createServer();
    await new Promise((done) => taken.listen(0, "127.0.0.1", done));
    const other = await freePort();
    await refused((c) => (c.log.level = "loud"), /mast\.yml:\d+:\d+.*log\.level/);
    await refused((c) => (c.nonsense = 1), /nonsense/);
    // The new RTMP port could be had, and is given back.
    await refused((c) => ((c.rtmp.port = other), (c.rtmps.port = taken.address().port)), /rtmps cannot listen at 127\.0\.0\.1:\d+: Address already in use/);
    await assert.rejects(connectTcp(other), /ECONNREFUSED/);
    await refused((c) => ((c.rtmp.port = other), (c.rtmps.key = files.certificate)), /rtmps.*private key/);
    await assert.rejects(connectTcp(other), /ECONNREFUSED/);
    assert.equal(await shownCertificate(mast.rtmpsPort), "good");
    assert.match(mast.log, /refused, everything stays as it was/);
    taken.close();
    await mast.writeConfig();
    assert.equal((await reload(mast)).status, 200);
    assert.match(execFileSync(process.env.MAST_BIN, ["reload", "--url", mast.url], { encoding: "utf8" }), /^nothing changed/);
  } finally {
    await mast.close();
  }
});

test("reload: SIGHUP, and files that change by themselves", async () => {
  const files = { certificate: join(folder, "tls.crt"), key: join(folder, "tls.key") };
  makeCertificate(files, "one");
  const mast = await Mast.start({ config: { rtmps: files } });
  try {
    const move = async () => {
      mast.rtmpPort = await freePort();
      await writeConfig(mast, (c) => (c.rtmp.port = mast.rtmpPort));
    };
    await move();
    await eventually("the file was noticed", () => connectTcp(mast.rtmpPort));
    makeCertificate(files, "two");
    await eventually("the certificate was noticed", async () => (await shownCertificate(mast.rtmpsPort)) === "two");
    await writeConfig(mast, (c) => (c.watch = false));
    await eventually("the switch was noticed", () => /watch has a new value/.test(mast.log));
    await move();
    mast.child.kill("SIGHUP");
    await eventually("the signal was noticed", () => connectTcp(mast.rtmpPort));
  } finally {
    await mast.close();
  }
});

test("reload: users and host names change for who asks from then on", async () => {
  const mast = await Mast.start({ config: { watch: false } });
  const status = async (options) => (await mast.fetch("/api/v1/version", options)).status;
  const named = (name) => curl("-o", "/dev/null", "-w", "%{http_code}", "-H", `Host: ${name}`, `${mast.url}/`);
  const basic = { headers: { authorization: `Basic ${Buffer.from("boss:a-long-password").toString("base64")}` } };
  try {
    assert.equal(await status(), 200);
    assert.equal(named("mast.example.org"), "421");
    await writeConfig(mast, (c) => {
      c.http.hosts = ["mast.example.org"];
      c.access = { users: [{ name: "boss", password: "a-long-password", api: true }] };
    });
    assert.deepEqual((await reload(mast)).changed.sort(), ["access.users", "http.hosts"]);
    assert.equal(named("mast.example.org"), "200");
    assert.equal(await status(), 401); // and so is another reload without credentials
    assert.equal((await mast.fetch("/api/v1/reload", { method: "POST" })).status, 401);
    assert.equal(await status(basic), 200);
    assert.doesNotMatch(mast.wholeLog, /a-long-password/);
  } finally {
    await mast.close();
  }
});

test("reload: where broadcasts may send to changes with outgoing.allow", async () => {
  const mast = await Mast.start({ config: { watch: false } });
  const plan = async () => {
    const body = JSON.stringify({ source_kind: "stream", stream: "live/a", host: "10.9.8.7", mountpoint_spec: { id: 1 } });
    const reply = await mast.fetch("/api/v1/broadcasts/plan", { method: "POST", body, headers: { "content-type": "application/json" } });
    return JSON.parse(reply.text);
  };
  try {
    assert.equal((await plan()).field, "host");
    await writeConfig(mast, (c) => (c.outgoing = { allow: ["10.9.0.0/16"] }));
    assert.deepEqual((await reload(mast)).changed, ["outgoing.allow"]);
    const { steps } = await plan();
    assert.match(steps[0].describe, /^make mountpoint 1: v h264, a opus$/); // the tracks that it makes by itself
    await writeConfig(mast, (c) => delete c.outgoing);
    assert.deepEqual((await reload(mast)).changed, ["outgoing.allow"]);
    assert.equal((await plan()).field, "host");
  } finally {
    await mast.close();
  }
});

// ---- events ----

// The first piece of the event stream, asked for as a browser's EventSource does after a break.
async function firstOf(url, lastId) {
  const stop = new AbortController();
  const reply = await fetch(url, { headers: { "last-event-id": lastId }, signal: stop.signal });
  const { value } = await reply.body.getReader().read();
  stop.abort();
  return Buffer.from(value).toString();
}

test("events: what happens comes in order, over a reconnect and a restart; mast event tail", async () => {
  const mast = await Mast.start();
  const tail = startProgram(process.env.MAST_BIN, ["event", "tail", "--url", mast.url]);
  try {
    await eventually("the tail listens", async () => /mast_event_clients 1/.test((await mast.fetch("/metrics")).text));
    await withPublisher(mast, "live/told", mast.rtmp("live/told"), async () => {
      const seen = await watch(mast, "live/told");
      await eventually("the reader is told", () => /reader\.joined/.test(tail.log));
      seen.close();
      await eventually("its leaving is told", () => /reader\.left/.test(tail.log));
    });
    await eventually("the end is told", () => /stream\.lost/.test(tail.log));
    const types = [...tail.log.matchAll(/ (\w+\.\w+) +streams\/live\/told /g)].map((m) => m[1]);
    assert.deepEqual(types, ["stream.published", "stream.ready", "reader.joined", "reader.left", "stream.lost"]);


    const raw = await firstOf(`${mast.url}/api/v1/events`, "nonsense");
    assert.match(raw, /^retry: 2000\nevent: reset\nid: (\w+)-(\d+)\n/);
  } finally {
    const first = await mast.stop();
    assert.equal(first.code, 0, mast.log.slice(-2000));
  }
  await mast.run();
  try {
    await eventually("the tail is back", () => /some events were missed/.test(tail.log));
    await reload(mast);
    await eventually("the reload is told", () => /config\.reloaded/.test(tail.log));
  } finally {
    await stopChild(tail, "SIGKILL");
    await mast.close();
  }
});

// ---- the service manager ----

// What systemd would hear: a datagram socket (node has none of that kind), each message on a line.
const LISTENER = `
import os, socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
print("bound", flush=True)
while True:
    print(s.recv(4096).decode().strip().replace("\\n", " "), flush=True)
`;

test("the service manager is told, and the watchdog fed", async () => {
  const path = join(folder, "notify");
  const manager = startProgram("python3", ["-c", LISTENER, path]);
  let mast;
  try {
    await eventually("the manager listens", () => manager.log.includes("bound"));
    mast = await Mast.start({ env: { NOTIFY_SOCKET: path, WATCHDOG_USEC: "200000" } });
    await eventually("READY", () => /^READY=1$/m.test(manager.log));
    await eventually("three meals", () => manager.log.match(/^WATCHDOG=1$/gm)?.length >= 3);
    mast.child.kill("SIGHUP");
    await eventually("the reload", () => /RELOADING=1 MONOTONIC_USEC=\d+\n(WATCHDOG=1\n)*READY=1\n/.test(manager.log));
    assert.doesNotMatch(manager.log, /STOPPING/);
    await mast.stop();
    await eventually("the end", () => /STOPPING=1\n/.test(manager.log));
  } finally {
    await mast?.close();
    await stopChild(manager, "SIGKILL");
  }
});

test("the unit file is one that systemd understands", async (t) => {
  const unit = join(process.env.MAST_BUILD ?? "../../build", "packaging/mast.service");
  try {
    execFileSync("systemd-analyze", ["--version"], { stdio: "ignore" });
  } catch {
    t.skip("no systemd here");
    return;
  }
  const text = (await readFile(unit, "utf8")).replace(/^ExecStart=\S+/m, `ExecStart=${process.execPath}`);
  const copy = join(folder, "mast.service");
  await writeFile(copy, text);
  const out = spawnSync("systemd-analyze", ["verify", "--man=no", copy], { encoding: "utf8" });
  const complaints = `${out.stdout}${out.stderr}`.split("\n").filter((l) => l.includes("mast.service"));
  assert.deepEqual(complaints, []);
});

// ---- upgrade ----

const started = async (mast) => (await mast.get("/api/v1/version")).started;

test("upgrade: another program takes over the sockets; nobody is refused, the publisher and the viewers come back", async () => {
  const mast = await Mast.start({ config: { watch: false } });
  const path = "live/through";
  let publisher;
  let over = false;
  const publishing = (async () => {
    // As encoders do: again whenever the connection has ended.
    while (!over) {
      publisher = publishFfmpeg(mast.rtmp(path), { size: "320x180" });
      await exitOf(publisher);
    }
  })();
  const browser = await startBrowser();
  try {
    await mast.onAir(path);
    const page = await browser.newPage();
    await page.goto(`${mast.url}/${path}`);
    await waitPlaying(page);
    const before = await started(mast);

    // A configuration that the other program would refuse: this one goes on.
    const kept = structuredClone(mast.config);
    await writeConfig(mast, (c) => (c.nonsense = 1));
    mast.child.kill("SIGUSR2");
    await eventually("the refusal", () => /does not take over.*this one goes on/.test(mast.log));
    assert.equal(await started(mast), before);
    mast.config = kept;
    await mast.writeConfig();

    let knocks = 0;
    const knocking = (async () => {
      while (!over) {
        await Promise.all([mast.httpPort, mast.rtmpPort, mast.rtmpsPort].map(connectTcp));
        knocks++;
        await sleep(5);
      }
    })();
    mast.child.kill("SIGUSR2");
    await eventually("the other program answers", async () => (await started(mast)) !== before);
    assert.equal((await mast.get("/api/v1/version")).pid, mast.pid);
    await mast.onAir(path);
    await waitPlaying(page);
    over = true;
    await knocking; // rejects when a single one was refused
    assert.ok(knocks > 10);
    assert.match(mast.log, /http: listens on .* that were handed over/);
    assert.match(mast.log, /rtmps: listens on .* that were handed over/);
  } catch (e) {
    e.message += `\nmast: ${mast.log.slice(-3000)}`;
    throw e;
  } finally {
    over = true;
    await browser.close();
    await stopChild(publisher, "SIGKILL");
    await publishing;
    await mast.close();
  }
});

test("SIGTERM ends a server that is making way, and one that ends makes no way", async () => {
  const deaf = join(folder, "deaf");
  const began = join(folder, "deaf-began");
  await writeFile(deaf, `#!/bin/sh\ntrap "" TERM\ntouch ${began}\nsleep 60\n`, { mode: 0o755 });
  const mast = await Mast.start({ config: { watch: false, hooks: [{ name: "deaf", on: ["config.*"], run: [deaf] }] } });
  try {
    assert.equal((await mast.fetch("/api/v1/reload", { method: "POST" })).status, 200);
    await eventually("a program that keeps the server from ending at once", () => readFile(began).then(() => true, () => false));
    const upgrade = () => mast.fetch("/api/v1/upgrade", { method: "POST" });
    assert.equal((await upgrade()).status, 202);
    const again = await upgrade();
    assert.equal(again.status, 503);
    assert.match(again.text, /"ending"/);
    assert.equal((await mast.stop()).code, 0, mast.log.slice(-2000));
    assert.equal(mast.log.match(/on the air|another program takes over/g).length, 2, mast.log.slice(-2000));
  } finally {
    await mast.close();
  }
});

test("mast upgrade returns when the other program answers, or says why it does not take over", async () => {
  const mast = await Mast.start({ config: { watch: false } });
  const upgrade = (...args) => spawnSync(process.env.MAST_BIN, ["upgrade", "--url", mast.url, ...args], { encoding: "utf8" });
  try {
    const before = await started(mast);
    await writeConfig(mast, (c) => (c.nonsense = 1));
    const refused = upgrade();
    assert.equal(refused.status, 1);
    assert.match(refused.stderr, /nonsense/);
    assert.equal(await started(mast), before);
    await writeConfig(mast, (c) => delete c.nonsense);
    const done = upgrade("--json");
    assert.equal(done.status, 0, done.stderr);
    assert.deepEqual(Object.keys(JSON.parse(done.stdout)), ["before", "after"]);
    // The first attempt may go to a connection of the old one that this process has kept.
    await eventually("another answers", async () => (await started(mast)) !== before);
    assert.match(upgrade().stdout, /^\d\S* -> \d\S*\n$/);
  } finally {
    await mast.close();
  }
});
