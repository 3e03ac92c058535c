// SPDX-License-Identifier: Apache-2.0
// The parts of the pages that are pure: graphs, lateness, links, server-sent events, search.

import assert from "node:assert/strict";
import { test } from "node:test";

import { parseStream, parseSystem } from "../.test/api.js";
import { before, parseEvent } from "../.test/feed.js";
import { eventMatches, streamMatches } from "../.test/filter.js";
import { areaPath, groupBars, linePath, linePoints, niceTop } from "../.test/graph.js";
import { useLang } from "../.test/i18n.js";
import { judge } from "../.test/late.js";
import { playLinks, rtmpServer, testCommand } from "../.test/links.js";
import { SseParser } from "../.test/sse.js";

useLang("en");

test("an axis ends with a round number", () => {
  for (const [max, top] of [[0, 1], [1, 1], [1.1, 2], [3, 5], [5.5, 10], [0.03, 0.05], [2_540_000, 5_000_000]]) {
    assert.ok(Math.abs(niceTop(max) - top) < top / 1e6, `${max}: ${niceTop(max)}`);
  }
});

test("a line has its newest value at the right, and does not stretch while it is short", () => {
  assert.deepEqual(linePoints([0, 5, 10], 11, 10, 100, 50), [[80, 50], [90, 25], [100, 0]]);
  assert.deepEqual(linePoints([99, 99, 1, 2], 2, 2, 100, 10), [[0, 5], [100, 0]], "older ones are left out");
  assert.equal(linePath([[0, 1], [2, 3.14]]), "M0.0 1.0L2.0 3.1");
  assert.equal(areaPath([[0, 1], [2, 3]], 9), "M0.0 1.0L2.0 3.0L2.0 9L0.0 9Z");
  assert.equal(areaPath([], 9), "");
});

test("groups stand side by side, as wide as they are long and as high as they are large", () => {
  const groups = [{ duration_ms: 9000, bytes: 1 }, { duration_ms: 2000, bytes: 50 }, { duration_ms: 1000, bytes: 100 }];
  const bars = groupBars(groups, 10_000, 100, 100, 40);
  assert.deepEqual(bars, [{ x: 70, y: 20, w: 20, h: 20 }, { x: 90, y: 0, w: 10, h: 40 }], "the first one has no room");
  assert.deepEqual(groupBars([], 1000, 1, 100, 40), []);
});

const reader = { id: "r", protocol: "mse", remote: "", agent: "", sinceMs: null, bytes: 0, dropped: 0, behind_ms: 0, jumps: 0, blocked: false, state: "live" };

test("why a reader is late", () => {
  const cases = [
    [{}, null, ["ok", "keeps up"]],
    [{ blocked: true, behind_ms: 100 }, 0, ["ok", "keeps up"]],
    [{ blocked: true, behind_ms: 2000 }, null, ["late", "network slower than the stream"]],
    [{ blocked: true, behind_ms: 2000 }, 400_000, ["late", "network slower than the stream: takes 400 kb/s of 2.0 Mb/s"]],
    [{ blocked: true, behind_ms: 2000 }, 9e6, ["late", "network slower than the stream"]],
    [{ behind_ms: 1500 }, 1e6, ["late", "1.50 s to catch up"]],
    [{ jumps: 1 }, 1e6, ["lost", "skipped to a key frame 1 time"]],
    [{ jumps: 3, blocked: true, behind_ms: 3000 }, null, ["lost", "network slower than the stream", "skipped to a key frame 3 times"]],
    [{ state: "waiting", behind_ms: 5000 }, null, ["ok", "waits for the publisher"]],
  ];
  for (const [r, taken, [level, ...texts]] of cases) {
    assert.deepEqual(judge({ ...reader, ...r }, taken, 2e6), { level, texts }, JSON.stringify(r));
  }
});

const here = { protocol: "http:", hostname: "media.example", host: "media.example:8888" };
const rtmp = { name: "rtmp", port: 1935 };
const link = (list, name) => list.find((l) => l.name === name)?.text;

test("addresses are those that the server listens on", () => {
  assert.equal(rtmpServer(here, [rtmp]), "rtmp://media.example");
  assert.equal(rtmpServer(here, [{ name: "rtmps", port: 1936 }, { name: "rtmp", port: 2935 }]), "rtmp://media.example:2935");
  assert.equal(rtmpServer(here, [{ name: "http", port: 8888 }, { name: "rtmps", port: 443 }]), "rtmps://media.example:443");
  assert.equal(rtmpServer(here, [{ name: "http", port: 8888 }]), null);
  assert.equal(rtmpServer({ ...here, hostname: "[::1]" }, [{ name: "rtmp", port: 1 }]), "rtmp://[::1]:1");
  assert.match(testCommand("rtmp://h:7"), / rtmp:\/\/h:7\/live\/test$/);
});

test("links of a stream", () => {
  const links = playLinks({ ...here, protocol: "https:" }, "live/a b", [rtmp]);
  assert.equal(link(links, "hls"), "https://media.example:8888/live/a%20b/index.m3u8");
  assert.equal(link(links, "mse"), "wss://media.example:8888/live/a%20b/mse");
  assert.equal(link(links, "rtmp"), "rtmp://media.example/live/a%20b");
  assert.match(link(links, "embed"), /^<iframe src="https:\/\/media\.example:8888\/live\/a%20b\?embed" /);
  assert.match(link(links, "ffplay"), /rtmp:/);
  const without = playLinks(here, "x", []);
  assert.equal(link(without, "rtmp"), undefined);
  assert.match(link(without, "ffplay"), /index\.m3u8$/);
});

test("server-sent events, however they are cut", () => {
  const text = "retry: 2000\nevent: start\nid: b-1\ndata: {}\n\n:\n\nid: b-2\r\ndata: one\r\ndata:two\r\n\r\ndata\n\nid: b-3\nfoo: bar\n\nevent: x\ndata: last\n\n";
  const want = [
    { event: "start", data: "{}", id: "b-1" },
    { event: "message", data: "one\ntwo", id: "b-2" },
    { event: "message", data: "", id: "b-2" },
    { event: "x", data: "last", id: "b-3" },
  ];
  assert.deepEqual(new SseParser().feed(text), want);
  const parser = new SseParser();
  assert.deepEqual([...text].flatMap((c) => parser.feed(c)), want);
  const half = new SseParser();
  assert.deepEqual(half.feed("data: not yet\n"), []);
  assert.deepEqual(half.feed("\n"), [{ event: "message", data: "not yet", id: "" }]);
});

test("an event's place, and the place of one before it", () => {
  assert.equal(before("abc-120", 100), "abc-20");
  assert.equal(before("abc-20", 100), "abc-0");
  assert.equal(before("strange", 100), "strange");
  assert.equal(parseEvent("{"), null);
  assert.deepEqual(parseEvent('{"id":"b-1","time":"1970-01-01T00:00:01Z","type":"t","resource":"r"}'), { id: "b-1", timeMs: 1000, type: "t", resource: "r", data: {} });
});

test("what a search finds", () => {
  const s = parseStream({ path: "studio/cam-1", on_air: true, publisher: { protocol: "rtmp", remote: "10.0.0.7:1" }, tracks: [{ kind: "video", codec: "h264", width: 1280, height: 720 }] });
  for (const text of ["", "CAM", "h264", "h.264", "1280", "rtmp studio", "10.0.0.7"]) {
    assert.ok(streamMatches(s, text, "all"), text);
  }
  assert.ok(!streamMatches(s, "cam hevc", "all"));
  assert.ok(streamMatches(s, "", "live") && !streamMatches(s, "", "waiting"));
  const derived = parseStream({ path: "studio/cam-1~opus", parent: "studio/cam-1", on_air: true });
  assert.ok(!streamMatches(derived, "", "all") && !streamMatches(derived, "cam", "all"), "not beside its parent");
  assert.ok(streamMatches(derived, "cam-1~", "all"));
  const e = { id: "", timeMs: 0, type: "stream.lost", resource: "streams/a/b", data: { path: "a/b", reason: "timed out" } };
  assert.ok(eventMatches(e, "publisher lost") && eventMatches(e, "a/b timed") && !eventMatches(e, "reader"));
});

test("answers of the API: what is missing has a default", () => {
  const s = parseStream({});
  assert.deepEqual([s.path, s.tracks, s.readers, s.recent, s.publisher, s.sinceMs], ["", [], [], null, null, null]);
  const full = parseStream({ recent: { bytes: [1, "x"], groups: [{ duration_ms: 5 }] }, readers: [{ id: "r1", blocked: true }] });
  assert.deepEqual(full.recent, { bytes: [1, 0], groups: [{ duration_ms: 5, pictures: 0, bytes: 0 }] });
  assert.equal(full.readers[0].blocked, true);
  assert.deepEqual(parseSystem({ listeners: [{ name: "rtmp", port: 7 }] }).listeners[0].port, 7);
});
