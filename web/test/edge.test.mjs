// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import test from "node:test";

import { EdgeController } from "../.test/player/edge.js";

// Plays made-up time: media is buffered up to end(t), the position moves at the decided rate.
function run(controller, { from = 0, seconds, position, end, stepMs = 50 }) {
  const log = { position, rates: new Set(), seeks: [] };
  for (let ms = from * 1000; ms < (from + seconds) * 1000; ms += stepMs) {
    const d = controller.update({
      nowMs: ms,
      currentTime: log.position,
      ranges: [{ start: 0, end: end(ms / 1000) }],
      stuck: false,
    });
    if (d.seekTo !== null) {
      log.seeks.push({ at: ms / 1000, from: log.position, to: d.seekTo });
      log.position = d.seekTo;
    }
    log.rates.add(d.rate);
    log.position += (d.rate * stepMs) / 1000;
  }
  return log;
}

test("at the target nothing is done", () => {
  const log = run(new EdgeController(), { seconds: 30, position: 99.75, end: (t) => 100 + t });
  assert.deepEqual([...log.rates], [1]);
  assert.deepEqual(log.seeks, []);
});

test("a little too late is played away without a seek, and no further than the target", () => {
  const log = run(new EdgeController(), { seconds: 60, position: 99.2, end: (t) => 100 + t });
  assert.deepEqual(log.seeks, []);
  assert.ok(Math.max(...log.rates) <= 1.1);
  const behind = 160 - log.position;
  assert.ok(behind > 0.1 && behind < 0.4, `behind ${behind}`);
});

test("far too late seeks to the edge", () => {
  const log = run(new EdgeController(), { seconds: 10, position: 90, end: (t) => 100 + t });
  assert.equal(log.seeks.length, 1);
  const seek = log.seeks[0];
  assert.ok(seek.at < 3);
  assert.ok(Math.abs(100 + seek.at - seek.to - 0.32) < 0.01);
});

test("bursts are not taken for lateness: the least of the window counts", () => {
  // 0.8 s arrive at once, every 0.8 s: right before a burst only 0.2 s are left.
  const log = run(new EdgeController(), { seconds: 30, position: 99.0, end: (t) => 100 + Math.floor(t / 0.8) * 0.8 });
  assert.deepEqual(log.seeks, []);
  assert.ok(130 - log.position > 0.7, `went ahead to ${log.position}`);
});

test("running low plays slower until there is some slack again", () => {
  const log = run(new EdgeController(), { seconds: 20, position: 99.99, end: (t) => 100 + t });
  assert.ok(log.rates.has(0.96));
  assert.ok(120 - log.position > 0.05);
});

test("a gap is left for the newest range once the old one is played out", () => {
  const c = new EdgeController();
  const ranges = [
    { start: 0, end: 10 },
    { start: 15, end: 15.4 },
  ];
  assert.equal(c.update({ nowMs: 0, currentTime: 9.5, ranges: [ranges[0]], stuck: false }).seekTo, null);
  assert.equal(c.update({ nowMs: 100, currentTime: 9.98, ranges: [ranges[0]], stuck: false }).seekTo, null);
  // A first sliver of the new range is not enough to start with.
  const sliver = [ranges[0], { start: 15, end: 15.03 }];
  assert.equal(c.update({ nowMs: 200, currentTime: 10, ranges: sliver, stuck: false }).seekTo, null);
  assert.ok(Math.abs(c.update({ nowMs: 300, currentTime: 10, ranges, stuck: false }).seekTo - 15.08) < 0.001);
});

test("a position outside of everything buffered goes to the edge, forwards and backwards", () => {
  for (const currentTime of [0, 5000]) {
    const d = new EdgeController().update({ nowMs: 0, currentTime, ranges: [{ start: 100, end: 102 }], stuck: false });
    assert.ok(Math.abs(d.seekTo - 101.68) < 0.001);
  }
});

test("a clock that ran past the end of what is buffered is left alone", () => {
  const c = new EdgeController();
  const ranges = [
    { start: 0, end: 10 },
    { start: 15, end: 15.2 },
  ];
  for (let ms = 0; ms < 3000; ms += 100) {
    const currentTime = 15.2 + Math.min(0.4, ms / 1000);
    assert.equal(c.update({ nowMs: ms, currentTime, ranges, stuck: ms > 500 }).seekTo, null);
  }
});

test("a hole that the ranges do not show is passed after a moment", () => {
  const c = new EdgeController();
  const at = (nowMs, end) => c.update({ nowMs, currentTime: 5, ranges: [{ start: 0, end }], stuck: true }).seekTo;
  assert.equal(at(0, 5.5), null);
  assert.equal(at(200, 5.7), null);
  assert.ok(at(500, 6.0) > 5.5);
});

test("being stuck without data is waited out", () => {
  const c = new EdgeController();
  for (let ms = 0; ms < 5000; ms += 100) {
    const d = c.update({ nowMs: ms, currentTime: 5, ranges: [{ start: 0, end: 5.02 }], stuck: true });
    assert.equal(d.seekTo, null);
  }
});

test("stalls raise the target, quiet time lowers it to where it was", () => {
  const c = new EdgeController();
  const base = c.targetSlack;
  for (let i = 0; i < 20; i++) {
    c.stalled(0);
  }
  assert.ok(c.targetSlack > base && c.targetSlack <= 1.2);
  assert.ok(c.edge([{ start: 0, end: 100 }]) < 99);
  run(c, { from: 1, seconds: 20, position: 1.0, end: (t) => 1 + t });
  assert.ok(c.targetSlack > base, "too early");
  run(c, { from: 30, seconds: 400, position: 30, end: (t) => 1.3 + t });
  assert.equal(c.targetSlack, base);
});

test("the edge of a short range is its start, and there is none without ranges", () => {
  const c = new EdgeController();
  assert.equal(c.edge([{ start: 7, end: 7.1 }]), 7);
  assert.equal(c.edge([]), null);
});
