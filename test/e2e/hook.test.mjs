// SPDX-License-Identifier: Apache-2.0
// Hooks: programs that run on events, and as long as a stream is live (docs/hooks.md).

import assert from "node:assert/strict";
import { chmod, mkdtemp, readdir, readFile, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { publishFfmpeg } from "./lib/ffmpeg.mjs";
import { eventually, Mast, stopChild } from "./lib/mast.mjs";

let folder;

before(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), "mast-hook-")));
});

after(async () => {
  await rm(folder, { recursive: true, force: true });
});

const file = (name) => join(folder, name);
const read = (name) => readFile(file(name), "utf8").catch(() => "");
const lines = async (name) => (await read(name)).split("\n").filter((l) => l);

async function program(name, text) {
  await writeFile(file(name), `#!/bin/sh\n${text}`);
  await chmod(file(name), 0o755);
  return file(name);
}

async function withMast(config, run, env = {}) {
  const mast = await Mast.start({ config: { watch: false, streams: { continuity: "200ms" }, ...config }, env });
  try {
    return await run(mast);
  } catch (e) {
    e.message += `\n${mast.log.slice(-4000)}`;
    throw e;
  } finally {
    await mast.close();
  }
}

const reload = async (mast) => assert.equal((await mast.fetch("/api/v1/reload", { method: "POST" })).status, 200);

const publish = (mast, path) => publishFfmpeg(mast.rtmp(path), { size: "160x90", rate: 10, audio: false });

// Processes of this machine whose environment or arguments name the marker.
async function processesWith(marker) {
  const found = [];
  for (const pid of (await readdir("/proc")).filter((p) => /^\d+$/.test(p))) {
    const args = await readFile(`/proc/${pid}/cmdline`, "latin1").catch(() => "");
    if (args.includes(marker)) {
      found.push(Number(pid));
    }
  }
  return found;
}

const gone = (marker) => eventually(`no process is left of ${marker}`, async () => (await processesWith(marker)).length === 0);

test("a program runs on an event, with its environment and nothing else of ours", async () => {
  const run = await program("note", `env > ${file("env")}.tmp; pwd >> ${file("env")}.tmp; cat > ${file("stdin")}; printf '%s|' "$@" > ${file("args")}; echo out says hello; echo err says hello >&2; mv ${file("env")}.tmp ${file("env")}`);
  const hooks = [{ name: "note", on: ["config.*"], run: [run, "a b", "$HOME; $(id)", ""], env: { COLOUR: "blue and red" } }];
  await withMast({ hooks }, async (mast) => {
    await reload(mast);
    const text = await eventually("it has run", () => read("env"));
    const env = Object.fromEntries(text.split("\n").filter((l) => l.includes("=")).map((l) => [l.slice(0, l.indexOf("=")), l.slice(l.indexOf("=") + 1)]));
    const event = JSON.parse(await read("stdin"));
    assert.equal(event.type, "config.reloaded");
    assert.equal(env.MAST_HOOK, "note");
    assert.equal(env.MAST_EVENT, "config.reloaded");
    assert.equal(env.MAST_RESOURCE, "config");
    assert.equal(env.MAST_EVENT_ID, event.id);
    assert.equal(env.MAST_EVENT_TIME, event.time);
    assert.deepEqual(JSON.parse(env.MAST_EVENT_JSON), event);
    assert.equal(env.MAST_PATH, undefined);
    assert.equal(env.COLOUR, "blue and red");
    assert.equal(env.OF_THE_SERVER, undefined);
    assert.equal(env.MAST_STREAMS_MAX, undefined);
    const others = Object.keys(env).filter((k) => !k.startsWith("MAST_") && !["PATH", "LANG", "TZ", "HOME", "COLOUR", "PWD", "OLDPWD", "SHLVL", "_"].includes(k));
    assert.deepEqual(others, []);
    assert.match(text, /^\/$/m);
    assert.equal(await read("args"), "a b|$HOME; $(id)||");
    await eventually("the log has what it said", () => /hook note: out says hello/.test(mast.log) && /hook note: err says hello/.test(mast.log));
    await eventually("it is counted", async () => /^mast_hook_runs_total\{hook="note",result="succeeded"\} 1$/m.test((await mast.fetch("/metrics")).text));
    assert.match(await mast.fetch("/metrics").then((r) => r.text), /^mast_hook_running 0$/m);
  }, { OF_THE_SERVER: "secret", MAST_STREAMS_MAX: "99" });
});

test("events of a stream are handled in their order, with its path", async () => {
  const run = await program("order", `echo "$MAST_EVENT $MAST_PATH" >> ${file("order.log")}`);
  await withMast({ hooks: [{ name: "order", on: "stream.*", paths: "live/*", run: [run] }] }, async (mast) => {
    const publishers = ["live/a", "other/b"].map((p) => publish(mast, p));
    await Promise.all(["live/a", "other/b"].map((p) => mast.onAir(p)));
    await Promise.all(publishers.map((p) => stopChild(p, "SIGKILL")));
    await eventually("the end", async () => (await lines("order.log")).includes("stream.ended live/a"));
    assert.deepEqual(await lines("order.log"), ["published", "ready", "lost", "ended"].map((e) => `stream.${e} live/a`));
  });
});

test("one that takes too long is ended with its children, one that fails is told", async () => {
  const slow = await program("slow", `trap '' TERM; sleep 7777.5 & sleep 7777.5`);
  const bad = await program("bad", "echo it went wrong >&2; exit 3");
  const hooks = [
    { name: "slow", on: "config.*", run: [slow], timeout: "300ms" },
    { name: "bad", on: "config.*", run: [bad] },
    { name: "none", on: "config.*", run: [file("not-there")] },
  ];
  await withMast({ hooks }, async (mast) => {
    const end = new AbortController();
    const feed = await fetch(`${mast.url}/api/v1/events`, { signal: end.signal });
    const events = [];
    const reading = (async () => {
      const decoder = new TextDecoder();
      let text = "";
      for await (const part of feed.body) {
        const read = (text + decoder.decode(part, { stream: true })).split("\n");
        text = read.pop();
        for (const line of read.filter((l) => l.startsWith("data: "))) {
          events.push(JSON.parse(line.slice(6)));
        }
      }
    })().catch(() => {});
    await reload(mast);
    const failed = (name) => events.find((e) => e.type === "hook.failed" && e.data.hook === name);
    await eventually("all three failed", () => failed("slow") && failed("bad") && failed("none"));
    assert.equal(failed("bad").data.code, 3);
    assert.equal(failed("bad").resource, "hooks/bad");
    assert.match(failed("bad").data.reason, /it went wrong/);
    assert.match(failed("slow").data.reason, /not done after 300 ms/);
    assert.match(failed("none").data.reason, /not found/);
    await gone("7777.5");
    assert.match((await mast.fetch("/metrics")).text, /^mast_hook_runs_total\{hook="bad",result="failed"\} 1$/m);
    end.abort();
    await reading;
  });
});

test("a program lasts as long as its stream, is started again, and ends with the server", async () => {
  const run = await program("last", `echo "$MAST_PATH $$" >> ${file("last.log")}; sleep 8888.5 & wait`);
  const hooks = [{ name: "last", while: "stream.ready", paths: "live/*", run: [run, "8888.5"] }];
  await withMast({ hooks }, async (mast) => {
    const first = publish(mast, "live/a");
    await eventually("it runs", async () => (await lines("last.log")).length === 1);
    const [path, pid] = (await lines("last.log"))[0].split(" ");
    assert.equal(path, "live/a");
    process.kill(Number(pid), "SIGKILL");
    await eventually("it runs again", async () => (await lines("last.log")).length === 2);
    await stopChild(first, "SIGKILL");
    await gone("8888.5");
    // Changed by a reload while the stream is live: the old one goes, then the new one comes.
    const second = publish(mast, "live/b");
    await eventually("it runs for the other", async () => (await lines("last.log")).some((l) => l.startsWith("live/b ")));
    const before = await processesWith("8888.5");
    mast.config.hooks = [{ ...hooks[0], run: [run, "8888.5", "changed"] }];
    await mast.writeConfig();
    await reload(mast);
    await eventually("the changed one runs", async () => (await processesWith("changed")).length > 0);
    assert.deepEqual((await processesWith("8888.5")).filter((p) => before.includes(p)), []);
    await mast.stop();
    await gone("8888.5");
    await stopChild(second, "SIGKILL");
  });
});

test("what hooks may not be", async () => {
  await withMast({}, async (mast) => {
    const bad = [
      { name: "a", on: "x", run: ["relative"] },
      { name: "a", on: "x", while: "stream.ready", run: ["/bin/true"] },
      { name: "a", run: ["/bin/true"] },
      { name: "a", on: "x", run: [] },
      { name: "a", while: "reader.joined", run: ["/bin/true"] },
      { name: "a b", on: "x", run: ["/bin/true"] },
      { name: "a", on: "x", run: ["/bin/true"], env: { "A=B": "c" } },
    ];
    for (const hook of bad) {
      mast.config.hooks = [hook];
      await mast.writeConfig();
      assert.equal((await mast.fetch("/api/v1/reload", { method: "POST" })).status, 422, JSON.stringify(hook));
    }
    const paths = Object.keys((await mast.get("/api/openapi.json")).paths);
    assert.deepEqual(paths.filter((p) => /[^b]hooks/.test(p)), [], "nothing of the API makes one");
  });
});
