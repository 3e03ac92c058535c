// SPDX-License-Identifier: Apache-2.0
// Which transport plays. Pure: it sees what the browser has, and what has failed before.

import type { ChoiceReason, TransportName } from "./contract.js";

export interface Abilities {
  webSocket: boolean;
  mediaSource: boolean; // also the managed one of Safari 17 on phones
  nativeHls: boolean;
}

export interface Choice {
  name: TransportName;
  usable: boolean;
  reason: ChoiceReason; // "chosen" when it is usable
}

export function listChoices(a: Abilities): Choice[] {
  const mse: ChoiceReason = !a.mediaSource ? "no-mse" : !a.webSocket ? "no-websocket" : "chosen";
  const hls: ChoiceReason = a.mediaSource ? "chosen" : "no-mse";
  const native: ChoiceReason = a.nativeHls ? "chosen" : "no-native";
  return [
    { name: "mse", usable: mse === "chosen", reason: mse },
    { name: "hls", usable: hls === "chosen", reason: hls },
    { name: "native", usable: native === "chosen", reason: native },
  ];
}

export interface Failure {
  name: TransportName;
  why: ChoiceReason;
}

// The first that is usable and has not failed; its reason is that of the one before it. Where codecs are missing, hls.js
// has no others than MSE, while what the browser has built in may. null: nothing is left.
export function choose(wish: TransportName | "auto", a: Abilities, failed: readonly Failure[]): { name: TransportName; reason: ChoiceReason } | null {
  const list = listChoices(a);
  if (wish !== "auto") {
    const usable = list.some((c) => c.name === wish && c.usable) && failed.length === 0;
    return usable ? { name: wish, reason: "chosen" } : null;
  }
  const noCodec = failed.some((f) => f.why === "codec");
  let reason: ChoiceReason = "auto-mse";
  for (const c of list) {
    const failure = failed.find((f) => f.name === c.name);
    if (c.usable && !failure && !(noCodec && c.name === "hls")) {
      return { name: c.name, reason };
    }
    reason = failure?.why ?? (c.usable ? reason : c.reason);
  }
  return null;
}
