// SPDX-License-Identifier: Apache-2.0
// What the pages ask of /api/v1. Only the fields that are shown; unknown ones are ignored, missing ones have a default.

import { showLogin } from "./login.js";

export interface TrackInfo {
  id: number;
  kind: string;
  codec: string;
  codecs: string; // RFC 6381; "" until the parameters are known
  width: number;
  height: number;
  fps: number;
  sample_rate: number;
  channels: number;
  bitrate_bps: number;
}

export interface SessionInfo {
  id: string;
  protocol: string;
  remote: string;
  agent: string;
  sinceMs: number | null;
  bytes: number;
  dropped: number; // readers
  behind_ms: number;
  jumps: number;
  blocked: boolean;
  state: string;
}

export interface GroupInfo {
  duration_ms: number;
  pictures: number;
  bytes: number;
}

export interface StreamInfo {
  path: string;
  parent: string; // of a derived stream, else empty
  on_air: boolean;
  ready: boolean;
  tracks: TrackInfo[];
  bitrate_in_bps: number;
  n_readers: number;
  publisher: SessionInfo | null;
  readers: SessionInfo[]; // these two only where one stream is asked for
  recent: { bytes: number[]; groups: GroupInfo[] } | null;
  sinceMs: number | null; // wall clock
  reason: string;
}

export interface ListenerInfo {
  name: string;
  address: string;
  port: number;
  tls: boolean;
  connections: number;
  accepted: number;
  refused: number;
}

export interface SystemInfo {
  version: string;
  uptime_s: number;
  cpu_s: number;
  memory_bytes: number;
  open_fds: number;
  media_bytes: number;
  media_max_bytes: number;
  streams: number;
  publishers: number;
  readers: number;
  bytes_in: number;
  bytes_out: number;
  samples_dropped: number;
  loops_busy: number[];
  listeners: ListenerInfo[];
}

export type Json = Record<string, unknown>;

export const num = (v: unknown): number => (typeof v === "number" && Number.isFinite(v) ? v : 0);
export const str = (v: unknown): string => (typeof v === "string" ? v : "");
export const obj = (v: unknown): Json => (typeof v === "object" && v !== null ? (v as Json) : {});
export const list = <T>(v: unknown, parse: (item: unknown) => T): T[] => (Array.isArray(v) ? v.map(parse) : []);

export function time(v: unknown): number | null {
  const ms = typeof v === "string" ? Date.parse(v) : NaN;
  return Number.isFinite(ms) ? ms : null;
}

function parseTrack(v: unknown): TrackInfo {
  const o = obj(v);
  return {
    id: num(o["id"]),
    kind: str(o["kind"]),
    codec: str(o["codec"]),
    codecs: str(o["codecs"]),
    width: num(o["width"]),
    height: num(o["height"]),
    fps: num(o["fps"]),
    sample_rate: num(o["sample_rate"]),
    channels: num(o["channels"]),
    bitrate_bps: num(o["bitrate_bps"]),
  };
}

function parseSession(v: unknown): SessionInfo {
  const o = obj(v);
  return {
    id: str(o["id"]),
    protocol: str(o["protocol"]),
    remote: str(o["remote"]),
    agent: str(o["agent"]),
    sinceMs: time(o["since"]),
    bytes: num(o["bytes"]),
    dropped: num(o["dropped"]),
    behind_ms: num(o["behind_ms"]),
    jumps: num(o["jumps"]),
    blocked: o["blocked"] === true,
    state: str(o["state"]),
  };
}

function parseGroup(v: unknown): GroupInfo {
  const o = obj(v);
  return { duration_ms: num(o["duration_ms"]), pictures: num(o["pictures"]), bytes: num(o["bytes"]) };
}

export function parseStream(v: unknown): StreamInfo {
  const o = obj(v);
  const recent = o["recent"] ? obj(o["recent"]) : null;
  return {
    path: str(o["path"]),
    parent: str(o["parent"]),
    on_air: o["on_air"] === true,
    ready: o["ready"] === true,
    tracks: list(o["tracks"], parseTrack),
    bitrate_in_bps: num(o["bitrate_in_bps"]),
    n_readers: num(o["n_readers"]),
    publisher: o["publisher"] ? parseSession(o["publisher"]) : null,
    readers: list(o["readers"], parseSession),
    recent: recent && { bytes: list(recent["bytes"], num), groups: list(recent["groups"], parseGroup) },
    sinceMs: time(o["since"]),
    reason: str(o["reason"]),
  };
}

function parseListener(v: unknown): ListenerInfo {
  const o = obj(v);
  return {
    name: str(o["name"]),
    address: str(o["address"]),
    port: num(o["port"]),
    tls: o["tls"] === true,
    connections: num(o["connections"]),
    accepted: num(o["accepted"]),
    refused: num(o["refused"]),
  };
}

export function parseSystem(v: unknown): SystemInfo {
  const o = obj(v);
  return {
    version: str(o["version"]),
    uptime_s: num(o["uptime_s"]),
    cpu_s: num(o["cpu_s"]),
    memory_bytes: num(o["memory_bytes"]),
    open_fds: num(o["open_fds"]),
    media_bytes: num(o["media_bytes"]),
    media_max_bytes: num(o["media_max_bytes"]),
    streams: num(o["streams"]),
    publishers: num(o["publishers"]),
    readers: num(o["readers"]),
    bytes_in: num(o["bytes_in"]),
    bytes_out: num(o["bytes_out"]),
    samples_dropped: num(o["samples_dropped"]),
    loops_busy: list(o["loops_busy"], num),
    listeners: list(o["listeners"], parseListener),
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

export async function ask(url: string, init: RequestInit = {}): Promise<unknown> {
  const reply = await fetch(url, { cache: "no-store", ...init, headers: { accept: "application/json", ...init.headers } });
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

export function encodePath(path: string): string {
  return path.split("/").map(encodeURIComponent).join("/");
}

export async function listStreams(): Promise<StreamInfo[]> {
  return list(obj(await ask("/api/v1/streams"))["items"], parseStream);
}

// null: there is no stream of this name now.
export async function showStream(path: string): Promise<StreamInfo | null> {
  try {
    return parseStream(await ask(`/api/v1/streams/${encodePath(path)}`));
  } catch (e) {
    if (e instanceof ApiError && e.status === 404) {
      return null;
    }
    throw e;
  }
}

export async function kick(path: string, session: string): Promise<void> {
  await ask(`/api/v1/streams/kick/${encodePath(path)}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ session }),
  });
}

export async function readSystem(): Promise<SystemInfo> {
  return parseSystem(await ask("/api/v1/system"));
}
