// SPDX-License-Identifier: Apache-2.0
// OBS Studio, with the settings it comes with, publishes; the page plays (issue 2, 3 and 6.3).

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";

import { playerState, startBrowser, waitPlaying } from "../lib/browser.mjs";
import { eventually, Mast, sleep } from "../lib/mast.mjs";
import { inOwnNetwork } from "../lib/netns.mjs";
import { Obs, startScreen } from "../lib/obs.mjs";

const PLAY_S = 10;
// OBS decodes what is percent-encoded in a key itself, so that an "&" cannot be in it; all else can.
const PASSWORD = "a secret+of 100 % x";

if (inOwnNetwork(import.meta.url)) {
  defineTests();
}

function defineTests() {
  let screen;
  let obs;
  let browser;
  let mast;

  before(async () => {
    screen = await startScreen();
    obs = await Obs.start(screen);
    browser = await startBrowser();
  });

  afterEach(async () => {
    await obs.stopStream().catch(() => {}); // what a failed test left on air
    await mast?.close();
    mast = null;
  });

  after(async () => {
    await browser?.close();
    await obs?.close();
    await screen?.close();
  });

  const server = () => mast.rtmp("live");
  const tell = (e) => {
    e.message += `\nOBS: ${obs.log.slice(-3000)}\nmast: ${mast.log.slice(-3000)}`;
    throw e;
  };

  test("the page plays what OBS sends, and goes on when OBS stops, starts, and is cut off", { timeout: 180000 }, async () => {
    mast = await Mast.start();
    try {
      await obs.service({ server: server(), key: "obs" });
      await obs.startStream();
      await obs.started();
      const s = await mast.onAir("live/obs");
      const tracks = Object.fromEntries(s.tracks.map((t) => [t.codec, t]));
      assert.deepEqual([tracks.h264.width, tracks.h264.height, tracks.h264.fps], [640, 360, 30]);
      assert.deepEqual([tracks.aac.sample_rate, tracks.aac.channels], [48000, 2]);

      const page = await browser.newPage();
      await page.goto(`${mast.url}/live/obs`);
      await waitPlaying(page);
      const first = await playerState(page);
      await sleep(PLAY_S * 1000);
      const last = await playerState(page);
      const report = JSON.stringify({ first, last });
      assert.ok(last.currentTime - first.currentTime > PLAY_S * 0.9, report);
      assert.ok(last.decodedFrames - first.decodedFrames > 25 * PLAY_S, report);
      assert.ok(last.decodedAudioBytes - first.decodedAudioBytes > 1000 * PLAY_S, report);

      await obs.stopStream();
      await page.waitForFunction(() => window.mast.state === "waiting", null, { timeout: 10000, polling: 50 });
      await obs.startStream();
      await obs.started();
      await waitPlaying(page);

      // OBS comes back by itself when the connection is lost.
      await fetch(`${mast.url}/api/v1/streams/kick/live/obs`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ session: "publisher" }),
      });
      await page.waitForFunction(() => window.mast.state === "waiting", null, { timeout: 10000, polling: 50 });
      await waitPlaying(page);
      const end = await playerState(page);
      assert.equal(end.connections, 1, "one WebSocket all along");
      assert.equal(end.rebuilds, 1, "one MediaSource all along");
      assert.deepEqual(page.mastErrors, []);
      await page.close();
    } catch (e) {
      tell(e);
    }
  });

  test("user and password behind the key", { timeout: 60000 }, async () => {
    mast = await Mast.start({ config: { access: { users: [{ name: "studio", password: PASSWORD, publish: ["live/*"], api: true }] } } });
    const authorization = `Basic ${Buffer.from(`studio:${PASSWORD}`).toString("base64")}`;
    const onAir = async () => {
      const reply = await fetch(`${mast.url}/api/v1/streams/live/obs`, { headers: { authorization } });
      return reply.ok && (await reply.json()).on_air;
    };
    try {
      await obs.service({ server: server(), key: "obs" });
      await obs.startStream();
      await eventually("a publisher without a password is refused", () => /publish refused/.test(mast.log));
      await obs.stopped();
      assert.equal(await onAir(), false);

      await obs.service({ server: server(), key: `obs?user=studio&pass=${encodeURIComponent(PASSWORD)}` });
      await obs.startStream();
      await obs.started();
      await eventually("on air", onAir);
      assert.ok(!mast.wholeLog.includes(PASSWORD) && !mast.wholeLog.includes(encodeURIComponent(PASSWORD)), "no secret in the log");
    } catch (e) {
      tell(e);
    }
  });

  test("OBS's own user and password", { timeout: 60000 }, async () => {
    const users = [{ name: "studio", password: PASSWORD, publish: ["live/*"], api: true }];
    mast = await Mast.start({ config: { access: { users }, rtmp: { challenge: true } } });
    try {
      const service = { server: server(), key: "obs", use_auth: true, username: "studio" };
      await obs.service({ ...service, password: "something else" });
      await obs.startStream();
      await eventually("a wrong password is refused", () => /publish refused: these credentials/.test(mast.log));
      await obs.stopped();

      await obs.service({ ...service, password: PASSWORD });
      await obs.startStream();
      await obs.started();
      await eventually("on air", () => mast.log.includes("live/obs: preparing -> live"));
      assert.ok(!mast.log.includes(PASSWORD), "no secret in the log");
    } catch (e) {
      tell(e);
    }
  });
}
