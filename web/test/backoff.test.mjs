// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import test from "node:test";

import { Backoff } from "../.test/player/backoff.js";

test("waits double up to the maximum and start over after a reset", () => {
  const b = new Backoff({ firstMs: 100, maxMs: 1000, random: () => 0.999999 });
  const waits = [1, 2, 3, 4, 5, 6].map(() => Math.round(b.nextMs()));
  assert.deepEqual(waits, [100, 200, 400, 800, 1000, 1000]);
  b.reset();
  assert.equal(Math.round(b.nextMs()), 100);
});

test("each wait is spread over its upper half", () => {
  const low = new Backoff({ firstMs: 100, maxMs: 1000, random: () => 0 });
  assert.equal(low.nextMs(), 50);
  assert.equal(low.nextMs(), 100);
});

test("a very long outage does not overflow", () => {
  const b = new Backoff({ random: () => 0 });
  for (let i = 0; i < 5000; i++) {
    assert.ok(b.nextMs() <= 8000);
  }
});
