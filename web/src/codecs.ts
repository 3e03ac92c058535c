// SPDX-License-Identifier: Apache-2.0
// Tracks in words, and what this browser can show of them.

import type { TrackInfo } from "./api.js";
import { number, t } from "./i18n.js";
import { codecName } from "./player/index.js";

export function channels(n: number): string {
  return n === 1 ? t("audio.mono") : n === 2 ? t("audio.stereo") : t("audio.channels", { n });
}

// "1280×720, 30 fps" or "48 kHz stereo"; "" while unknown.
export function trackFormat(track: TrackInfo): string {
  if (track.width > 0) {
    const fps = track.fps > 0 ? `, ${t("detail.fps", { n: track.fps })}` : "";
    return `${track.width}×${track.height}${fps}`;
  }
  return track.sample_rate > 0 ? `${number(track.sample_rate / 1000)} kHz ${channels(track.channels)}` : "";
}

export function describeTrack(track: TrackInfo): string {
  return `${codecName(track.codec)} ${trackFormat(track)}`.trim();
}

let probe: HTMLVideoElement | null = null;

// A still is a file of one picture, so it is the <video> itself that must have the decoder.
export function canShow(track: TrackInfo): boolean {
  probe ??= document.createElement("video");
  return track.codecs !== "" && probe.canPlayType(`video/mp4; codecs="${track.codecs}"`) !== "";
}
