// SPDX-License-Identifier: Apache-2.0
// What the pages ask of /api/v1. Only the fields that are shown; unknown ones are ignored, missing ones have a default.

import { showLogin } from "./login.js";

export interface TrackInfo {
  codec: string;
  width: number;
  height: number;
  fps: number;
  sample_rate: number;
  channels: number;
}

export interface StreamInfo {
  path: string;
  on_air: boolean;
  ready: boolean;
  tracks: TrackInfo[];
  bitrate_in_bps: number;
  n_readers: number;
  publisher: { protocol: string; remote: string } | null;
  sinceMs: number | null; // wall clock
  reason: string;
}

type Json = Record<string, unknown>;

const num = (v: unknown): number => (typeof v === "number" ? v : 0);
const str = (v: unknown): string => (typeof v === "string" ? v : "");
const obj = (v: unknown): Json => (typeof v === "object" && v !== null ? (v as Json) : {});

function parseTrack(v: unknown): TrackInfo {
  const t = obj(v);
  return {
    codec: str(t["codec"]),
    width: num(t["width"]),
    height: num(t["height"]),
    fps: num(t["fps"]),
    sample_rate: num(t["sample_rate"]),
    channels: num(t["channels"]),
  };
}

function parseSince(s: Json): number | null {
  const since = s["since"];
  const ms = typeof since === "string" ? Date.parse(since) : num(s["since_wall_ns"]) / 1e6;
  return Number.isFinite(ms) && ms > 0 ? ms : null;
}

export function parseStream(v: unknown): StreamInfo {
  const s = obj(v);
  const p = s["publisher"] ? obj(s["publisher"]) : null;
  return {
    path: str(s["path"]),
    on_air: s["on_air"] === true,
    ready: s["ready"] === true,
    tracks: Array.isArray(s["tracks"]) ? s["tracks"].map(parseTrack) : [],
    bitrate_in_bps: num(s["bitrate_in_bps"]),
    n_readers: num(s["n_readers"]),
    publisher: p && { protocol: str(p["protocol"]), remote: str(p["remote"]) },
    sinceMs: parseSince(s),
    reason: str(s["reason"]),
  };
}

export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

async function get(url: string): Promise<unknown> {
  const reply = await fetch(url, { cache: "no-store", headers: { accept: "application/json" } });
  const body: unknown = await reply.json().catch(() => null);
  if (reply.status === 401) {
    showLogin();
  }
  if (!reply.ok) {
    const problem = obj(body);
    throw new ApiError(reply.status, str(problem["detail"]) || str(problem["title"]) || reply.statusText);
  }
  return body;
}

export async function listStreams(): Promise<StreamInfo[]> {
  const body = await get("/api/v1/streams");
  const items = obj(body)["items"];
  return Array.isArray(items) ? items.map(parseStream) : [];
}

export async function showStream(path: string): Promise<StreamInfo> {
  return parseStream(await get(`/api/v1/streams/${path.split("/").map(encodeURIComponent).join("/")}`));
}
