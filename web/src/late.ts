// SPDX-License-Identifier: Apache-2.0
// Why a reader is late, in words, from what the server counts about it. Pure.

import type { SessionInfo } from "./api.js";
import { formatBitrate, formatSeconds } from "./format.js";
import { t, tn } from "./i18n.js";

export interface Verdict {
  level: "ok" | "late" | "lost"; // lost: samples were left out
  texts: string[];
}

// What a socket takes in bursts, and a group of sound, is no lateness.
const LATE_MS = 700;

// taken: bit/s that it took since the last look, null when not known; stream: bit/s of the stream.
export function judge(r: SessionInfo, taken: number | null, stream: number): Verdict {
  if (r.state === "waiting" || r.state === "ended") {
    return { level: "ok", texts: [t(r.state === "waiting" ? "late.waiting" : "late.ended")] };
  }
  const texts: string[] = [];
  const late = r.behind_ms > LATE_MS;
  if (late && r.blocked) {
    const known = taken !== null && stream > 0 && taken < stream;
    texts.push(known ? t("late.network.rate", { taken: formatBitrate(taken), stream: formatBitrate(stream) }) : t("late.network"));
  } else if (late) {
    texts.push(t("late.behind", { time: formatSeconds(r.behind_ms / 1000) }));
  }
  if (r.jumps > 0) {
    texts.push(tn("late.jumped", r.jumps));
  }
  if (texts.length === 0) {
    return { level: "ok", texts: [t("late.ok")] };
  }
  return { level: r.jumps > 0 ? "lost" : "late", texts };
}
