// SPDX-License-Identifier: Apache-2.0
// What a search finds. Pure. All words must be there, in any order.

import type { StreamInfo } from "./api.js";
import { describeTrack } from "./codecs.js";
import type { FeedEvent } from "./feed.js";
import { lookup } from "./i18n.js";

function hasAll(haystack: string, text: string): boolean {
  const words = haystack.toLowerCase();
  return text
    .toLowerCase()
    .split(/\s+/)
    .every((w) => words.includes(w));
}

// which: "all", "live" or "waiting". Derived streams are their parents with other sound: only who types a ~ means them.
export function streamMatches(s: StreamInfo, text: string, which: string): boolean {
  if (s.parent !== "" && !text.includes("~")) {
    return false;
  }
  if ((which === "live" && !s.on_air) || (which === "waiting" && s.on_air)) {
    return false;
  }
  const words = [s.path, s.publisher?.protocol ?? "", s.publisher?.remote ?? "", ...s.tracks.map((x) => `${describeTrack(x)} ${x.codec}`)];
  return hasAll(words.join(" "), text);
}

export function eventName(type: string): string {
  return lookup(`event.${type}`) ?? type;
}

// "rtmp 127.0.0.1, the publisher left": what the data says besides what stands beside it.
export function eventText(e: FeedEvent): string {
  return Object.entries(e.data)
    .filter(([name]) => name !== "path")
    .map(([name, v]) => {
      const text = typeof v === "string" || typeof v === "number" ? String(v) : JSON.stringify(v);
      return name === "reason" ? text : `${name} ${text}`;
    })
    .join(", ");
}

export function eventMatches(e: FeedEvent, text: string): boolean {
  return hasAll(`${e.type} ${eventName(e.type)} ${e.resource} ${eventText(e)}`, text);
}
