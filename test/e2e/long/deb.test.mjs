// SPDX-License-Identifier: Apache-2.0
// The Debian packages: they build from the tree as it lies here, lintian is content, and every file is where it belongs. That they
// install, upgrade a running server and go without a trace is for tools/prove-setup DIR deb, which needs a chroot.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";

const ROOT = resolve(import.meta.dirname ?? new URL(".", import.meta.url).pathname, "../../..");
const BIN = resolve(process.env.MAST_BIN ?? join(ROOT, "build/src/app/mast"));
const run = promisify(execFile);

test("the packages build, are clean and whole", async () => {
  const folder = await mkdtemp(join(tmpdir(), "mast-deb-"));
  try {
    const debs = (await run(join(ROOT, "tools/make-deb"), [folder])).stdout.trim().split("\n");
    const find = (name) => debs.find((f) => f.startsWith(join(folder, `${name}_`))) ?? assert.fail(`no ${name} in ${debs}`);
    const library = (await readFile(join(ROOT, "debian/control"), "utf8")).match(/^Package: (libmast\d\S+)$/m)[1];
    const packages = ["mast", library, "libmast-dev"].map(find);
    await run("lintian", ["--allow-root", "--fail-on", "error,warning", ...packages]).catch((e) => assert.fail(e.stdout + e.stderr));

    const files = new Map();
    for (const line of (await run("dpkg-deb", ["-c", packages[0]])).stdout.trim().split("\n")) {
      const [mode, owner, , , , path] = line.split(/\s+/);
      assert.equal(owner, "root/root", line);
      files.set(path.slice(1), mode);
    }
    const commands = (await run(BIN, ["--complete", ""])).stdout.trim().split("\n").map((l) => l.split("\t")[0]);
    const wanted = ["/usr/bin/mast", "/usr/libexec/mast/mast-spawn", "/usr/share/mast/web/index.html", "/usr/lib/sysusers.d/mast.conf",
      "/usr/share/man/man1/mast.1.gz", "/usr/share/man/man5/mast.yml.5.gz", ...commands.map((c) => `/usr/share/man/man1/mast-${c}.1.gz`),
      "/usr/share/bash-completion/completions/mast", "/usr/share/zsh/vendor-completions/_mast", "/usr/share/fish/vendor_completions.d/mast.fish",
      "/usr/share/doc/mast/mast.example.yml", "/usr/share/doc/mast/docs/operation.md"];
    for (const file of wanted) {
      assert.ok(files.has(file), `${file} is not in the package`);
    }
    assert.ok([...files.keys()].some((f) => f.endsWith("lib/systemd/system/mast.service")));
    assert.equal(files.get("/etc/mast/mast.yml"), "-rw-r-----");
    assert.ok(![...files.keys()].some((f) => f.includes("/local/")));
    assert.match((await run("dpkg-deb", ["-f", packages[2], "Depends"])).stdout, new RegExp(`${library} \\(= `));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
