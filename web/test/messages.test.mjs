// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import test from "node:test";

import { parseMessage, trackMime } from "../.test/player/messages.js";

const INIT = {
  type: "init",
  mime: 'video/mp4; codecs="avc1.64001f,mp4a.40.2"',
  tracks: [
    { id: 1, kind: "video", codec: "h264", codecs: "avc1.64001f", width: 1280, height: 720 },
    { id: 2, kind: "audio", codec: "aac", codecs: "mp4a.40.2" },
  ],
  epoch: 3,
  start_ms: 1000,
  edge_ms: 2500,
};

test("reads an init message", () => {
  const m = parseMessage(JSON.stringify(INIT));
  assert.equal(m.type, "init");
  assert.equal(m.tracks.length, 2);
  assert.equal(m.tracks[0].width, 1280);
  assert.equal(m.tracks[1].height, 0);
  assert.equal(m.startMs, 1000);
  assert.equal(m.edgeMs, 2500);
  assert.equal(trackMime(m.tracks[1]), 'audio/mp4; codecs="mp4a.40.2"');
});

test("an init without times, with an unknown kind of track and with unknown fields is still read", () => {
  const { start_ms, edge_ms, ...rest } = INIT;
  const tracks = [...INIT.tracks, { id: 3, kind: "text", codec: "wvtt", codecs: "wvtt" }];
  const m = parseMessage(JSON.stringify({ ...rest, tracks, later: true }));
  assert.equal(m.tracks.length, 2);
  assert.equal(m.startMs, null);
  assert.equal(m.edgeMs, null);
});

test("reads every state", () => {
  for (const state of ["live", "waiting", "discontinuity", "ended"]) {
    assert.equal(parseMessage(JSON.stringify({ type: "state", state })).state, state);
  }
  const m = parseMessage('{"type":"state","state":"discontinuity","start_ms":77,"reason":"x"}');
  assert.equal(m.startMs, 77);
  assert.equal(m.reason, "x");
});

test("reads jumps", () => {
  assert.deepEqual(parseMessage('{"type":"jumped","dropped":12}'), { type: "jumped", dropped: 12 });
});

test("what is not understood is null", () => {
  const bad = [
    "",
    "{",
    "null",
    "[]",
    '"init"',
    "{}",
    '{"type":"future"}',
    '{"type":"state","state":"odd"}',
    '{"type":"init","mime":"video/mp4","tracks":[]}',
    '{"type":"init","tracks":[{"kind":"video","codecs":"avc1"}]}',
    '{"type":"init","mime":"video/mp4","tracks":"no"}',
  ];
  for (const data of bad) {
    assert.equal(parseMessage(data), null, data);
  }
});
