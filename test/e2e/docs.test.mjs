// SPDX-License-Identifier: Apache-2.0
// The docs say what is so: references are those of the program, links lead somewhere, what is named exists, every example of a
// configuration is one, and the commands of the quick start and the proxies' configurations work as written.

import assert from "node:assert/strict";
import { execFile, execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, relative, resolve } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";

import { anchors, blocks, codeSpans, links } from "./lib/markdown.mjs";
import { references, stale } from "../../tools/references.mjs";

const ROOT = resolve(import.meta.dirname ?? new URL(".", import.meta.url).pathname, "../..");
const BIN = process.env.MAST_BIN ?? join(ROOT, "build/src/app/mast");
const run = promisify(execFile);

let folder;
let wanted; // the references as they should be
const pages = new Map(); // path from the root -> text

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "mast-docs-"));
  const docs = (await readdir(join(ROOT, "docs"), { recursive: true })).map((f) => join("docs", f));
  for (const file of ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", ...docs].filter((f) => f.endsWith(".md"))) {
    pages.set(file, await readFile(join(ROOT, file), "utf8"));
  }
  wanted = await references();
});

after(async () => {
  await rm(folder, { recursive: true, force: true });
});

// All that is wrong, in one message.
function assertNone(wrong) {
  assert.equal(wrong.length, 0, `\n${wrong.join("\n")}`);
}

test("the references are what the program says", async () => {
  assert.deepEqual(await stale(wanted), [], "run: make references");
});

test("every link leads somewhere", () => {
  const wrong = [];
  for (const [page, text] of pages) {
    for (const link of links(text).filter((l) => !/^[a-z]+:/.test(l))) {
      const [path, anchor] = link.split("#");
      const target = path ? relative(ROOT, resolve(ROOT, dirname(page), path)) : page;
      if (!existsSync(join(ROOT, target))) {
        wrong.push(`${page}: ${link}: there is no ${target}`);
      } else if (anchor && !anchors(pages.get(target) ?? "").has(anchor)) {
        wrong.push(`${page}: ${link}: ${target} has no such heading`);
      }
    }
  }
  assertNone(wrong);
});

test("every page is listed where readers look for it", () => {
  const index = pages.get("docs/README.md");
  const listed = new Set(links(index).map((l) => join("docs", l.split("#")[0])));
  assertNone([...pages.keys()].filter((p) => p.startsWith("docs/") && p !== "docs/README.md" && !listed.has(p) && !p.startsWith("docs/internals/")).map((p) => `docs/README.md does not list ${p}`));
});

test("commands, configuration keys, routes, metrics, functions and files that are named exist", async () => {
  const help = execFileSync(BIN, ["help"], { encoding: "utf8" });
  const commands = new Map(); // name -> its help
  for (const m of help.matchAll(/^ {2}([a-z]+) /gm)) {
    commands.set(m[1], execFileSync(BIN, ["help", m[1]], { encoding: "utf8" }));
  }
  const missing = [...commands.keys()].filter((c) => c !== "help" && !codeSpans(pages.get("README.md")).some((s) => new RegExp(`^(mast )?${c}\\b`).test(s)));
  assert.deepEqual(missing, [], "README.md lists every command");
  const makefile = await readFile(join(ROOT, "Makefile"), "utf8");
  const targets = new Set([...makefile.matchAll(/^([a-z-]+):/gm)].map((m) => m[1]));
  const keys = new Set([...wanted["docs/configuration.md"].matchAll(/^(?:\| `([^`]+)`|## (\S+)$)/gm)].map((m) => (m[1] ?? m[2]).replaceAll("[]", "")));
  const sections = [...new Set([...keys].map((k) => k.split(".")[0]))];
  const metrics = new Set([...wanted["docs/metrics.md"].matchAll(/^\| `(mast_[a-z0-9_]+)`/gm)].map((m) => m[1]));
  // The functions and structs of the C API; `mast_av_*` are all that begin so.
  const headers = (await readdir(join(ROOT, "include/mast"))).map((f) => readFile(join(ROOT, "include/mast", f), "utf8"));
  // And the metrics that an embedder's observer is told.
  const embed = await Promise.all((await readdir(join(ROOT, "src/embed"))).filter((f) => f.endsWith(".c")).map((f) => readFile(join(ROOT, "src/embed", f), "utf8")));
  const told = [...embed.join("\n").matchAll(/"(mast_[a-z0-9_]+)"/g)].map((m) => m[1]);
  const names = new Set([...metrics, ...told, "mast_permissions", ...(await Promise.all(headers)).join("\n").match(/\bmast_[a-z0-9_]+/g)]);
  const isNamed = (name) => names.has(name) || (name.endsWith("_") && [...names].some((n) => n.startsWith(name)));
  const routes = [...wanted["docs/api.md"].matchAll(/^### ([A-Z]+) (\/\S+)$/gm)].map(
    (m) => new RegExp(`^${m[2].replace(/[.*+?^$()|[\]\\]/g, "\\$&").replace(/\{path\}/g, ".+").replace(/\{\w+\}/g, "[^/]+")}$`),
  );
  const looksLikeKey = new RegExp(`^(${sections.join("|")})(\\.[a-z_]+)+(\\.\\*)?$`);
  const wrong = [];
  for (const [page, text] of pages) {
    const lines = blocks(text).filter((b) => /^(sh\b.*)?$/.test(b.info)).flatMap((b) => b.text.split("\n"));
    for (const word of [...codeSpans(text), ...lines.map((l) => l.replace(/(^|\s)#.*/, ""))]) {
      for (const m of word.matchAll(/(?:^|[\s$(`])mast ([a-z]+)\b(?!\.)([^|;)]*)/g)) {
        const about = commands.get(m[1]);
        if (!about) {
          wrong.push(`${page}: \`${word}\`: there is no command mast ${m[1]}`);
          continue;
        }
        const sub = m[2].match(/^ +([a-z]+)\b/)?.[1];
        if (/^Commands$/m.test(about) && sub && !new RegExp(`^  ${sub}\\b`, "m").test(about)) {
          wrong.push(`${page}: \`${word}\`: mast ${m[1]} has no ${sub}`);
        }
        for (const option of m[2].match(/(?<=^|\s)--[a-z-]+/g) ?? []) {
          // The manual page's own option is hidden (docs/internals/app.md).
          if (!about.includes(`  ${option} `) && !page.startsWith("docs/internals/")) {
            wrong.push(`${page}: \`${word}\`: mast ${m[1]} has no ${option}`);
          }
        }
      }
      for (const m of word.matchAll(/(?:^|[(;&] ?)make ([a-z-]+)\b/g)) {
        if (!targets.has(m[1])) {
          wrong.push(`${page}: \`${word}\`: the Makefile has no ${m[1]}`);
        }
      }
      for (const m of word.matchAll(/\/api\/(v1|openapi)[^\s`'"?,;)]*/g)) {
        const path = m[0].replace(/\/$|\/\.\.\.$/, "");
        if (path !== "/api/v1" && !routes.some((r) => r.test(path))) {
          wrong.push(`${page}: \`${word}\`: there is no route ${path}`);
        }
      }
      for (const m of word.matchAll(/\bmast_[a-z0-9_]+/g)) {
        if (!isNamed(m[0]) && !page.startsWith("docs/internals/")) {
          wrong.push(`${page}: \`${word}\`: there is no metric, function or struct ${m[0]}`);
        }
      }
    }
    for (const span of codeSpans(text)) {
      const key = span.replace(/: .*$/, "").replace(/\.\*$/, "").replaceAll("[]", "");
      if (looksLikeKey.test(key) && !/\.(c|h|js|ts|md|mjs|yml|pem|key|crt|service)$/.test(key) && !keys.has(key)) {
        wrong.push(`${page}: \`${span}\`: there is no such key`);
      }
      if (/^(src|test|tools|docs|bench|web|packaging)\/[\w./-]+\.\w+$/.test(span) && ![ROOT, join(ROOT, "web")].some((d) => existsSync(join(d, span)))) {
        wrong.push(`${page}: \`${span}\`: there is no such file`);
      }
    }
  }
  assertNone(wrong);
});

test("every example of a configuration is one", async () => {
  const wrong = [];
  for (const [page, text] of pages) {
    for (const [i, block] of blocks(text).filter((b) => b.info === "yaml").entries()) {
      const file = join(folder, `example-${i}.yml`);
      await writeFile(file, block.text);
      await run(BIN, ["check", file]).catch((e) => wrong.push(`${page}, line ${block.line}: ${e.stderr}`));
    }
  }
  assertNone(wrong);
});

test("the messages of the troubleshooting page are the program's", async () => {
  const sources = (await readdir(join(ROOT, "src"), { recursive: true })).filter((f) => f.endsWith(".c"));
  const code = (await Promise.all(sources.map((f) => readFile(join(ROOT, "src", f), "utf8")))).join("\n").replace(/"\s*\n\s*"/g, "");
  const wrong = [];
  for (const row of pages.get("docs/troubleshooting.md").matchAll(/^\| (?!message|symptom|answer|---)([^|]+) \|/gm)) {
    for (const m of row[1].matchAll(/`([^`]{16,})`/g)) {
      for (const part of m[1].split("\u2026").map((p) => p.replace(/^: /, "").replace(/(: |^)Address already in use$/, "")).filter((p) => p.length > 6 && !/^mast[. ]|^SSL|^Failure when/.test(p))) {
        if (!code.replaceAll("`", "").includes(part)) {
          wrong.push(`docs/troubleshooting.md: nothing says "${part}"`);
        }
      }
    }
  }
  assertNone(wrong);
});

test("every line of the service's sandbox is explained", async () => {
  const unit = await readFile(join(ROOT, "packaging/systemd/mast.service.in"), "utf8");
  const service = unit.slice(unit.indexOf("[Service]"), unit.indexOf("[Install]"));
  const explained = new Set([...pages.get("docs/hardening.md").matchAll(/`([A-Z][A-Za-z]+)=/g)].map((m) => m[1]));
  const lines = [...service.matchAll(/^([A-Z][A-Za-z]+)=/gm)].map((m) => m[1]);
  assertNone(lines.filter((l) => !explained.has(l)).map((l) => `docs/hardening.md does not explain ${l}=`));
});

test("events that are documented are those that happen", async () => {
  const named = new Set([...pages.get("docs/operation.md").matchAll(/`((?:stream|reader|config|webhook|hook)\.[a-z]+)`/g)].map((m) => m[1]));
  const sources = (await readdir(join(ROOT, "src"), { recursive: true })).filter((f) => /(events|w?e?b?hook\w*|reload)\.c$/.test(f));
  const code = (await Promise.all(sources.map((f) => readFile(join(ROOT, "src", f), "utf8")))).join("\n");
  const made = new Set([...code.matchAll(/"((?:stream|reader|config|webhook|hook)\.[a-z]+)"/g)].map((m) => m[1]));
  made.delete("webhook.test"); // sent to one webhook that asked for it, and told in docs/webhooks.md
  assert.deepEqual([...named].sort(), [...made].sort());
});
