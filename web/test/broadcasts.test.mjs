// SPDX-License-Identifier: Apache-2.0
// What the pages of broadcasts make of the API's answers: the parts that are pure.

import assert from "node:assert/strict";
import { test } from "node:test";

import { hasEnded, parseBroadcast } from "../.test/broadcast-api.js";
import { broadcastMap, stateTone, stepTone } from "../.test/broadcast-map.js";

const step = (name, state, more = {}) => ({ name, state, peer: "janus:main", ...more });
const media = [{ mid: "v", type: "video", age_ms: 40 }];
const shape = (map) => [map.boxes.map((b) => `${b.what} ${b.title} ${b.tone}`), map.arrows.map((a) => `${a.by} ${a.tone}`)];

const forwarded = {
  broadcast_id: "br_1",
  state: "running",
  request: { source_kind: "videoroom", relay_kind: "none", room_id: 1234, publisher_id: 5, name: "Hall" },
  mountpoint_response: { id: 9001 },
  health: { healthy: true, viewers: 3, forwarders: 2, forwarders_expected: 2, publisher: true, media },
  steps: [step("room", "done"), step("mountpoint", "done"), step("publisher", "done"), step("forward", "done")],
  created_at: "2026-01-01T00:00:00Z",
};

test("a result is read field by field, and bears what is missing or of another kind", () => {
  const b = parseBroadcast(forwarded);
  assert.deepEqual([b.id, b.name, b.room, b.publisher, b.mountpoint, b.debts, b.relay], ["br_1", "Hall", "1234", "5", "9001", 0, "none"]);
  assert.equal(b.createdMs, Date.UTC(2026, 0, 1));
  assert.deepEqual(b.health.media, [{ mid: "v", type: "video", ageMs: 40 }]);
  assert.equal(b.health.session, null, "not known is not false");
  const none = parseBroadcast({ broadcast_id: 7, request: "x", steps: {}, health: null, join: null, kept: [null] });
  assert.deepEqual([none.id, none.source, none.steps, none.health, none.join], ["", "", [], null, []]);
  assert.deepEqual(none.kept, [{ kind: "", id: "", peer: "", why: "" }]);
  const words = parseBroadcast({ request: { source_kind: "frontend_owned", room_id: "hall", mountpoint_spec: { id: "m1" } }, join: { room: "hall", pin_required: true }, steps: [step("room", "debt"), step("mountpoint", "debt")] });
  assert.deepEqual([words.room, words.mountpoint, words.debts], ["hall", "m1", 2]);
  assert.deepEqual(words.join, [["room", "hall"], ["pin_required", "true"]]);
});

test("states have a tone; a step that is up and complains is not well", () => {
  const tones = Object.fromEntries(["starting", "running", "degraded", "restarting", "stopping", "stopped", "failed"].map((s) => [s, stateTone(s)]));
  assert.deepEqual(tones, { starting: "busy", running: "good", degraded: "busy", restarting: "busy", stopping: "busy", stopped: "off", failed: "bad" });
  assert.deepEqual(["waiting", "done", "undone", "kept", "debt"].map(stateTone), ["busy", "good", "off", "off", "bad"]);
  assert.equal(stepTone({ state: "done", error: "no media" }), "busy");
  assert.equal(stepTone(undefined), "off");
  assert.deepEqual(["stopped", "failed", "stopping", "running"].map(hasEnded), [true, true, false, false]);
});

test("a publisher of a room is forwarded to the mountpoint", () => {
  const map = broadcastMap(parseBroadcast(forwarded));
  assert.deepEqual(shape(map), [["publisher 5 good", "mountpoint 9001 good", "viewers 3 good"], ["forward good", "webrtc good"]]);
  assert.deepEqual([map.boxes[0].room, map.boxes[0].peer, map.boxes[1].peer], ["1234", "janus:main", "janus:main"]);
});

test("what broke is seen where it broke", () => {
  const left = { ...forwarded, state: "degraded", health: { ...forwarded.health, publisher: false }, steps: [...forwarded.steps.slice(0, 3), step("forward", "waiting", { error: "it left" })] };
  assert.deepEqual(shape(broadcastMap(parseBroadcast(left))), [["publisher 5 busy", "mountpoint 9001 good", "viewers 3 busy"], ["forward busy", "webrtc busy"]]);
  const failed = { ...forwarded, state: "failed", health: undefined, steps: [step("room", "undone"), step("mountpoint", "failed"), step("publisher", "undone"), step("forward", "undone")] };
  assert.deepEqual(shape(broadcastMap(parseBroadcast(failed))), [["publisher 5 off", "mountpoint 9001 bad", "viewers  off"], ["forward off", "webrtc off"]]);
});

test("each source has its own way to the mountpoint", () => {
  const of = (request, steps, more = {}) => broadcastMap(parseBroadcast({ state: "running", request: { mountpoint_spec: { id: 1 }, ...request }, health: { media }, steps: [step("mountpoint", "done"), ...steps], ...more }));
  assert.deepEqual(shape(of({ source_kind: "frontend_owned", room_id: 4 }, [step("room", "done")])), [["frontend  good", "mountpoint 1 good", "viewers  good"], ["rtp good", "webrtc good"]]);
  assert.deepEqual(shape(of({ source_kind: "stream", stream: "live/a" }, [step("sender", "done")])), [["stream live/a good", "mountpoint 1 good", "viewers  good"], ["sender good", "webrtc good"]]);
  assert.deepEqual(shape(of({ source_kind: "obs", obs_host: "10.0.0.2" }, [step("relay", "starting"), step("obs", "done")], { srs_info: { path: "obs/x" } })), [["obs 10.0.0.2:4455 good", "stream obs/x good", "mountpoint 1 good", "viewers  good"], ["obs good", "relay busy", "webrtc good"]]);
  assert.deepEqual(shape(of({ source_kind: "rtmp_external", input_url: "rtmp://far/a" }, [step("pull", "failed"), step("sender", "done")], { srs_info: { path: "in/a" } })), [["input rtmp://far/a bad", "stream in/a bad", "mountpoint 1 good", "viewers  good"], ["pull bad", "sender good", "webrtc good"]]);
  assert.deepEqual(shape(of({ source_kind: "rtsp_camera" }, [step("relay", "done")])), [["input  good", "mountpoint 1 good", "viewers  good"], ["relay good", "webrtc good"]]);
});
