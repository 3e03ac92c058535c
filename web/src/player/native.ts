// SPDX-License-Identifier: Apache-2.0
// HLS as the browser plays it by itself, where it does: Safari, and the phones of the same house. It knows low latency and
// keeps to the live edge; what is here is begun anew when it gives up or the stream has ended.

import { Backoff } from "./backoff.js";
import type { PlaybackStats, PlayerDetails, Transport, TransportEvents, WaitReason } from "./contract.js";
import { askAir, playlistUrl } from "./playlist.js";

const MIME = "application/vnd.apple.mpegurl";
const REFUSED_MS = 10000;
const MEDIA_ERRORS_MAX = 3; // one after the other, without a picture between them

export function playsHls(video: HTMLVideoElement): boolean {
  return video.canPlayType(MIME) !== "";
}

export class NativeTransport implements Transport {
  state = "connecting";
  readonly leftOut = "";
  readonly tracks = [];
  readonly lostSamples = 0;
  firstFrameMs: number | null = null;
  stalls = 0;
  seeks = 0;
  connections = 0;
  rebuilds = 0;

  private readonly url: URL;
  private readonly life = new AbortController();
  private readonly backoff = new Backoff({ firstMs: 500 });
  private retry: number | undefined;
  private errors = 0;
  private wantPlaying = true;

  constructor(
    private readonly video: HTMLVideoElement,
    path: string,
    query: URLSearchParams,
    private readonly events: TransportEvents,
  ) {
    this.url = playlistUrl(path, query);
    const life = { signal: this.life.signal };
    video.addEventListener("playing", () => this.playing(), life);
    video.addEventListener("waiting", () => this.ranDry(), life);
    video.addEventListener("ended", () => this.again("off-air"), life);
    video.addEventListener("error", () => this.failed(), life);
    video.addEventListener("pause", () => this.paused(), life);
    video.addEventListener("play", () => this.resumed(), life);
    this.open();
  }

  close(): void {
    this.life.abort();
    window.clearTimeout(this.retry);
    this.video.removeAttribute("src");
    this.video.load();
  }

  seekLive(): void {
    const { seekable } = this.video;
    if (seekable.length > 0) {
      this.seeks += 1;
      this.video.currentTime = seekable.end(seekable.length - 1);
    }
  }

  get details(): PlayerDetails {
    return this;
  }

  get stats(): PlaybackStats {
    const v = this.video;
    const end = (r: TimeRanges) => (r.length > 0 ? r.end(r.length - 1) : v.currentTime);
    return {
      delay: this.firstFrameMs === null ? null : Math.max(0, end(v.seekable) - v.currentTime),
      buffered: Math.max(0, end(v.buffered) - v.currentTime),
      bitrate: null,
      dropped: v.getVideoPlaybackQuality().droppedVideoFrames,
      width: v.videoWidth,
      height: v.videoHeight,
    };
  }

  private open(): void {
    this.connections += 1;
    this.rebuilds += 1;
    this.video.src = this.url.href;
    this.video.play().catch((e: unknown) => {
      if (e instanceof DOMException && e.name === "NotAllowedError" && this.wantPlaying) {
        this.set("blocked");
      }
    });
  }

  // Waits until the stream is on the air, and plays it then.
  private again(why: WaitReason, message = "", waitMs = this.backoff.nextMs()): void {
    this.set(why, message);
    window.clearTimeout(this.retry);
    this.retry = window.setTimeout(() => void this.poll(), waitMs);
  }

  private async poll(): Promise<void> {
    const air = await askAir(this.url, this.life.signal);
    if (this.life.signal.aborted || !this.wantPlaying) {
      return;
    }
    const never = this.firstFrameMs === null;
    switch (air.is) {
      case "live":
        this.open();
        break;
      case "ended":
        this.again("off-air");
        break;
      case "nobody":
        this.again(never ? "nobody-yet" : "publisher-away");
        break;
      case "refused":
        this.again("refused", air.message, REFUSED_MS);
        break;
      case "away":
        this.again("reconnecting");
        break;
    }
  }

  private failed(): void {
    const e = this.video.error;
    const ours = e?.code === MediaError.MEDIA_ERR_DECODE || e?.code === MediaError.MEDIA_ERR_SRC_NOT_SUPPORTED;
    this.errors += ours ? 1 : 0;
    if (this.errors > MEDIA_ERRORS_MAX) {
      void this.giveUp(e?.message ?? "");
    } else if (e) {
      this.again(this.state === "connecting" ? "nobody-yet" : "reconnecting", e.message, 0);
    }
  }

  // "Not supported" is also what a playlist that is not there looks like.
  private async giveUp(message: string): Promise<void> {
    const air = await askAir(this.url, this.life.signal);
    if (air.is === "live") {
      this.events.unusable("codec", message);
    } else {
      this.errors = 0;
      this.again("reconnecting");
    }
  }

  private playing(): void {
    this.firstFrameMs ??= performance.now();
    this.errors = 0;
    this.backoff.reset();
    this.set(null);
  }

  private ranDry(): void {
    if (this.state === "playing" && !this.video.seeking && !this.video.paused) {
      this.stalls += 1;
      this.set("buffering");
    }
  }

  private paused(): void {
    if (this.wantPlaying && this.state === "playing" && !this.video.ended && !document.hidden) {
      this.set("paused");
      this.wantPlaying = false;
    }
  }

  private resumed(): void {
    if (!this.wantPlaying) {
      this.wantPlaying = true;
      this.set("buffering");
      this.seekLive();
    }
  }

  // null: it plays.
  private set(why: WaitReason | null, message = ""): void {
    const state = why ?? "playing";
    if (this.state === state || this.life.signal.aborted || !this.wantPlaying) {
      return;
    }
    this.state = state;
    const phase = why === null ? "playing" : why === "off-air" ? "ended" : why === "refused" ? "failed" : "waiting";
    this.events.state(phase, why ?? undefined, message || undefined);
  }
}
