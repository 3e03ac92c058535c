// SPDX-License-Identifier: Apache-2.0
// Changes while more than a hundred players watch (issue 3, "What must hold" 3): a reload is noticed by no client of a stream
// that it does not touch, an upgrade costs nobody more than one reconnect. Everything is counted by the players themselves
// (bench/load/crowd.c). A short form runs with every test; MAST_LONG=1 reloads and upgrades many times.

import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { connect as connectTls } from "node:tls";

import { makeCertificate } from "./lib/certificate.mjs";
import { childrenOf, cost, Crowd, Flapper, publishLoad } from "./lib/crowd.mjs";
import { eventually, freePort, Mast, stopChild } from "./lib/mast.mjs";

const LONG = process.env.MAST_LONG === "1";
const RELOADS = LONG ? 40 : 2; // rounds of five reloads
const GUESSES = 3; // more from one address would be taken for guessing at speed
const UPGRADES = LONG ? 20 : 1;
const STREAMS = ["live/kept-1", "live/kept-2"];

const BOSS = { headers: { authorization: `Basic ${Buffer.from("boss:the-boss-himself").toString("base64")}` } };
const USERS = [
  { name: "any", read: ["live/*"] },
  { name: "studio", password: "publishing", publish: ["live/kept-*"] },
  { name: "boss", password: "the-boss-himself", api: true },
];
const asStudio = "user=studio&pass=publishing";

function shownCertificate(port) {
  return new Promise((done, fail) => {
    const s = connectTls({ host: "127.0.0.1", port, rejectUnauthorized: false }, () => {
      done(s.getPeerCertificate().subject.CN);
      s.destroy();
    });
    s.on("error", fail);
  });
}

async function start() {
  const tls = { enabled: true, plain: true };
  const mast = await Mast.start({ config: { watch: false, log: { level: "info" }, http: { tls }, access: { users: USERS } } });
  const files = { certificate: join(mast.dir, "tls.crt"), key: join(mast.dir, "tls.key") };
  makeCertificate(files, "first");
  Object.assign(mast.config.http.tls, files);
  Object.assign(mast.config.rtmps, files);
  await reload(mast, () => {});
  return mast;
}

async function api(mast, path, options = {}) {
  const reply = await mast.fetch(path, { ...BOSS, ...options });
  return { status: reply.status, ...JSON.parse(reply.text) };
}

async function reload(mast, change) {
  change(mast.config);
  await mast.writeConfig();
  const reply = await api(mast, "/api/v1/reload", { method: "POST" });
  assert.equal(reply.status, 200, JSON.stringify(reply));
  return reply.changed.sort();
}

function audience(mast, size) {
  const [rtmp, http] = [mast.rtmpPort, mast.httpPort];
  return STREAMS.flatMap((path) => [
    ["rtmp", size * 2, 0, `rtmp://127.0.0.1:${rtmp}/${path}`],
    ["ws", size * 2, 0, `ws://127.0.0.1:${http}/${path}/mse`],
    ["wss", size, 0, `wss://127.0.0.1:${http}/${path}/mse`],
    ["hls", size, 0, `hls://127.0.0.1:${http}/${path}`],
    ["llhls", size, 0, `llhls://127.0.0.1:${http}/${path}`],
    ["llhlss", size, 0, `llhlss://127.0.0.1:${http}/${path}`],
  ]);
}

const onAir = (mast, path) =>
  eventually(`${path} is on air`, async () => {
    const s = await api(mast, `/api/v1/streams/${path}`);
    return s.on_air && s.ready && s;
  });

const everybodyPlays = (crowd) => {
  const from = crowd.reports;
  return eventually("everybody plays", () => crowd.reports > from + 1 && crowd.playing() && Object.values(crowd.last.groups).every((g) => g.frames > 0));
};

// Publisher and readers by their ids: a session that was replaced shows.
async function sessions(mast) {
  const all = await Promise.all(STREAMS.map((path) => api(mast, `/api/v1/streams/${path}`)));
  return all.flatMap((s) => [s.publisher.id, ...s.readers.map((r) => r.id)]).sort();
}

test(`${5 * RELOADS} reloads under load: no client of an untouched stream notices`, async (t) => {
  const mast = await start();
  const publishers = STREAMS.map((path) => publishLoad(mast.rtmp(`${path}?${asStudio}`), { report: 1 }));
  let crowd;
  try {
    await Promise.all(STREAMS.map((path) => onAir(mast, path)));
    crowd = new Crowd(audience(mast, 8), { every: 1 });
    await everybodyPlays(crowd);
    const before = await sessions(mast);
    const fds = cost(mast.pid).fds;
    assert.equal(before.length, 2 * (1 + 8 * 5 + 1));

    for (let i = 0; i < RELOADS; i++) {
      const name = makeCertificate(mast.config.http.tls, `certificate-${i}`);
      await reload(mast, () => {});
      assert.equal(await shownCertificate(mast.httpPort), name);
      assert.equal(await shownCertificate(mast.rtmpsPort), name);

      // Somebody new may publish something new, to another port.
      const port = await freePort();
      assert.deepEqual(
        await reload(mast, (c) => {
          c.access.users = [...USERS, { name: `guest-${i}`, password: "publishing", publish: [`live/new-${i}`] }];
          c.rtmps.port = port;
        }),
        ["access.users", "rtmps.port"],
      );
      mast.rtmpsPort = port;
      assert.equal(await shownCertificate(port), name);
      const added = publishLoad(mast.rtmp(`live/new-${i}?user=guest-${i}&pass=publishing`));
      await onAir(mast, `live/new-${i}`);
      await stopChild(added);

      const hosts = [`mast-${i}.example.org`];
      await reload(mast, (c) => {
        Object.assign(c.log, { level: i % 2 ? "info" : "debug" });
        Object.assign(c.http, { hosts, address: i % 2 ? "127.0.0.1" : "0.0.0.0" });
        c.streams = { second_publisher: i % 2 ? "refuse" : "takeover", continuity: `${5 + i}s` };
      });

      // And away with it.
      await reload(mast, (c) => (c.access.users = USERS));
      if (i < GUESSES) {
        const refused = publishLoad(mast.rtmp(`live/new-${i}?user=guest-${i}&pass=publishing`));
        await eventually("the guest may not any more", () => refused.exitCode !== null);
        assert.equal(refused.exitCode, 1);
      }
      await reload(mast, (c) => (c.log.level = "info"));
    }

    const from = { ...crowd.total };
    await everybodyPlays(crowd);
    assert.deepEqual(await sessions(mast), before);
    for (const [label, g] of Object.entries(crowd.total)) {
      const players = crowd.last.groups[label].players;
      assert.equal(g.joined, players, `${label}: ${g.joined} connections of ${players} players`);
    }
    assert.equal(crowd.troubles(), "");
    await eventually("descriptors are back", () => cost(mast.pid).fds <= fds + 2);
    assert.deepEqual(childrenOf(mast.pid), []);
    t.diagnostic(`longest wait for a frame, ms: ${Object.entries(from).map(([k, g]) => `${k} ${g.gap_ms}`).join(", ")}`);
  } catch (e) {
    e.message += `\nplayers: ${JSON.stringify(crowd?.total)}\nmast: ${mast.log.slice(-2000)}`;
    throw e;
  } finally {
    await crowd?.stop();
    await Promise.all(publishers.map((p) => stopChild(p)));
    await mast.close();
  }
});

test(`${UPGRADES} upgrade(s) under load: one reconnect for each player, publishers are back in the window, nothing is left`, async (t) => {
  const mast = await start();
  // Encoders come back by themselves, after a moment.
  const publishers = STREAMS.map((path) => new Flapper(mast.rtmp(`${path}?${asStudio}`), { upMs: 2 ** 30, downMs: 300 }));
  let crowd;
  try {
    await Promise.all(STREAMS.map((path) => onAir(mast, path)));
    crowd = new Crowd(audience(mast, 8), { every: 1 });
    await everybodyPlays(crowd);
    const { pid } = mast;
    const before = cost(pid);
    for (let i = 0; i < UPGRADES; i++) {
      const { started } = await api(mast, "/api/v1/version");
      mast.child.kill("SIGUSR2");
      const after = await eventually("the other program answers", async () => {
        const v = await api(mast, "/api/v1/version");
        return v.started !== started && v;
      });
      assert.equal(after.pid, pid);
      await Promise.all(STREAMS.map((path) => onAir(mast, path)));
      await everybodyPlays(crowd);
      for (const [label, g] of Object.entries(crowd.total)) {
        const players = crowd.last.groups[label].players;
        assert.ok(g.broken <= players * (i + 1), `${label}: ${g.broken} broken connections of ${players} players after ${i + 1}`);
        assert.equal(g.bad, 0, `${label}: bad`);
        assert.equal(g.backwards, 0, `${label}: backwards`);
      }
    }
    assert.ok(publishers.every((p) => p.count <= 1 + UPGRADES), `${publishers.map((p) => p.count)} publications`);
    const after = cost(pid);
    t.diagnostic(`descriptors ${before.fds} and ${after.fds}, threads ${before.threads} and ${after.threads}, ${before.rss} and ${after.rss} KiB`);
    t.diagnostic(`longest wait for a frame, ms: ${Object.entries(crowd.total).map(([k, g]) => `${k} ${g.gap_ms}`).join(", ")}`);
    await eventually("descriptors are back", () => cost(pid).fds <= before.fds + 2);
    assert.equal(after.threads, before.threads);
    assert.deepEqual(childrenOf(pid), []);
  } catch (e) {
    e.message += `\nplayers: ${JSON.stringify(crowd?.total)}\nmast: ${mast.log.slice(-2000)}`;
    throw e;
  } finally {
    await crowd?.stop();
    await Promise.all(publishers.map((p) => p.stop()));
    await mast.close();
  }
});
