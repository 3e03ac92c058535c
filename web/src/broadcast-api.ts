// SPDX-License-Identifier: Apache-2.0
// What the pages of broadcasts ask of /api/v1/broadcasts: only the fields that are shown, checked one by one.

import { ask, list, num, obj, str, time } from "./api.js";

export interface StepInfo {
  name: string;
  describe: string;
  peer: string;
  state: string;
  error: string;
  startedMs: number | null;
  endedMs: number | null;
}

export interface HealthInfo {
  healthy: boolean;
  reason: string;
  checkedMs: number | null;
  session: boolean | null; // null, also below: not known
  viewers: number | null;
  forwarders: number | null;
  forwardersExpected: number;
  media: { mid: string; type: string; ageMs: number | null }[];
  publisher: boolean | null;
  stream: boolean | null;
  relay: string;
  relaySpeed: number | null;
  obs: string;
}

export interface RelayInfo {
  kind: string;
  why: string;
  state: string;
  restarts: number;
  packets: number | null;
  lastError: string;
}

export interface BroadcastInfo {
  id: string;
  name: string;
  state: string;
  reason: string;
  source: string;
  relay: string;
  room: string; // ids as text, "" for none; also below
  publisher: string;
  obs: string; // host:port
  input: string; // address that the media come from
  stream: string; // path here
  mountpoint: string;
  steps: StepInfo[];
  health: HealthInfo | null;
  relayInfo: RelayInfo | null;
  join: [string, string][];
  kept: { kind: string; id: string; peer: string; why: string }[];
  warnings: string[];
  note: string;
  debts: number;
  restarts: number;
  createdMs: number | null;
  startedMs: number | null;
  changedMs: number | null;
  endedMs: number | null;
  raw: unknown; // as it came
}

const id = (v: unknown): string => (typeof v === "number" ? String(v) : str(v));
const maybe = (v: unknown): number | null => (typeof v === "number" && Number.isFinite(v) ? v : null);
const flag = (v: unknown): boolean | null => (typeof v === "boolean" ? v : null);

function parseStep(v: unknown): StepInfo {
  const o = obj(v);
  return { name: str(o["name"]), describe: str(o["describe"]), peer: str(o["peer"]), state: str(o["state"]), error: str(o["error"]), startedMs: time(o["started_at"]), endedMs: time(o["ended_at"]) };
}

function parseHealth(v: unknown): HealthInfo | null {
  if (!v) {
    return null;
  }
  const o = obj(v);
  return {
    healthy: o["healthy"] === true,
    reason: str(o["reason"]),
    checkedMs: time(o["checked_at"]),
    session: flag(o["session"]),
    viewers: maybe(o["viewers"]),
    forwarders: maybe(o["forwarders"]),
    forwardersExpected: num(o["forwarders_expected"]),
    media: list(o["media"], (m) => ({ mid: str(obj(m)["mid"]), type: str(obj(m)["type"]), ageMs: maybe(obj(m)["age_ms"]) })),
    publisher: flag(o["publisher"]),
    stream: flag(o["stream"]),
    relay: str(o["relay"]),
    relaySpeed: maybe(o["relay_speed"]),
    obs: str(o["obs"]),
  };
}

function parseRelay(v: unknown): RelayInfo | null {
  const o = obj(v);
  return v ? { kind: str(o["kind"]), why: str(o["why"]), state: str(o["state"]), restarts: num(o["restarts"]), packets: maybe(o["packets"]), lastError: str(o["last_error"]) } : null;
}

const text = (v: unknown): string => (typeof v === "object" ? JSON.stringify(v) : String(v));

export function parseBroadcast(v: unknown): BroadcastInfo {
  const o = obj(v);
  const request = obj(o["request"]);
  const srs = obj(o["srs_info"]);
  const steps = list(o["steps"], parseStep);
  const relayInfo = parseRelay(o["relay_info"]);
  return {
    id: str(o["broadcast_id"]),
    name: str(request["name"]),
    state: str(o["state"]),
    reason: str(o["reason"]),
    source: str(request["source_kind"]),
    relay: relayInfo?.kind || str(request["relay_kind"]),
    room: id(request["room_id"]),
    publisher: str(request["publisher_display"]) || id(request["publisher_id"]),
    obs: request["source_kind"] === "obs" ? `${str(request["obs_host"]) || "127.0.0.1"}:${num(request["obs_port"]) || 4455}` : "",
    input: str(request["input_url"]) || str(srs["rtmp_url"]),
    stream: str(srs["path"]) || str(request["stream"]),
    mountpoint: id(obj(o["mountpoint_response"])["id"]) || id(obj(request["mountpoint_spec"])["id"]),
    steps,
    health: parseHealth(o["health"]),
    relayInfo,
    join: Object.entries(obj(o["join"])).map(([name, value]) => [name, text(value)]),
    kept: list(o["kept"], (k) => ({ kind: str(obj(k)["kind"]), id: id(obj(k)["id"]), peer: str(obj(k)["peer"]), why: str(obj(k)["why"]) })),
    warnings: list(o["warnings"], str),
    note: str(o["note"]),
    debts: steps.filter((s) => s.state === "debt").length,
    restarts: num(o["restarts"]),
    createdMs: time(o["created_at"]),
    startedMs: time(o["started_at"]),
    changedMs: time(o["changed_at"]),
    endedMs: time(o["ended_at"]),
    raw: v,
  };
}

export function hasEnded(state: string): boolean {
  return state === "stopped" || state === "failed";
}

const at = (which: string, more = ""): string => `/api/v1/broadcasts/${encodeURIComponent(which)}${more}`;

export async function listBroadcasts(): Promise<BroadcastInfo[]> {
  return list(obj(await ask("/api/v1/broadcasts?limit=1000"))["items"], parseBroadcast);
}

export async function showBroadcast(which: string): Promise<BroadcastInfo> {
  return parseBroadcast(await ask(at(which)));
}

export type Action = "stop" | "restart" | "forget" | "settle";

export async function actOnBroadcast(which: string, action: Action): Promise<void> {
  const ends = action === "stop" || action === "forget";
  await ask(at(which, action === "stop" ? "" : action === "forget" ? "?forget=true" : `/${action}`), { method: ends ? "DELETE" : "POST" });
}
