// SPDX-License-Identifier: Apache-2.0
// The API, the metrics and the commands against a running server with real publishers and readers.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";

import { publishFfmpeg, startProgram } from "./lib/ffmpeg.mjs";
import { eventually, Mast, stopChild } from "./lib/mast.mjs";

const ROOT = resolve(import.meta.dirname ?? new URL(".", import.meta.url).pathname, "../..");
const BIN = process.env.MAST_BIN ?? join(ROOT, "build/src/app/mast");
const run = promisify(execFile);

// Exit code, stdout and stderr of `mast ARGS`, whatever it ends with.
async function command(args, env = {}) {
  try {
    const { stdout, stderr } = await run(BIN, args, { env: { ...process.env, ...env } });
    return { code: 0, stdout, stderr };
  } catch (e) {
    return { code: e.code, stdout: e.stdout, stderr: e.stderr };
  }
}

let mast;

before(async () => {
  mast = await Mast.start();
});

after(async () => {
  await mast?.close();
});

test("a stream shows its tracks, publisher, readers and rates; kick ends sessions", async () => {
  const publisher = publishFfmpeg(mast.rtmp("live/api"));
  const reader = startProgram("ffmpeg", ["-v", "error", "-nostdin", "-i", mast.rtmp("live/api"), "-f", "null", "-"]);
  try {
    await mast.onAir("live/api");
    const s = await eventually("a reader is counted and bytes flow", async () => {
      const now = await mast.stream("live/api");
      return now.readers.length === 1 && now.bytes_out > 100000 && now.bitrate_in_bps > 100000 ? now : null;
    });
    assert.equal(s.publisher.protocol, "rtmp");
    assert.match(s.publisher.agent, /Lavf/);
    assert.deepEqual(
      s.tracks.map((t) => [t.kind, t.codec, t.width, t.height, t.sample_rate]),
      [["video", "h264", 640, 360, 0], ["audio", "aac", 0, 0, 48000]],
    );
    assert.match(s.tracks[0].codecs, /^avc1\.[0-9a-f]{6}$/);
    assert.equal(s.tracks[0].fps, 30);
    assert.equal(s.tracks[1].codecs, "mp4a.40.2");
    assert.equal(s.readers[0].protocol, "rtmp");
    assert.ok(s.readers[0].bytes > 0);

    const list = await command(["stream", "ls", "--url", mast.url]);
    assert.equal(list.code, 0, list.stderr);
    assert.match(list.stdout, /live\/api +live +\d+ +1 +h264 640x360, aac 48000 Hz/);
    const shown = await command(["stream", "show", "live/api", "--url", mast.url, "--json"]);
    assert.equal(JSON.parse(shown.stdout).path, "live/api");

    const metrics = await (await fetch(`${mast.url}/metrics`)).text();
    assert.match(metrics, /^mast_stream_readers\{path="live\/api"\} 1$/m);
    assert.match(metrics, /^mast_publishers 1$/m);
    for (const line of metrics.split("\n").filter((l) => l && !l.startsWith("#"))) {
      assert.match(line, /^mast_[a-z0-9_]+(\{[^}]*\})? -?[0-9.e+-]+$/, "Prometheus text");
    }

    const kicked = await command(["stream", "kick", "live/api", s.readers[0].id, "--url", mast.url]);
    assert.equal(kicked.code, 0, kicked.stderr);
    await eventually("the reader is gone", async () => (await mast.stream("live/api")).n_readers === 0);
    assert.equal((await command(["stream", "kick", "live/api", "publisher", "--url", mast.url])).code, 0);
    await eventually("the publisher is gone", () => publisher.exitCode !== null || publisher.signalCode !== null);
  } finally {
    await stopChild(publisher, "SIGKILL");
    await stopChild(reader, "SIGKILL");
  }
});

test("what is not there is a problem with a stable code", async () => {
  const reply = await fetch(`${mast.url}/api/v1/streams/no/such`);
  assert.equal(reply.status, 404);
  assert.equal(reply.headers.get("content-type"), "application/problem+json");
  assert.equal((await reply.json()).code, "not-found");
  const bad = await fetch(`${mast.url}/api/v1/streams/kick/no/such`, { method: "POST", body: '{"sesion":"all"}' });
  assert.equal(bad.status, 400);
  assert.equal((await bad.json()).field, "sesion");
  const method = await fetch(`${mast.url}/api/v1/streams`, { method: "DELETE" });
  assert.equal(method.status, 405);
  assert.match(method.headers.get("allow"), /GET/);
  const missing = await command(["stream", "show", "no/such", "--url", mast.url]);
  assert.equal(missing.code, 1);
  assert.match(missing.stderr, /no stream/);
});

test("the OpenAPI document names every route and resolves every reference", async () => {
  const doc = await mast.get("/api/openapi.json");
  assert.equal(doc.openapi, "3.1.0");
  for (const path of ["/api/v1/streams", "/api/v1/streams/{path}", "/api/v1/streams/kick/{path}", "/api/v1/version", "/metrics", "/healthz"]) {
    assert.ok(doc.paths[path], path);
  }
  const names = new Set(Object.keys(doc.components.schemas).map((n) => `#/components/schemas/${n}`));
  const walk = (v) => {
    if (v && typeof v === "object") {
      if (v.$ref) {
        assert.ok(names.has(v.$ref), v.$ref);
      }
      Object.values(v).forEach(walk);
    }
  };
  walk(doc);
  const version = await mast.get("/api/v1/version");
  assert.equal(version.version, doc.info.version);
  assert.equal(version.pid, mast.pid);
});

test("requests for other names, and from other sites' pages, are refused", async () => {
  // fetch() sets these headers itself, so this one is written by hand.
  const raw = (headers) => run("curl", ["-s", "-o", "/dev/null", "-w", "%{http_code}", ...headers.flatMap((h) => ["-H", h]), `${mast.url}/api/v1/streams`]);
  assert.equal((await raw(["Host: evil.example"])).stdout, "421");
  assert.equal((await raw(["Origin: http://evil.example"])).stdout, "403");
  assert.equal((await raw([`Origin: ${mast.url}`])).stdout, "200");
  assert.equal((await raw(["X-Forwarded-For: 192.0.2.1"])).stdout, "401");
});

test("users: publishing, watching and the API each need their right", async () => {
  const guarded = await Mast.start({ config: { log: { level: "info" } } });
  try {
    await guarded.stop();
    guarded.config.access = undefined;
    delete guarded.config.access;
    const config = join(guarded.dir, "users.yml");
    const base = await readFile(join(guarded.dir, "mast.yml"), "utf8");
    await writeFile(
      config,
      `${base}access:\n  users:\n    - {name: studio, password: long-enough, publish: [live/*]}\n` +
        "    - {name: viewer, password: also-long-enough, read: ['*']}\n    - {name: op, password: operator-1, api: true}\n",
    );
    const child = startProgram(BIN, ["serve", "--config", config]);
    try {
      const auth = (user, password) => ({ headers: { authorization: `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}` } });
      await eventually("ready", async () => (await fetch(`${guarded.url}/readyz`)).ok);
      assert.equal((await fetch(`${guarded.url}/api/v1/streams`)).status, 401);
      assert.equal((await fetch(`${guarded.url}/api/v1/streams`, auth("viewer", "also-long-enough"))).status, 403);
      assert.equal((await fetch(`${guarded.url}/api/v1/streams`, auth("op", "operator-1"))).status, 200);

      const refused = publishFfmpeg(guarded.rtmp("live/a"));
      await eventually("the publisher without credentials is refused", () => refused.exitCode !== null);
      const publisher = publishFfmpeg(`${guarded.rtmp("live/a")}?user=studio&pass=long-enough`);
      try {
        await eventually("the publisher with credentials is on air", async () => {
          const reply = await fetch(`${guarded.url}/api/v1/streams/live/a`, auth("op", "operator-1"));
          return reply.ok && (await reply.json()).ready;
        });
        const play = (query) => run("ffmpeg", ["-v", "error", "-nostdin", "-i", guarded.rtmp(`live/a${query}`), "-t", "1", "-f", "null", "-"]);
        await assert.rejects(play(""));
        await assert.rejects(play("?user=studio&pass=long-enough"));
        await play("?user=viewer&pass=also-long-enough");
      } finally {
        await stopChild(publisher, "SIGKILL");
      }
      assert.doesNotMatch(child.log, /long-enough|operator-1/, "no secret in the log");
    } finally {
      const exit = await stopChild(child);
      assert.equal(exit.code, 0, child.log.slice(-2000));
    }
  } finally {
    await guarded.close().catch(() => {});
  }
});

test("the shipped example is what the table says, and right", async () => {
  const { stdout } = await command(["check", "--example"]);
  assert.equal(stdout, await readFile(join(ROOT, "mast.example.yml"), "utf8"), "run: mast check --example > mast.example.yml");
  assert.equal((await command(["check", join(ROOT, "mast.example.yml")])).code, 0);
});

test("check says where a configuration is wrong; serve refuses it", async () => {
  const file = join(mast.dir, "bad.yml");
  await writeFile(file, "http:\n  port: 8888\n  adress: 127.0.0.1\n");
  const checked = await command(["check", file]);
  assert.equal(checked.code, 1);
  assert.match(checked.stderr, /bad\.yml:3:3: .*adress/);
  assert.equal((await command(["serve", "--config", file])).code, 1);
  await writeFile(file, "rtmp:\n  port: 70000\n");
  assert.match((await command(["check", file])).stderr, /bad\.yml:2:\d+: .*rtmp\.port/);
  const env = await command(["check"], { MAST_HTTP_PORT: "many", MAST_CONFIG: "" });
  assert.equal(env.code, 1);
  assert.match(env.stderr, /MAST_HTTP_PORT/);
});

test("doctor finds what is installed, and ports that are taken", async () => {
  const { code, stdout } = await command(["doctor", "--json"], {
    MAST_HTTP_PORT: String(mast.httpPort), MAST_RTMP_PORT: "0", MAST_RTMPS_PORT: "0", MAST_STATE_DIR: mast.dir, MAST_CONFIG: "",
  }); // prettier-ignore
  const findings = Object.fromEntries(JSON.parse(stdout).map((f) => [f.what, f]));
  assert.equal(code, 1, "a taken port is wrong");
  assert.equal(findings.http.verdict, "wrong");
  assert.equal(findings.ffmpeg.verdict, "ok");
  assert.equal(findings["mast-spawn"].verdict, "ok");
  assert.equal(findings.rtmp.verdict, "ok");
});

test("a taken port ends serve with a sentence, and leaves nothing behind", async () => {
  const env = { MAST_HTTP_PORT: String(mast.httpPort), MAST_RTMP_PORT: "0", MAST_RTMPS_PORT: "0", MAST_CONFIG: "" };
  const { code, stderr } = await command(["serve"], { ...env, MAST_STATE_DIR: join(mast.dir, "second") });
  assert.equal(code, 1);
  assert.match(stderr, /cannot start: http.*in use/i);
  const same = await command(["serve"], { ...env, MAST_STATE_DIR: mast.dir });
  assert.equal(same.code, 1, "one server a state folder");
  assert.match(same.stderr, /cannot start: /);
});
