// SPDX-License-Identifier: Apache-2.0
// What is installed beside the program: the manual, the completion of three shells, the library. All of it comes from the
// program's own tables or from the build folder, and is tried as users do.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, dirname, join, resolve } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";

import { Mast } from "./lib/mast.mjs";

const ROOT = resolve(import.meta.dirname ?? new URL(".", import.meta.url).pathname, "../..");
const BIN = resolve(process.env.MAST_BIN ?? join(ROOT, "build/src/app/mast"));
const BUILD = resolve(process.env.MAST_BUILD ?? join(ROOT, "build"));
const run = promisify(execFile);

let folder;
let commands;

const mast = async (...args) => (await run(BIN, args)).stdout;
// Each offer as [word, what it is].
const offers = async (...words) => (await mast("--complete", ...words)).split("\n").filter(Boolean).map((l) => l.split("\t"));

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "mast-packages-"));
  commands = (await offers("")).map(([word]) => word);
});

after(() => rm(folder, { recursive: true, force: true }));

// A page as readers see it, and what groff complains about.
async function page(name) {
  const source = join(folder, name);
  await writeFile(source, await mast("help", "--man", name));
  const { stdout, stderr } = await run("groff", ["-man", "-ww", "-Tutf8", "-P-cbou", "-rLL=200n", source]);
  // A hyphen at the end of a line, and the narrow ones that groff sets, are not what people type.
  return { text: stdout.replaceAll("\u2010\n", "").replaceAll("\u2010", "-").replaceAll("\u2212", "-"), complaints: stderr };
}

test("the manual has every command with every option, and renders", async () => {
  assert.ok(commands.includes("serve") && commands.includes("help"), `commands: ${commands}`);
  const main = await page("mast");
  assert.equal(main.complaints, "");
  for (const command of commands) {
    assert.match(main.text, new RegExp(`mast-${command}\\(1\\)`));
    const { text, complaints } = await page(command);
    assert.equal(complaints, "", command);
    const help = await mast("help", command);
    const options = [...help.matchAll(/^ {2}(--[a-z-]+)/gm)].map((m) => m[1]);
    const subs = (await offers(command, "")).map(([word]) => word).filter((word) => help.includes(`\n  ${word}`));
    assert.ok(options.includes("--help"), help);
    for (const word of [...options, ...subs.map((s) => `mast ${command} ${s}`)]) {
      assert.ok(text.includes(word), `mast-${command}(1) lacks ${word}`);
    }
  }
});

test("mast.yml(5) has every key", async () => {
  const { text, complaints } = await page("mast.yml");
  assert.equal(complaints, "");
  const keys = [...(await mast("check", "--reference")).matchAll(/^\| `([^`]+)` \|/gm)].map((m) => m[1]);
  assert.ok(keys.length > 40, `only ${keys.length} keys`);
  for (const key of keys) {
    assert.match(text, new RegExp(`^ +${key.replaceAll(/[.[\]]/g, "\\$&")}( |$)`, "m"));
  }
  assert.match(text, /http\.port\n.*\n +\(integer, 0 to 65535; default 8888\)/);
  assert.match(text, /rtmp\.enabled\n.*\n +\(true or false; default true; needs a restart\)/);
});

test("wrong calls are refused with the usage, and --help explains", async () => {
  const wrong = [
    [["nosuch"], "there is no command 'nosuch'"],
    [["stream"], "usage: mast stream ls|show|kick"],
    [["stream", "show"], "usage: mast stream show PATH"],
    [["stream", "show", "a", "b"], "'b' is too much"],
    [["serve", "--nosuch"], "there is no option '--nosuch'"],
    [["serve", "--config"], "--config needs a value: FILE"],
    [["serve", "--demo=1"], "--demo takes no value"],
    [["check", "--json", "--json"], "--json is given twice"],
    [["key", "create"], "either --publish or --scope"],
  ];
  for (const [args, text] of wrong) {
    const e = await run(BIN, args).then(() => assert.fail(`mast ${args.join(" ")} was taken`), (failure) => failure);
    assert.equal(e.code, 2, args.join(" "));
    assert.ok(e.stderr.includes(text), `mast ${args.join(" ")}: ${e.stderr}`);
  }
  assert.match(await mast("stream", "kick", "--help"), /^usage: mast stream kick PATH \[SESSION\]/);
  assert.equal(await mast("key", "--help"), await mast("help", "key"));
});

// Types `line` in a shell and returns what is offered, sorted.
const shells = {
  async bash(line, env) {
    const script = `source "$1"; COMP_LINE=$2; COMP_POINT=\${#2}; _mast "$3"; printf '%s\\n' "\${COMPREPLY[@]}"`;
    return run("bash", ["--norc", "-c", script, "-", join(ROOT, "packaging/completion/mast.bash"), line, BIN], { env });
  },
  // The system's own functions stand aside: what counts is what they are given.
  async zsh(line, env) {
    const script = `_call_program() { shift; eval "$@" }
      _describe() { local o; for o in "\${(@P)argv[-1]}"; do print -r -- "\${o%%:*}"; done }
      _files() { print FILES "$@" }; compset() { return 0 }
      line=$2; words=("\${(@s: :)line}"); words[1]=$3; CURRENT=$#words; source $1; true`;
    return run("zsh", ["-fc", script, "-", join(ROOT, "packaging/completion/_mast"), line, BIN], { env });
  },
  async fish(line, env) {
    return run("fish", ["--no-config", "-c", `source $argv[1]; complete -C $argv[2]`, join(ROOT, "packaging/completion/mast.fish"), line], { env });
  },
};

async function complete(shell, line, env = {}) {
  const { stdout, stderr } = await shells[shell](line, {
    ...process.env, LC_ALL: "C.UTF-8", HOME: folder, PATH: dirname(BIN) + delimiter + process.env.PATH, ...env });
  assert.equal(stderr, "", `${shell}: ${line}`);
  return stdout.split("\n").map((l) => l.split("\t")[0]).filter(Boolean).sort();
}

test("bash, zsh and fish complete commands, options, files and the streams of a running server", async () => {
  await writeFile(join(folder, "one.yml"), "");
  const server = await Mast.start({ args: ["--demo"] });
  try {
    await server.onAir("live/demo");
    for (const shell of Object.keys(shells)) {
      const env = { MAST_URL: server.url };
      assert.deepEqual(await complete(shell, "mast ", env), [...commands].sort(), shell);
      assert.deepEqual(await complete(shell, "mast str", env), ["stream"], shell);
      assert.deepEqual(await complete(shell, "mast stream k", env), ["kick"], shell);
      assert.deepEqual(await complete(shell, "mast serve --d", env), ["--demo"], shell);
      assert.deepEqual(await complete(shell, "mast key create --pub", env), ["--publish"], shell);
      assert.deepEqual(await complete(shell, "mast stream show li", env), ["live/demo"], shell);
      assert.deepEqual(await complete(shell, `mast stream --url ${server.url} show `, { MAST_URL: "http://127.0.0.1:1" }), ["live/demo"], shell);
      assert.deepEqual(await complete(shell, "mast stream show ", { MAST_URL: "http://127.0.0.1:1" }), [], shell);
    }
    assert.deepEqual(await complete("bash", `mast check ${folder}/on`), [`${folder}/one.yml`]);
    assert.deepEqual(await complete("bash", `mast serve --config=${folder}/on`), [`${folder}/one.yml`]);
    assert.deepEqual(await complete("fish", `mast check ${folder}/on`), [`${folder}/one.yml`]);
    assert.deepEqual(await complete("zsh", `mast check ${folder}/on`), ["FILES"]);
  } finally {
    await server.close();
  }
});

test("a health check finds the server where the configuration says it is, also behind a self-made certificate", async () => {
  const ready = (config) => run(BIN, ["doctor", "--ready"], { env: { ...process.env, MAST_CONFIG: config } });
  const server = await Mast.start({ config: { http: { tls: { enabled: true } } } });
  const { configFile } = server;
  try {
    assert.deepEqual(await ready(configFile), { stdout: "", stderr: "" });
    await server.stop();
    const refused = await ready(configFile).then(() => assert.fail("it is ready"), (e) => e);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /https:\/\/127\.0\.0\.1:/);
  } finally {
    await server.close();
  }
});

async function filesBelow(dir) {
  const all = await readdir(dir, { recursive: true, withFileTypes: true });
  return all.filter((e) => !e.isDirectory()).map((e) => join(e.parentPath ?? e.path, e.name).slice(dir.length + 1));
}

test("an install below a folder is whole, its library links, and an uninstall leaves nothing", async (t) => {
  const dest = join(folder, "dest");
  const options = JSON.parse((await run("meson", ["introspect", BUILD, "--buildoptions"])).stdout);
  const option = (name) => options.find((o) => o.name === name).value;
  const prefix = option("prefix");
  const lib = option("libdir");
  // What `make uninstall` goes by: that of a real install is put back.
  const record = join(BUILD, "meson-logs/install-log.txt");
  const kept = await readFile(record).catch(() => null);
  t.after(() => (kept ? writeFile(record, kept) : rm(record, { force: true })));
  await run("meson", ["install", "-C", BUILD, "--no-rebuild", "--quiet", "--destdir", dest]);
  const root = join(dest, prefix);
  const found = (await filesBelow(root)).filter((f) => !f.startsWith("share/doc/mast/docs/"));
  const page = found.filter((f) => f.startsWith("share/mast/web/"));
  assert.ok(page.includes("share/mast/web/index.html") && page.length > 2, `${page}`);
  const { version } = JSON.parse(await mast("version", "--json"));
  const expected = [
    "bin/mast",
    "libexec/mast/mast-spawn",
    "libexec/mast/mast-av",
    ...["broadcast", "core", "janus", "janus_backend", "lifecycle", "mast", "obs", "process", "relay", "service", "version"].map((h) => `include/mast/${h}.h`),
    `${lib}/libmast.a`,
    `${lib}/libmast.so`,
    `${lib}/libmast.so.${version.replace(/\.\d+$/, "")}`,
    `${lib}/libmast.so.${version}`,
    `${lib}/pkgconfig/libmast.pc`,
    "lib/systemd/system/mast.service",
    "lib/sysusers.d/mast.conf",
    "share/bash-completion/completions/mast",
    "share/fish/vendor_completions.d/mast.fish",
    "share/zsh/site-functions/_mast",
    "share/man/man1/mast.1",
    ...commands.map((c) => `share/man/man1/mast-${c}.1`),
    "share/man/man5/mast.yml.5",
    "share/doc/mast/README.md",
    "share/doc/mast/CHANGELOG.md",
    "share/doc/mast/mast.example.yml",
  ];
  assert.deepEqual(found.filter((f) => !page.includes(f)).sort(), expected.sort());
  assert.ok(existsSync(join(root, "share/doc/mast/docs/operation.md")));

  assert.equal((await run(join(root, "bin/mast"), ["version"])).stdout, `mast ${version}\n`);
  const unit = await readFile(join(root, "lib/systemd/system/mast.service"), "utf8");
  assert.match(unit, new RegExp(`^ExecStart=${prefix}/bin/mast serve$`, "m"));

  // A program against what is there, by pkg-config, in both ways.
  await writeFile(join(folder, "embed.c"), '#include <mast/mast.h>\n#include <stdio.h>\nint main(void)\n{\n    return puts(mast_version()) < 0;\n}\n');
  const env = { ...process.env, PKG_CONFIG_SYSROOT_DIR: dest, PKG_CONFIG_PATH: join(root, lib, "pkgconfig"), LD_LIBRARY_PATH: join(root, lib) };
  const ask = async (...args) => (await run("pkg-config", args, { env })).stdout.trim().split(/\s+/);
  const shared = await ask("--cflags", "--libs", "libmast");
  // The static one with the system's shared libraries: `--static` would ask for those of all that libcurl can do.
  const others = (await run("pkg-config", ["--libs", ...(await ask("--print-requires-private", "libmast"))])).stdout.trim().split(/\s+/);
  const archive = [...shared.map((f) => (f === "-lmast" ? "-l:libmast.a" : f)), ...others, "-lm", "-pthread"];
  const sanitize = option("b_sanitize") === "none" ? [] : [`-fsanitize=${option("b_sanitize")}`];
  for (const flags of [shared, archive]) {
    await run("cc", [join(folder, "embed.c"), "-o", join(folder, "embed"), ...sanitize, ...flags], { env });
    assert.equal((await run(join(folder, "embed"), [], { env })).stdout, `${version}\n`, flags.join(" "));
  }

  await run("ninja", ["-C", BUILD, "uninstall"]);
  assert.ok(!existsSync(dest), "something is left");
});

test("the Debian packaging knows the tree's version and what it is built with", async () => {
  const read = (f) => readFile(join(ROOT, f), "utf8");
  const version = (await read("meson.build")).match(/version: '([^']+)'/)[1];
  assert.match(await read("debian/changelog"), new RegExp(`^mast \\(${version}\\)`));
  assert.match(await read("debian/control"), new RegExp(`^Package: libmast${version.replace(/\.\d+$/, "")}$`, "m"));
  // What compiling needs, as tools/deps installs it; the compiler, libc and make are there for every package.
  const build = (await read("tools/deps")).match(/^build="([^"]+)"/m)[1].split(/\s+/).filter((p) => !["gcc", "libc6-dev", "make"].includes(p));
  const av = (await read("tools/deps")).match(/^av="([^"]+)"/m)[1].split(/\s+/);
  const field = (await read("debian/control")).match(/^Build-Depends: ([\s\S]*?)\n\S/m)[1];
  assert.deepEqual(field.split(/,\s*/).filter((p) => !p.startsWith("debhelper-compat")).sort(), [...build, ...av].sort());
  const dev = (await read("debian/control")).match(/^Package: libmast-dev[\s\S]*?^Depends: ([\s\S]*?)\n\S/m)[1].split(/,\s*/);
  for (const library of build.filter((p) => p.endsWith("-dev"))) {
    assert.ok(dev.includes(library), `libmast-dev does not depend on ${library}`);
  }
});
