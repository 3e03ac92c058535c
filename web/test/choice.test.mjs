// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";

import { choose, listChoices } from "../.test/player/choice.js";

const CHROME = { webSocket: true, mediaSource: true, nativeHls: false };
const SAFARI = { webSocket: true, mediaSource: true, nativeHls: true };
const OLD_PHONE = { webSocket: true, mediaSource: false, nativeHls: true };
const NO_SOCKET = { webSocket: false, mediaSource: true, nativeHls: true };
const NOTHING = { webSocket: true, mediaSource: false, nativeHls: false };

const upgrade = { name: "mse", why: "upgrade-refused" };
const codec = (name) => ({ name, why: "codec" });

test("which transport plays, and why", () => {
  const table = [
    ["auto", CHROME, [], "mse", "auto-mse"],
    ["auto", SAFARI, [], "mse", "auto-mse"],
    ["auto", OLD_PHONE, [], "native", "no-mse"],
    ["auto", NO_SOCKET, [], "hls", "no-websocket"],
    ["auto", NOTHING, [], null],
    ["auto", CHROME, [upgrade], "hls", "upgrade-refused"],
    ["auto", SAFARI, [upgrade], "hls", "upgrade-refused"],
    ["auto", CHROME, [codec("mse")], null],
    ["auto", SAFARI, [codec("mse")], "native", "codec"],
    ["auto", SAFARI, [upgrade, codec("hls")], "native", "codec"],
    ["auto", SAFARI, [codec("mse"), codec("native")], null],
    ["mse", CHROME, [], "mse", "chosen"],
    ["hls", CHROME, [], "hls", "chosen"],
    ["native", SAFARI, [], "native", "chosen"],
    ["native", CHROME, [], null],
    ["mse", NO_SOCKET, [], null],
    ["mse", CHROME, [upgrade], null], // what the viewer chose is not replaced by something else
  ];
  for (const [wish, abilities, failed, name, reason] of table) {
    const got = choose(wish, abilities, failed);
    assert.deepEqual(got, name && { name, reason }, JSON.stringify([wish, abilities, failed]));
  }
});

test("what a viewer may choose from, and why not", () => {
  const reasons = (a) => listChoices(a).map((c) => (c.usable ? c.name : c.reason));
  assert.deepEqual(reasons(SAFARI), ["mse", "hls", "native"]);
  assert.deepEqual(reasons(CHROME), ["mse", "hls", "no-native"]);
  assert.deepEqual(reasons(OLD_PHONE), ["no-mse", "no-mse", "native"]);
  assert.deepEqual(reasons(NO_SOCKET), ["no-websocket", "hls", "native"]);
});
