#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
// Writes the references that come out of the program's own tables: mast.example.yml, docs/configuration.md, docs/api.md and
// docs/metrics.md. `make references` runs it; test/e2e/docs.test.mjs holds the files to it.
//
//   tools/references.mjs          writes what differs
//   tools/references.mjs --check  only says what differs; exit code 1

import { execFileSync, spawn } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const BIN = resolve(process.env.MAST_BIN ?? join(ROOT, "build/src/app/mast"));

const print = (...args) => execFileSync(BIN, args, { encoding: "utf8" });

async function freePort() {
  const server = createServer();
  await new Promise((done, fail) => server.listen(0, "127.0.0.1", done).on("error", fail));
  const { port } = server.address();
  await new Promise((done) => server.close(done));
  return port;
}

// A server with everything on, asked by `ask(url)` once it carries the demo stream, so that metrics have their labels.
async function withServer(ask) {
  const dir = await mkdtemp(join(tmpdir(), "mast-references-"));
  const port = await freePort();
  const file = join(dir, "mast.yml");
  await writeFile(file, JSON.stringify({ state_dir: dir, http: { port }, rtmp: { port: 0 }, rtmps: { port: 0 }, demo: { width: 320, height: 180 } }));
  const child = spawn(BIN, ["serve", "--demo", "--config", file], { stdio: ["ignore", "ignore", "pipe"] });
  let log = "";
  child.stderr.on("data", (d) => (log += d));
  const exit = new Promise((done) => child.once("exit", done).once("error", done));
  const url = `http://127.0.0.1:${port}`;
  try {
    for (let tries = 0; ; tries++) {
      const reply = await fetch(`${url}/api/v1/streams/live/demo`).catch(() => null);
      if (reply?.status === 200 && (await reply.json()).ready) {
        break;
      }
      if (child.exitCode !== null || tries === 1200) {
        throw new Error(`mast has no demo stream:\n${log}`);
      }
      await new Promise((done) => setTimeout(done, 50));
    }
    return await ask(url);
  } finally {
    child.kill("SIGTERM");
    await exit;
    await rm(dir, { recursive: true, force: true });
  }
}

// ---- metrics ----

const METRICS_HEAD = `# Metrics

<!-- Written by \`make references\` from what a running server answers; texts are changed where the metric is made. -->

\`GET /metrics\` answers in the Prometheus text format, version 0.0.4. It needs the scope \`read\`: an API key, a user with
\`api: true\`, a token with the action \`metrics\`, or, while there are no users, a connection from this machine.

\`\`\`yaml prometheus
scrape_configs:
  - job_name: mast
    authorization: {credentials_file: /etc/prometheus/mast.key}   # mast key create --scope read
    static_configs: [{targets: ["127.0.0.1:8888"]}]
\`\`\`

Counters end in \`_total\` and start from 0 with the process.

| metric | type | labels | meaning |
|---|---|---|---|
`;

function metricsPage(text) {
  const families = [];
  for (const line of text.split("\n")) {
    const [, kind, name, rest] = line.match(/^# (HELP|TYPE) (\S+) (.*)$/) ?? [];
    if (kind === "HELP") {
      families.push({ name, help: rest, labels: new Set() });
    } else if (kind === "TYPE") {
      families.at(-1).type = rest;
    } else {
      for (const m of line.matchAll(/([a-z_]+)="(?:[^"\\]|\\.)*"/g)) {
        families.at(-1).labels.add(m[1]);
      }
    }
  }
  const row = (f) => `| \`${f.name}\` | ${f.type} | ${[...f.labels].map((l) => `\`${l}\``).join(", ")} | ${f.help} |\n`;
  return METRICS_HEAD + families.sort((a, b) => (a.name < b.name ? -1 : 1)).map(row).join("");
}

// What each file should be: {path: text}.
export async function references() {
  const served = await withServer(async (url) => ({
    metrics: await (await fetch(`${url}/metrics`)).text(),
  }));
  return {
    "mast.example.yml": print("check", "--example"),
    "docs/configuration.md": print("check", "--reference"),
    "docs/metrics.md": metricsPage(served.metrics),
  };
}

// The paths of the files that are not what they should be.
export async function stale(wanted) {
  const differ = [];
  for (const [path, text] of Object.entries(wanted)) {
    if ((await readFile(join(ROOT, path), "utf8").catch(() => "")) !== text) {
      differ.push(path);
    }
  }
  return differ;
}

if (process.argv[1] && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const wanted = await references();
  const check = process.argv[2] === "--check";
  for (const path of await stale(wanted)) {
    console.log(check ? `${path} is not what the program says: make references` : `writing ${path}`);
    process.exitCode = check ? 1 : 0;
    if (!check) {
      await writeFile(join(ROOT, path), wanted[path]);
    }
  }
}
