// SPDX-License-Identifier: Apache-2.0
// What docs/hardening.md says is so: what listens where by default, what is answered without credentials, the fixed limits, files.

import assert from "node:assert/strict";
import { stat } from "node:fs/promises";
import { request } from "node:http";
import { connect } from "node:net";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { connect as connectTls } from "node:tls";

import { Mast } from "./lib/mast.mjs";

let mast;

before(async () => {
  mast = await Mast.start({ config: { access: { users: [{ name: "boss", password: "a long one of its own", api: true }] } } });
});

after(async () => {
  await mast?.close();
});

const connects = (port, host) =>
  new Promise((done) => {
    const s = connect(port, host, () => done(true)).on("error", () => done(false));
    s.on("close", () => {}).setTimeout(5000, () => s.destroy());
    s.once("connect", () => s.destroy());
  });

test("by default only this machine's own address is listened on", async () => {
  for (const port of [mast.httpPort, mast.rtmpPort, mast.rtmpsPort]) {
    assert.equal(await connects(port, "127.0.0.1"), true, `${port}`);
    assert.equal(await connects(port, "127.0.0.2"), false, `${port}`);
  }
});

test("without credentials: the page and the probes, nothing else", async () => {
  const status = async (path, method = "GET") => (await fetch(mast.url + path, { method })).status;
  const doc = JSON.parse((await mast.fetch("/api/openapi.json", { headers: { Authorization: `Basic ${Buffer.from("boss:a long one of its own").toString("base64")}` } })).text);
  const open = [];
  for (const [path, methods] of Object.entries(doc.paths)) {
    for (const method of Object.keys(methods)) {
      const code = await status(path.replaceAll(/\{\w+\}/g, "some"), method.toUpperCase());
      if (code !== 401) {
        open.push(`${method} ${path} ${code}`);
      }
    }
  }
  // Who am I, log in (an empty body is refused) and out.
  const session = ["delete /api/v1/session 204", "get /api/v1/session 200", "post /api/v1/session 400"];
  // A file of HLS that cannot be is 404 before anybody is asked.
  assert.deepEqual(open.sort(), [...session, "get /healthz 200", "get /readyz 200", "get /{path}/~hls/{file} 404"].sort());
  assert.equal(await status("/"), 200);
  assert.equal(await status("/live/some/~hls/video1.m3u8"), 401);
});

test("requests over the limits are refused", async () => {
  const ask = (path, headers) =>
    new Promise((done, fail) => {
      const r = request(mast.url + path, { headers, agent: false }, (reply) => {
        reply.resume();
        done(reply.statusCode);
      });
      r.on("error", fail).end();
    });
  assert.equal(await ask(`/${"x".repeat(8200)}`), 414);
  assert.equal(await ask("/healthz", { "X-Long": "x".repeat(33000) }), 431);
  assert.equal(await ask("/healthz", Object.fromEntries(Array.from({ length: 101 }, (_, i) => [`X-${i}`, "1"]))), 431);
  assert.equal(await ask("/healthz", Object.fromEntries(Array.from({ length: 90 }, (_, i) => [`X-${i}`, "1"]))), 200);
});

test("TLS is 1.2 at least", async () => {
  const version = (options) =>
    new Promise((done) => {
      const s = connectTls({ host: "127.0.0.1", port: mast.rtmpsPort, rejectUnauthorized: false, ...options }, () => {
        done(s.getProtocol());
        s.destroy();
      });
      s.on("error", () => done(null));
    });
  // Security level 0: our own side would not offer the old ones else, and the test could not fail.
  const old = { minVersion: "TLSv1", maxVersion: "TLSv1.1", ciphers: "ALL:@SECLEVEL=0" };
  assert.equal(await version(old), null);
  assert.equal(await version({ maxVersion: "TLSv1.2" }), "TLSv1.2");
  assert.equal(await version({}), "TLSv1.3");
});

test("what is in the state folder is for the server alone", async () => {
  for (const name of ["state.db", "secret.key", "tls-self-signed.pem"]) {
    assert.equal((await stat(join(mast.dir, name))).mode & 0o777, 0o600, name);
  }
});
