// SPDX-License-Identifier: Apache-2.0
// The text messages of the MSE WebSocket (docs/mse-protocol.md). What comes from the network is checked field by field;
// a message that is not understood is null and gets ignored, so that the protocol can grow.

export type TrackKind = "video" | "audio";

export interface Track {
  id: number;
  kind: TrackKind;
  codec: string; // "h264"
  codecs: string; // "avc1.64001f"
  width: number; // 0 when unknown or not video
  height: number;
}

export interface InitMessage {
  type: "init";
  mime: string;
  tracks: Track[];
  epoch: number;
  startMs: number | null; // stream time of the first sample that follows
  edgeMs: number | null; // stream time of the newest sample the server had then
}

export type StreamState = "live" | "waiting" | "discontinuity" | "ended";

export interface StateMessage {
  type: "state";
  state: StreamState;
  reason: string;
  startMs: number | null; // discontinuity: where the next samples start
}

export interface JumpedMessage {
  type: "jumped";
  dropped: number;
}

export type Message = InitMessage | StateMessage | JumpedMessage;

const STATES: readonly string[] = ["live", "waiting", "discontinuity", "ended"];

type Json = Record<string, unknown>;

function isObject(v: unknown): v is Json {
  return typeof v === "object" && v !== null && !Array.isArray(v);
}

function text(v: unknown): string {
  return typeof v === "string" ? v : "";
}

function count(v: unknown): number {
  return typeof v === "number" && Number.isFinite(v) && v >= 0 ? v : 0;
}

function time(v: unknown): number | null {
  return typeof v === "number" && Number.isFinite(v) ? v : null;
}

function parseTrack(v: unknown): Track | null {
  if (!isObject(v) || (v["kind"] !== "video" && v["kind"] !== "audio") || !text(v["codecs"])) {
    return null;
  }
  return {
    id: count(v["id"]),
    kind: v["kind"],
    codec: text(v["codec"]),
    codecs: text(v["codecs"]),
    width: count(v["width"]),
    height: count(v["height"]),
  };
}

function parseInit(m: Json): InitMessage | null {
  const list = Array.isArray(m["tracks"]) ? m["tracks"].map(parseTrack) : [];
  const tracks = list.filter((t): t is Track => t !== null);
  if (tracks.length === 0 || !text(m["mime"])) {
    return null;
  }
  return {
    type: "init",
    mime: text(m["mime"]),
    tracks,
    epoch: count(m["epoch"]),
    startMs: time(m["start_ms"]),
    edgeMs: time(m["edge_ms"]),
  };
}

export function parseMessage(data: string): Message | null {
  let m: unknown;
  try {
    m = JSON.parse(data);
  } catch {
    return null;
  }
  if (!isObject(m)) {
    return null;
  }
  switch (m["type"]) {
    case "init":
      return parseInit(m);
    case "state":
      if (!STATES.includes(text(m["state"]))) {
        return null;
      }
      return {
        type: "state",
        state: m["state"] as StreamState,
        reason: text(m["reason"]),
        startMs: time(m["start_ms"]),
      };
    case "jumped":
      return { type: "jumped", dropped: count(m["dropped"]) };
    default:
      return null;
  }
}

// The mime type of one track alone, for MediaSource.isTypeSupported().
export function trackMime(track: Track): string {
  return `${track.kind}/mp4; codecs="${track.codecs}"`;
}
