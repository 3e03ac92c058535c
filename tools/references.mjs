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

Counters end in \`_total\` and start from 0 with the process. What to watch of these is in [hardening](hardening.md#what-to-watch).

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

// ---- the API ----

const API_HEAD = `# API

<!-- Written by \`make references\` from /api/openapi.json, which comes from the route tables; texts are changed there. -->

\`GET /api/openapi.json\` answers the same as an OpenAPI 3.1 document, for generators of clients. Everything is on the HTTP port.

## What all routes have in common

* **Credentials**: \`Authorization: Bearer KEY\` with an API key or a token, \`Authorization: Basic\` with a user that has \`api: true\`,
  or \`?token=KEY\`. While there are no users, this machine needs none. See [access](access.md). The *scope* of a route says what a key
  needs: \`admin\` may do what \`read\` may.
* **Refusals** are \`application/problem+json\` (RFC 9457) with a stable \`code\`, a sentence in \`detail\`, and \`field\` where a part of the
  request is at fault. An address that does not exist is 404 \`not-found\`, a method that it lacks 405 \`method-not-allowed\`.
* \`{path}\` is the path of a stream. Its slashes stand as they are: \`/api/v1/streams/live/cam1\`.
* **The API only grows**: clients ignore fields that they do not know. Times are RFC 3339, durations text as in the configuration.
* Bodies are JSON; a field that does not exist is an error (\`invalid-body\`).
* Requests of a browser's page on another site and for names that are not ours are refused.

Refusals that are not repeated below:

COMMON
The commands do the same: \`mast stream\`, \`mast key\`, \`mast event\`, \`mast reload\`.
`;

// Everything may stand in a table's cell but a bar.
const cell = (text) => (text ?? "").replaceAll("|", "\\|");

function typeOf(schema) {
  if (schema.$ref) {
    const name = schema.$ref.split("/").at(-1);
    return `[${name}](#${name.toLowerCase()})`;
  }
  if (schema.anyOf) {
    return schema.anyOf.map((s) => (s.type === "null" ? "null" : typeOf(s))).join(" or ");
  }
  if (schema.enum) {
    return schema.enum.filter((v) => v !== null).map((v) => `\`${v}\``).join(", ");
  }
  const types = [schema.type].flat();
  if (types.includes("array")) {
    return `list of ${typeOf(schema.items)}`;
  }
  if (types.includes("object") && schema.additionalProperties) {
    return `map of ${typeOf(schema.additionalProperties)}`;
  }
  return schema.format === "date-time" ? "time" : types.filter((t) => t).join(" or ") || "anything";
}

function rangeOf(s) {
  if ((s.minimum || s.maximum) && ![65535, 4294967295].includes(s.maximum)) {
    return s.maximum === undefined ? (s.minimum === 0 ? "" : `from ${s.minimum}`) : `${s.minimum ?? ""} to ${s.maximum}`;
  }
  if (s.minLength || (s.maxLength && s.maxLength !== 4096)) {
    return `${s.minLength ?? 0} to ${s.maxLength} bytes`;
  }
  return "";
}

function schemaTable(schema) {
  const rows = Object.entries(schema.properties ?? {}).map(([name, s]) => {
    const notes = [
      schema.required?.includes(name) ? "Required." : "",
      s.description ?? "",
      rangeOf(s) ? `${rangeOf(s)}.` : "",
      s.default !== undefined ? `Default: \`${JSON.stringify(s.default)}\`.` : "",
    ];
    return `| \`${name}\` | ${cell(typeOf(s))} | ${cell(notes.filter((n) => n).join(" "))} |\n`;
  });
  return `| field | type | |\n|---|---|---|\n${rows.join("")}`;
}

function curlExample(method, path, op) {
  let address = path;
  for (const p of op.parameters?.filter((p) => p.in === "path") ?? []) {
    address = address.replace(`{${p.name}}`, p.example ?? p.name.toUpperCase());
  }
  const words = ["curl"];
  if (op.responses["101"]) {
    return null; // a WebSocket
  }
  if (op.responses["200"]?.content?.["text/event-stream"]) {
    words.push("-N");
  }
  if (method !== "get") {
    words.push("-X", method.toUpperCase());
  }
  if (op["x-mast-scope"]) {
    words.push("-H", '"Authorization: Bearer $MAST_KEY"');
  }
  const example = op.requestBody?.content["application/json"].example;
  if (example) {
    words.push("-H", "'Content-Type: application/json'", "-d", `'${JSON.stringify(example)}'`);
  }
  return [...words, `http://127.0.0.1:8888${address}`].join(" ");
}

// "`code`: when" of an answer.
const problems = (r) => (r.content?.["application/problem+json"] ? r.description.split("; ") : []);

// Those of the guard before every handler: what /api/v1/version, which has none of its own, may answer.
function commonProblems(doc) {
  const common = new Map();
  for (const [status, r] of Object.entries(doc.paths["/api/v1/version"].get.responses).filter(([s]) => s !== "default")) {
    problems(r).forEach((p) => common.set(`${status} ${p}`, `| ${status} | ${cell(p)} |\n`));
  }
  return common;
}

function operation(method, path, op, common) {
  const out = [`\n### ${method.toUpperCase()} ${path}\n`];
  out.push(`${op.summary}.${op.description ? ` ${op.description}` : ""}\n`.replace(/\bdocs\/([a-z-]+\.md)/g, "[$1]($1)"));
  out.push(op["x-mast-scope"] ? `Scope: \`${op["x-mast-scope"]}\`.\n` : op.security.length ? "Needs the right to watch the path.\n" : "Needs no credentials.\n");
  if (op.parameters?.length) {
    out.push("| parameter | in | |\n|---|---|---|");
    out.push(...op.parameters.map((p) => `| \`${p.name}\` | ${p.in} | ${cell(p.description)} |`), "");
  }
  if (op.requestBody) {
    const schema = op.requestBody.content["application/json"].schema;
    const patch = schema["x-mast-patch-of"];
    out.push(`Body: ${patch ? `any fields of ${typeOf({ $ref: patch })}; null takes one back` : typeOf(schema)}${op.requestBody.required ? "" : ", may be left out"}.\n`);
  }
  out.push("| answer | |\n|---|---|");
  for (const [status, r] of Object.entries(op.responses).filter(([s]) => s !== "default")) {
    const [[type, media] = []] = Object.entries(r.content ?? {});
    const text = type === "application/problem+json" ? problems(r).filter((p) => !common.has(`${status} ${p}`)).join("; ") : r.description;
    if (!text) {
      continue;
    }
    const what = type === "application/json" && media.schema.$ref ? `: ${typeOf(media.schema)}` : type && type !== "application/problem+json" ? ` (\`${type}\`)` : "";
    out.push(`| ${status} | ${cell(text)}${what} |`);
  }
  const example = curlExample(method, path, op);
  if (example) {
    out.push(`\n\`\`\`sh\n${example}\n\`\`\``);
  }
  return `${out.join("\n")}\n`;
}

function apiPage(doc) {
  const common = commonProblems(doc);
  const groups = new Map();
  const verbs = ["get", "post", "put", "patch", "delete"];
  for (const [path, methods] of Object.entries(doc.paths).sort(([a], [b]) => (a < b ? -1 : 1))) {
    for (const [method, op] of Object.entries(methods).sort(([a], [b]) => verbs.indexOf(a) - verbs.indexOf(b))) {
      const list = groups.get(op.tags[0]) ?? [];
      groups.set(op.tags[0], [...list, operation(method, path, op, common)]);
    }
  }
  // What belongs to the media and to the server itself comes last.
  const order = (name) => ({ media: 1, server: 2 })[name] ?? 0;
  const names = [...groups.keys()].sort((a, b) => order(a) - order(b) || (a < b ? -1 : 1));
  const schemas = Object.entries(doc.components.schemas).sort(([a], [b]) => (a < b ? -1 : 1));
  return (
    API_HEAD.replace("COMMON\n", `| answer | |\n|---|---|\n${[...common.values()].join("")}\n`) +
    names.map((name) => `\n## ${name[0].toUpperCase()}${name.slice(1)}\n${groups.get(name).join("")}`).join("") +
    "\n## Shapes\n" +
    schemas.map(([name, s]) => `\n### ${name}\n\n${s.description ? `${s.description}\n\n` : ""}${schemaTable(s)}`).join("")
  );
}

// What each file should be: {path: text}.
export async function references() {
  const served = await withServer(async (url) => ({
    metrics: await (await fetch(`${url}/metrics`)).text(),
    api: await (await fetch(`${url}/api/openapi.json`)).json(),
  }));
  return {
    "mast.example.yml": print("check", "--example"),
    "docs/api.md": apiPage(served.api),
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
