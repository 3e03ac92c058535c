// SPDX-License-Identifier: Apache-2.0
// A broadcast from a real OBS with a password: Mast starts its stream, a browser decodes it at the mountpoint, OBS is killed and
// returns, and has its own settings back at the end.

import assert from "node:assert/strict";
import { readFileSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, test } from "node:test";
import { createServer } from "node:tls";

import { Broadcasts, janusConfig } from "../lib/broadcast.mjs";
import { makeCertificate } from "../lib/certificate.mjs";
import { Janus } from "../lib/janus.mjs";
import { eventually, Mast } from "../lib/mast.mjs";
import { inOwnNetwork } from "../lib/netns.mjs";
import { Obs, startScreen } from "../lib/obs.mjs";
import { WebrtcBrowser } from "../lib/webrtc-page.mjs";
import { servantsOf } from "../lib/world.mjs";

const PASSWORD = "obs-secret-pw";
const OWN = { server: "rtmp://127.0.0.1:9/own", key: "own-key", use_auth: false };
const H264 = "packetization-mode=1;profile-level-id=42e01f;level-asymmetry-allowed=1";
const SLOW = { timeout: 60000 };

// OBS speaks no TLS; what listens in front of it does. The certificate is the only authority that the server trusts.
const CERTIFICATE = join(tmpdir(), `mast-obs-${process.pid}.crt`);
const KEY = join(tmpdir(), `mast-obs-${process.pid}.key`);

async function tlsFront(port) {
  const front = createServer({ cert: readFileSync(CERTIFICATE), key: readFileSync(KEY) }, (client) => {
    const server = connect(port, "127.0.0.1");
    client.pipe(server).pipe(client);
    client.on("error", () => server.destroy());
    server.on("error", () => client.destroy());
    server.on("close", () => client.destroy());
    client.on("close", () => server.destroy());
  });
  await new Promise((done) => front.listen(0, "127.0.0.1", done));
  return front;
}

if (inOwnNetwork(import.meta.url)) {
  defineTests();
}

function defineTests() {
  let screen;
  let obs;
  let janus;
  let browser;
  let mast;
  let broadcasts;

  before(async () => {
    screen = await startScreen();
    obs = await Obs.start(screen, { password: PASSWORD });
    await obs.service(OWN);
    janus = await Janus.start();
    browser = await WebrtcBrowser.start();
    makeCertificate({ certificate: CERTIFICATE, key: KEY }, "obs", { for: "IP:127.0.0.1" });
    mast = await Mast.start({ config: janusConfig(janus), env: { SSL_CERT_FILE: CERTIFICATE } });
    broadcasts = new Broadcasts(mast);
  });

  afterEach(async () => {
    janus.check();
    await browser.clear();
  });

  after(async () => {
    await browser?.close();
    await mast?.close();
    await janus?.close();
    await obs?.close();
    await screen?.close();
    rmSync(CERTIFICATE, { force: true });
    rmSync(KEY, { force: true });
  });

  const start = (id, more) =>
    broadcasts.start({
      id,
      source_kind: "obs",
      relay_kind: "ffmpeg",
      stream: "live/obs",
      obs_port: obs.port,
      obs_password: PASSWORD,
      mountpoint_spec: {
        id: 9100,
        media: [
          { type: "video", mid: "v", port: 0, pt: 96, codec: "h264", fmtp: H264 },
          { type: "audio", mid: "a", port: 0, pt: 111, codec: "opus" },
        ],
      },
      ...more,
    });
  const settings = async () => {
    const { server, key, use_auth } = await obs.settings();
    return { server, key, use_auth };
  };
  const stop = async (id) => {
    await broadcasts.stop(id);
    await eventually("OBS is idle", async () => !(await obs.status()).outputActive);
    assert.deepEqual(await settings(), OWN);
  };
  const decodes = async () => {
    const viewer = await browser.watch(janus, { id: 9100 });
    assert.equal((await viewer.sees()).codec, "h264");
    await viewer.hears();
    await viewer.leave();
  };

  test("a wrong password is refused in OBS' words, and nothing is left", { timeout: 60000 }, async () => {
    await start("wrong", { obs_password: "wrong" });
    const { reason } = await broadcasts.reaches("wrong", "failed");
    assert.match(reason, /^obs: .*OBS refuses the password/);
    assert.deepEqual(await settings(), OWN);
  });

  for (const relay_kind of ["ffmpeg", "gstreamer"]) {
    test(`a browser decodes what OBS sends, by ${relay_kind}; OBS has its settings back`, { timeout: 120000 }, async () => {
      await start(relay_kind, { relay_kind });
      await broadcasts.reaches(relay_kind, "running", SLOW);
      assert.equal((await settings()).server, mast.rtmp("live"));
      await decodes();
      await stop(relay_kind);
    });
  }

  test("OBS without B pictures, by the builtin relay: no other program runs", { timeout: 120000 }, async () => {
    await obs.noBPictures();
    await start("builtin", { relay_kind: "builtin" });
    await broadcasts.reaches("builtin", "running", SLOW);
    await decodes();
    const { relay_info } = await broadcasts.show("builtin");
    assert.deepEqual([relay_info.kind, relay_info.why], ["builtin", undefined]);
    assert.deepEqual(servantsOf(mast.pid).filter((p) => !/mast-(av|spawn)/.test(p.command)), []); // prettier-ignore
    await stop("builtin");
    await obs.noBPictures(false);
  });

  test("OBS behind TLS, sent on by the builtin relay or what stands in for it", { timeout: 120000 }, async () => {
    const front = await tlsFront(obs.port);
    try {
      await start("secure", { relay_kind: "builtin", obs_port: front.address().port, obs_secure: true });
      await broadcasts.reaches("secure", "running", SLOW);
      // Its encoder makes B pictures that others refer to, which ffmpeg encodes anew.
      const { kind, why } = (await broadcasts.show("secure")).relay_info;
      assert.ok(kind === "builtin" || why, JSON.stringify({ kind, why }));
      await decodes();
      await stop("secure");
      await start("clear", { relay_kind: "builtin", obs_port: front.address().port });
      assert.ok((await broadcasts.reaches("clear", "failed", SLOW)).reason);
    } finally {
      front.close();
    }
  });

  test("OBS is killed and returns: its stream is begun again, its settings are put back at the end", { timeout: 240000 }, async () => {
    await start("killed");
    await broadcasts.reaches("killed", "running", SLOW);
    await obs.kill();
    await broadcasts.reaches("killed", "degraded");
    await obs.run();
    await broadcasts.reaches("killed", "running", SLOW);
    await decodes();
    await stop("killed");
  });
}
