// SPDX-License-Identifier: Apache-2.0
// HLS by hls.js, which is loaded when it is needed. hls.js keeps to the live edge and steps over discontinuities; what is
// here is the life around it: streams that are not there yet or have ended, servers that are away, errors it gives up on.

import type { AudioStreamController, ErrorData, Events, default as HlsClass, HlsConfig } from "hls.js";

import { Backoff } from "./backoff.js";
import type { PlaybackStats, PlayerDetails, Transport, TransportEvents, WaitReason } from "./contract.js";
import { askAir, playlistUrl } from "./playlist.js";

type Hls = HlsClass;
type HlsModule = typeof import("hls.js");

const TICK_MS = 250;
const RATE_WINDOW_MS = 6000;
const AWAY_MS = 4000; // without anything new in the playlist: the publisher is away
const STUCK_MS = 20000; // nothing moves although the playlist does: begin anew
const REFUSED_MS = 10000;
const BEHIND_MS = 8000; // so long so far behind that hls.js does not catch up by itself: jump
const MEDIA_ERROR_MS = 5000; // a second one so soon is not recovered from in place

// A server holds a reload back until it has news, and says 503 when none came: neither is an error to give up on.
const PATIENT = {
  default: {
    maxTimeToFirstByteMs: 45000,
    maxLoadTimeMs: 60000,
    timeoutRetry: { maxNumRetry: 1000, retryDelayMs: 0, maxRetryDelayMs: 0 },
    errorRetry: { maxNumRetry: 1000, retryDelayMs: 500, maxRetryDelayMs: 4000 },
  },
};

const CONFIG: Partial<HlsConfig> = {
  enableWorker: false, // fragmented MP4 is passed on as it is: nothing to do for a worker, and no blob: in the CSP
  lowLatencyMode: true,
  liveDurationInfinity: true,
  maxLiveSyncPlaybackRate: 1.1,
  liveSyncOnStallIncrease: 0.2,
  backBufferLength: 20,
  maxBufferLength: 20,
  maxMaxBufferLength: 30,
  testBandwidth: false,
  startFragPrefetch: true,
  playlistLoadPolicy: PATIENT,
};

// Sound waits for the first stamp of the picture, and hls.js 1.7 looks only every 100 ms whether it is known, twice: with
// parts, that is up to 200 ms of the way to the first picture.
function promptSound(Base: typeof AudioStreamController): typeof AudioStreamController {
  return class extends Base {
    override onInitPtsFound(...found: Parameters<AudioStreamController["onInitPtsFound"]>): void {
      super.onInitPtsFound(...found);
      if (this.state === "WAITING_INIT_PTS") {
        this.tick();
        this.tickImmediate();
      }
    }
  };
}

// While hls.js is loaded the server makes the playlist, and the browser has it when hls.js asks for it.
function preload(url: URL): HTMLLinkElement {
  const link = document.createElement("link");
  link.rel = "preload";
  link.as = "fetch";
  link.crossOrigin = "anonymous"; // as XMLHttpRequest asks, or it would be asked for twice
  link.href = url.href;
  document.head.append(link);
  return link;
}

export class HlsTransport implements Transport {
  state = "connecting";
  readonly leftOut = "";
  tracks: { kind: string; codec: string }[] = [];
  firstFrameMs: number | null = null;
  stalls = 0;
  seeks = 0;
  connections = 0; // here: times a playlist was opened
  rebuilds = 0;
  readonly lostSamples = 0;

  private readonly url: URL;
  private readonly early: HTMLLinkElement;
  private readonly life = new AbortController();
  private readonly backoff = new Backoff({ firstMs: 500 });
  private readonly ticker: number;
  private module: HlsModule | null = null;
  private hls: Hls | null = null;
  private retry: number | undefined;
  private wantPlaying = true;
  private arrivals: { atMs: number; bytes: number }[] = [];
  private newsMs = performance.now(); // when the playlist last had something new
  private newest = ""; // what that was
  private movedMs = performance.now();
  private position = 0;
  private mediaErrorMs = -Infinity;
  private stretch: number | null = null; // the discontinuity that plays
  private nearMs = performance.now(); // when it last was where low latency should be

  constructor(
    private readonly video: HTMLVideoElement,
    path: string,
    query: URLSearchParams,
    private readonly events: TransportEvents,
  ) {
    this.url = playlistUrl(path, query);
    this.early = preload(this.url);
    this.listen();
    this.ticker = window.setInterval(() => this.tick(), TICK_MS);
    void this.open();
  }

  close(): void {
    this.life.abort();
    this.early.remove();
    window.clearInterval(this.ticker);
    window.clearTimeout(this.retry);
    this.drop();
    this.video.removeAttribute("src");
    this.video.load();
  }

  seekLive(): void {
    const to = this.hls?.liveSyncPosition;
    if (to !== null && to !== undefined) {
      this.seeks += 1;
      this.video.currentTime = to;
    }
  }

  get details(): PlayerDetails {
    return this;
  }

  get stats(): PlaybackStats {
    const v = this.video;
    const last = v.buffered.length - 1;
    const since = performance.now() - RATE_WINDOW_MS;
    this.arrivals = this.arrivals.filter((a) => a.atMs > since);
    return {
      delay: this.hls && this.firstFrameMs !== null ? this.hls.latency : null,
      buffered: last >= 0 ? Math.max(0, v.buffered.end(last) - v.currentTime) : 0,
      bitrate: (this.arrivals.reduce((sum, a) => sum + a.bytes, 0) * 8 * 1000) / RATE_WINDOW_MS,
      dropped: v.getVideoPlaybackQuality().droppedVideoFrames,
      width: v.videoWidth,
      height: v.videoHeight,
    };
  }

  private get closed(): boolean {
    return this.life.signal.aborted;
  }

  private listen(): void {
    const v = this.video;
    const life = { signal: this.life.signal };
    v.addEventListener("playing", () => this.playing(), life);
    v.addEventListener("waiting", () => this.ranDry(), life);
    v.addEventListener("ended", () => this.ended(), life);
    v.addEventListener("pause", () => this.paused(), life);
    v.addEventListener("play", () => this.resumed(), life);
    if ("requestVideoFrameCallback" in v) {
      v.requestVideoFrameCallback((_now, frame) => (this.firstFrameMs ??= frame.presentationTime));
    }
  }

  /* ---- one life of hls.js ---- */

  private async open(): Promise<void> {
    try {
      this.module ??= await import("hls.js");
    } catch {
      this.again("reconnecting");
      return;
    }
    if (this.closed || !this.wantPlaying) {
      return;
    }
    const Hls = this.module.default;
    const { audioStreamController: sound } = Hls.DefaultConfig;
    const hls = new Hls({ ...CONFIG, ...(sound && { audioStreamController: promptSound(sound) }) });
    this.hls = hls;
    this.connections += 1;
    this.rebuilds += 1;
    this.newsMs = this.movedMs = performance.now();
    this.stretch = null;
    hls.on(Hls.Events.MANIFEST_PARSED, (_e, d) => {
      const l = d.levels[0];
      this.tracks = [
        ...(l?.videoCodec ? [{ kind: "video", codec: l.videoCodec }] : []),
        ...(l?.audioCodec || d.audioTracks.length > 0 ? [{ kind: "audio", codec: l?.audioCodec ?? "" }] : []),
      ];
      this.play();
    });
    hls.on(Hls.Events.LEVEL_UPDATED, (_e, { details }) => {
      const newest = `${details.endSN} ${details.lastPartSn} ${details.lastPartIndex} ${details.live}`;
      if (newest !== this.newest) {
        this.newest = newest;
        this.newsMs = performance.now();
      }
    });
    hls.on(Hls.Events.FRAG_CHANGED, (_e, { frag }) => this.reached(hls, frag.cc));
    hls.on(Hls.Events.FRAG_LOADED, (_e, d) => {
      const bytes = d.payload.byteLength;
      this.arrivals.push({ atMs: performance.now(), bytes });
    });
    hls.on(Hls.Events.ERROR, (_e: Events.ERROR, d: ErrorData) => this.error(d));
    hls.loadSource(this.url.href);
    hls.attachMedia(this.video);
  }

  // Each stall makes hls.js keep further from the edge. One that a publisher's return made says nothing of the network.
  private reached(hls: Hls, stretch: number): void {
    const partHoldBack = hls.latestLevelDetails?.partHoldBack ?? 0;
    if (this.stretch !== null && stretch !== this.stretch && partHoldBack > 0) {
      hls.targetLatency = partHoldBack;
    }
    this.stretch = stretch;
  }

  private drop(): void {
    this.hls?.destroy();
    this.hls = null;
  }

  // Opens it once more, after a while.
  private again(why: WaitReason, waitMs = this.backoff.nextMs(), message = ""): void {
    this.drop();
    this.set(why, message);
    window.clearTimeout(this.retry);
    this.retry = window.setTimeout(() => void this.open(), waitMs);
  }

  private error(d: ErrorData): void {
    const { ErrorTypes, ErrorDetails } = this.module!.default;
    if (!d.fatal) {
      return;
    }
    if (d.details === ErrorDetails.MANIFEST_INCOMPATIBLE_CODECS_ERROR || d.details === ErrorDetails.BUFFER_INCOMPATIBLE_CODECS_ERROR) {
      this.drop();
      this.events.unusable("codec", d.error.message);
    } else if (d.response?.code === 401 || d.response?.code === 403) {
      void this.refused();
    } else if (d.response?.code === 404) {
      this.again(this.firstFrameMs === null ? "nobody-yet" : "publisher-away");
    } else if (d.type === ErrorTypes.MEDIA_ERROR && performance.now() - this.mediaErrorMs > MEDIA_ERROR_MS) {
      this.mediaErrorMs = performance.now();
      this.hls?.recoverMediaError();
      this.play();
    } else {
      this.again("reconnecting", undefined, d.type === ErrorTypes.MEDIA_ERROR ? d.error.message : "");
    }
  }

  private async refused(): Promise<void> {
    this.drop();
    const air = await askAir(this.url, this.life.signal);
    if (!this.closed) {
      this.again("refused", REFUSED_MS, air.is === "refused" ? air.message : "");
    }
  }

  // hls.js takes no notice of a stream that goes on after its end.
  private ended(): void {
    this.set("off-air");
    this.drop();
    const poll = async (): Promise<void> => {
      const air = await askAir(this.url, this.life.signal);
      if (air.is === "live" && !this.closed) {
        void this.open();
      } else if (!this.closed) {
        this.retry = window.setTimeout(() => void poll(), this.backoff.nextMs());
      }
    };
    this.retry = window.setTimeout(() => void poll(), this.backoff.nextMs());
  }

  /* ---- playback ---- */

  private play(): void {
    this.video.play().catch((e: unknown) => {
      if (e instanceof DOMException && e.name === "NotAllowedError" && this.wantPlaying && !this.closed) {
        this.set("blocked");
      }
    });
  }

  private playing(): void {
    this.firstFrameMs ??= performance.now();
    this.backoff.reset();
    if (this.wantPlaying) {
      this.set(null);
    }
  }

  private ranDry(): void {
    if (this.state === "playing" && !this.video.seeking && !this.video.paused) {
      this.stalls += 1;
      this.set("buffering");
    }
  }

  // A pause costs nobody anything; the return is at the edge.
  private paused(): void {
    const byViewer = this.hls !== null && !this.video.ended && !document.hidden && this.firstFrameMs !== null;
    if (byViewer && this.wantPlaying && this.video.readyState > HTMLMediaElement.HAVE_NOTHING) {
      this.wantPlaying = false;
      this.hls?.stopLoad();
      this.set("paused");
    }
  }

  private resumed(): void {
    if (this.wantPlaying) {
      return;
    }
    this.wantPlaying = true;
    this.newsMs = this.movedMs = performance.now();
    this.set("buffering");
    this.drop();
    void this.open();
  }

  private tick(): void {
    const now = performance.now();
    const moves = this.video.currentTime !== this.position;
    this.position = this.video.currentTime;
    if (moves || !this.wantPlaying || this.video.paused) {
      this.movedMs = now;
    }
    if (moves && this.state === "buffering" && !this.video.seeking) {
      this.set(null);
    }
    const away = now - this.newsMs > AWAY_MS;
    if (this.state === "buffering" || this.state === "publisher-away") {
      this.set(away ? "publisher-away" : "buffering");
    }
    this.keepNear(now, away || !moves);
    if (this.hls && !away && now - this.movedMs > STUCK_MS) {
      this.movedMs = now;
      this.again("reconnecting");
    }
  }

  // hls.js plays faster only within one target duration of where it should be. A publisher's return can leave the player
  // further behind than that, for good, with everything up to the edge in its buffer: then it jumps there, once.
  private keepNear(now: number, excused: boolean): void {
    const details = this.hls?.latestLevelDetails;
    const target = this.hls?.targetLatency ?? null;
    const lowLatency = details !== null && details !== undefined && details.partHoldBack > 0;
    if (!lowLatency || excused || target === null || this.hls!.latency - target < details.targetduration) {
      this.nearMs = now;
    } else if (now - this.nearMs > BEHIND_MS) {
      this.nearMs = now;
      this.seekLive();
    }
  }

  // null: it plays.
  private set(why: WaitReason | null, message = ""): void {
    const state = why ?? "playing";
    if (this.state === state || this.closed || (!this.wantPlaying && why !== "paused")) {
      return;
    }
    this.state = state;
    const phase = why === null ? "playing" : why === "off-air" ? "ended" : why === "refused" ? "failed" : "waiting";
    this.events.state(phase, why ?? undefined, message || undefined);
  }
}
