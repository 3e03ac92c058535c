// SPDX-License-Identifier: Apache-2.0
// Chromium as the two ends of a broadcast: pages that publish into a VideoRoom of Janus with fake devices, and pages that watch
// a mountpoint and say what they decode. One browser for all pages of a test file, in a network of its own (netns.mjs).

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";

import { startBrowser } from "./browser.mjs";
import { eventually, PATIENCE_MS } from "./mast.mjs";

const ARGS = [
  "--use-fake-device-for-media-stream",
  "--use-fake-ui-for-media-stream",
  // A viewer, which has no camera, gathers no candidates but names that nobody resolves; and pages that lie behind others work.
  "--disable-features=WebRtcHideLocalIpsWithMdns,LocalNetworkAccessChecks,CalculateNativeWinOcclusion",
  "--disable-background-media-suspend",
  "--disable-background-timer-throttling",
  "--disable-backgrounding-occluded-windows",
  "--disable-renderer-backgrounding",
];

// At an address of its own: devices are for secure pages, which 127.0.0.1 is.
async function servePage() {
  const script = await readFile(new URL("webrtc-client.js", import.meta.url));
  const server = createServer((request, reply) => {
    const isScript = request.url === "/client.js";
    reply.setHeader("content-type", isScript ? "text/javascript" : "text/html");
    reply.end(isScript ? script : '<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><body><script type="module" src="/client.js"></script>');
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  return server;
}

class RtcPage {
  constructor(page, options) {
    this.page = page;
    this.options = options;
  }

  // A function of webrtc-client.js.
  call(name, argument) {
    return this.page.evaluate(([n, a]) => window.rtc[n](a), [name, argument]);
  }

  // {tracks: [{mid, kind, codec, frames, width, height, peak, hz, packets, ...}], connection, closed, messages, events}
  stats() {
    return this.call("stats");
  }

  // Any request of the plugin, by this page's handle.
  ask(body) {
    return this.call("ask", body);
  }

  // Says goodbye to Janus, and goes.
  async leave() {
    await this.call("leave");
    await this.vanish();
  }

  // As a browser that crashed.
  async vanish() {
    await this.page.close();
  }
}

export class Publisher extends RtcPage {
  // Joins and publishes: also again, when Janus is another one. Sets id and mids ({audio, video, data: [mid]}).
  async publish() {
    Object.assign(this, await this.call("publish", this.options));
    return this;
  }

  // Stops sending, and stays in the room.
  unpublish() {
    return this.call("unpublish");
  }

  // Sends again after unpublish(), as the same participant.
  async republish() {
    Object.assign(this, await this.call("sendAll"));
  }

  // By the data channel.
  say(text) {
    return this.call("say", text);
  }
}

export class Viewer extends RtcPage {
  // Also again, when the mountpoint or Janus is another one.
  async watch() {
    await this.call("watch", this.options);
    return this;
  }

  // Waits until it decodes that many more pictures than now, of the first video track or the one of this mid.
  async sees({ frames = 15, mid, within = PATIENCE_MS } = {}) {
    const look = async () => (await this.stats()).tracks.find((t) => t.kind === "video" && (!mid || t.mid === mid));
    const before = (await look())?.frames ?? 0;
    let last;
    return eventually(
      `${frames} pictures`,
      async () => {
        last = await look();
        return last?.frames >= before + frames && last;
      },
      { timeout: within, every: 100 },
    ).catch((e) => {
      throw new Error(`${e.message}, from ${before}: ${JSON.stringify(last)}`);
    });
  }

  // Waits until it hears something, or a tone of about hz, in the first audio track or the one of this mid.
  async hears({ hz, mid, within = PATIENCE_MS } = {}) {
    let last;
    return eventually(
      hz ? `a tone of ${hz} Hz` : "a sound",
      async () => {
        last = (await this.stats()).tracks.find((t) => t.kind === "audio" && (!mid || t.mid === mid));
        return last?.peak > 0.01 && (!hz || Math.abs(last.hz - hz) < 15) && last;
      },
      { timeout: within, every: 100 },
    ).catch((e) => {
      throw new Error(`${e.message}: ${JSON.stringify(last)}`);
    });
  }
}

export class WebrtcBrowser {
  static async start() {
    const browser = new WebrtcBrowser();
    browser.server = await servePage();
    browser.chromium = await startBrowser({ args: ARGS });
    return browser;
  }

  async #open(Kind, janus, options) {
    const page = await this.chromium.newPage();
    await page.goto(`http://127.0.0.1:${this.server.address().port}/`);
    await page.waitForFunction(() => window.rtc);
    return new Kind(page, { url: janus.url, apiSecret: janus.apiSecret, ...options });
  }

  // room, pin, id, display; video: "h264", "vp8" or false; audio: true for the device's beeps, [440, 880] for a track with each
  // tone, or false; data; simulcast; size, rate.
  async publish(janus, options) {
    const defaults = { video: "h264", audio: true, data: false, simulcast: false, size: [320, 240], rate: 30 };
    const publisher = await this.#open(Publisher, janus, { ...defaults, ...options });
    return publisher.publish();
  }

  // id, pin of the mountpoint.
  async watch(janus, options) {
    const viewer = await this.#open(Viewer, janus, options);
    return viewer.watch();
  }

  // For afterEach: every page goes, without a goodbye.
  async clear() {
    const [first, ...others] = this.chromium.context.pages(); // the first keeps the browser running
    await Promise.all(others.map((p) => p.close()));
    await first?.goto("about:blank");
  }

  async close() {
    await this.chromium?.close();
    this.server.closeAllConnections?.();
    await new Promise((done) => this.server.close(done));
  }
}
