// SPDX-License-Identifier: Apache-2.0
// Plays one stream at the live edge: joins the socket, the media source and the edge controller, and survives what happens
// to them. It knows no page: it is given a <video> and tells a listener when something that is shown has changed.

import { Backoff } from "./backoff.js";
import { EdgeController, type Range } from "./edge.js";
import { parseMessage, trackMime, type InitMessage, type StreamState, type Track } from "./messages.js";
import { Socket } from "./socket.js";
import { mediaSourceClass, Source } from "./source.js";

export type PlayerState =
  | "connecting" // no answer yet
  | "buffering" // the stream is live, its first picture is on the way
  | "playing"
  | "stalled" // live, but what arrives is not enough
  | "waiting" // connected; nobody publishes right now
  | "ended" // connected; the publisher left and its time to return is over
  | "reconnecting" // the server is gone
  | "refused" // the server says no
  | "paused" // by the viewer
  | "blocked" // the browser wants a click first
  | "unsupported"; // no track that this browser plays

export interface PlayerOptions {
  video: HTMLVideoElement;
  path: string;
  query: URLSearchParams; // of the page: credentials in it are passed on
  changed: () => void;
  noUpgrade?: () => void; // the server can be reached, but not by WebSocket
}

const EDGE_WAIT_MS = 500; // for history to be buffered before the first seek
const SILENCE_MS = 8000; // live without media: the connection is dead in a way TCP has not noticed
const TICK_MS = 250;
const RATE_WINDOW_MS = 3000;
const HIDDEN_JUMP_S = 1; // behind the edge by more than this on return: jump instead of catching up

export class Player {
  state: PlayerState = "connecting";
  detail = ""; // what to say about the state
  leftOut = ""; // the codecs of tracks that this browser cannot play
  tracks: readonly Track[] = [];
  streamState: StreamState | null = null;
  firstFrameMs: number | null = null; // since the page was opened
  stalls = 0;
  seeks = 0;
  connections = 0;
  rebuilds = 0;
  lostSamples = 0; // skipped by the server because this viewer was too slow

  private readonly video: HTMLVideoElement;
  private readonly socket: Socket;
  private readonly edge = new EdgeController();
  private readonly failures = new Backoff();
  private source: Source | null = null;
  private sourceKinds = "";
  private init: InitMessage | null = null;
  private wanted: string | null = null; // value of tracks=
  private expectInit = false;
  private awaitEdge: { end: number; untilMs: number } | null = null;
  private wantPlaying = true;
  private started = false; // this source has been positioned
  private lastTime = 0;
  private lastMoveMs = 0;
  private lastMediaMs = 0;
  private arrivals: { atMs: number; bytes: number }[] = [];
  private readonly life = new AbortController(); // ends what listens
  private ticker: number | undefined;
  private retry: number | undefined;

  constructor(private readonly options: PlayerOptions) {
    this.video = options.video;
    this.socket = new Socket(() => this.socketUrl(), {
      opened: () => this.opened(),
      text: (data) => this.handleText(data),
      binary: (data) => this.handleBinary(data),
      lost: (why, refused) => this.lost(why, refused),
      noUpgrade: () => this.options.noUpgrade?.(),
    });
  }

  start(): void {
    if (!mediaSourceClass()) {
      this.set("unsupported");
      return;
    }
    this.listen();
    this.socket.start();
    this.ticker = window.setInterval(() => this.tick(), TICK_MS);
  }

  // Nothing is told any more, and the <video> is as it was.
  close(): void {
    this.life.abort();
    window.clearInterval(this.ticker);
    window.clearTimeout(this.retry);
    this.wantPlaying = false;
    this.socket.close();
    this.source?.close();
    this.source = null;
    this.video.playbackRate = 1;
    this.video.removeAttribute("src");
    this.video.load();
  }

  seekLive(): void {
    if (this.started) {
      this.seek(this.edge.edge(this.ranges()));
    }
  }

  get playing(): boolean {
    return this.wantPlaying;
  }

  // A pause ends the connection: nobody pays for media that nobody sees, and the return is at the edge anyway.
  togglePause(): void {
    if (this.state === "blocked") {
      this.play();
      return;
    }
    this.wantPlaying = !this.wantPlaying;
    if (this.wantPlaying) {
      this.set("connecting");
      this.socket.start();
      this.play();
    } else {
      this.socket.stop();
      this.video.pause();
      this.streamState = null;
      this.set("paused");
    }
  }

  ranges(): Range[] {
    return this.source?.ranges() ?? [];
  }

  // Seconds between the position and the newest media here; null while nothing plays.
  get latency(): number | null {
    const ranges = this.ranges();
    const last = ranges[ranges.length - 1];
    return last && this.started ? Math.max(0, last.end - this.video.currentTime) : null;
  }

  get bitrateBps(): number {
    const now = performance.now();
    const recent = this.arrivals.filter((a) => a.atMs > now - RATE_WINDOW_MS);
    return (recent.reduce((sum, a) => sum + a.bytes, 0) * 8 * 1000) / RATE_WINDOW_MS;
  }

  get targetSlack(): number {
    return this.edge.targetSlack;
  }

  private socketUrl(): URL {
    const path = this.options.path.split("/").map(encodeURIComponent).join("/");
    const url = new URL(`/${path}/mse`, location.href);
    url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    url.search = this.options.query.toString();
    if (this.wanted !== null) {
      url.searchParams.set("tracks", this.wanted);
    }
    return url;
  }

  private listen(): void {
    const v = this.video;
    const life = { signal: this.life.signal };
    v.addEventListener("playing", () => this.resumed(), life);
    v.addEventListener("timeupdate", () => this.control(), life);
    v.addEventListener("waiting", () => this.ranDry(), life);
    v.addEventListener("pause", () => this.pausedFromOutside(), life);
    v.addEventListener("play", () => this.playedFromOutside(), life);
    v.addEventListener(
      "error",
      () => {
        if (v.error && this.source) {
          this.fail(v.error.message || "the browser could not decode the media");
        }
      },
      life,
    );
    document.addEventListener("visibilitychange", () => this.shown(), life);
    this.watchFirstFrame();
  }

  private watchFirstFrame(): void {
    const seen = (atMs: number): void => {
      this.firstFrameMs ??= atMs;
      if (!this.life.signal.aborted) {
        this.options.changed();
      }
    };
    if ("requestVideoFrameCallback" in this.video) {
      this.video.requestVideoFrameCallback((_now, frame) => seen(frame.presentationTime));
    } else {
      (this.video as HTMLVideoElement).addEventListener("playing", () => seen(performance.now()), {
        once: true,
        signal: this.life.signal,
      });
    }
  }

  /* ---- the connection ---- */

  private opened(): void {
    this.connections += 1;
    this.expectInit = false;
    this.lastMediaMs = performance.now();
    this.options.changed();
  }

  private lost(why: string, refused: boolean): void {
    this.streamState = null;
    this.set(refused ? "refused" : "reconnecting", why);
  }

  private handleText(data: string): void {
    const m = parseMessage(data);
    switch (m?.type) {
      case "init":
        this.handleInit(m);
        break;
      case "state":
        this.handleState(m.state, m.reason);
        break;
      case "jumped":
        this.lostSamples += m.dropped;
        break;
      case undefined:
        break;
    }
  }

  private handleState(state: StreamState, reason: string): void {
    if (state === "live" && this.streamState === "ended" && this.wanted !== null) {
      this.askForAll();
      return;
    }
    this.streamState = state === "discontinuity" ? "live" : state;
    this.lastMediaMs = performance.now();
    switch (state) {
      case "live":
        if (this.state !== "playing" && this.state !== "blocked") {
          this.set("buffering");
        }
        break;
      case "waiting":
      case "ended":
        this.set(state, reason);
        break;
      case "discontinuity":
        this.edge.forget();
        break;
    }
  }

  // Another publisher may send codecs that this browser has.
  private askForAll(): void {
    this.wanted = null;
    this.leftOut = "";
    this.streamState = null;
    this.socket.restart();
  }

  private handleInit(m: InitMessage): void {
    const Class = mediaSourceClass();
    const good = m.tracks.filter((t) => Class?.isTypeSupported(trackMime(t)));
    this.init = m;
    this.expectInit = true;
    if (good.length === m.tracks.length) {
      this.tracks = m.tracks;
      this.options.changed();
      return;
    }
    const bad = m.tracks.filter((t) => !good.includes(t));
    this.leftOut = bad.map((t) => codecName(t.codec)).join(", ");
    this.expectInit = false;
    if (good.length === 0) {
      this.socket.stop();
      this.set("unsupported", this.leftOut);
      return;
    }
    this.wanted = good.map((t) => t.kind).join(",");
    this.socket.restart();
  }

  private handleBinary(data: ArrayBuffer): void {
    const now = performance.now();
    this.lastMediaMs = now;
    this.arrivals.push({ atMs: now, bytes: data.byteLength });
    if (this.arrivals.length > 2000 || (this.arrivals[0]?.atMs ?? now) < now - 2 * RATE_WINDOW_MS) {
      this.arrivals = this.arrivals.filter((a) => a.atMs > now - RATE_WINDOW_MS).slice(-1000);
    }
    if (this.expectInit && this.init) {
      this.expectInit = false;
      this.begin(this.init, now);
    }
    this.source?.append(data); // without a source: the rest of a connection that is being replaced
  }

  // The init segment of m is next.
  private begin(m: InitMessage, now: number): void {
    const kinds = m.tracks.map((t) => t.kind).join();
    if (!this.source || kinds !== this.sourceKinds) {
      this.build(m, kinds);
    }
    const end = m.edgeMs === null ? null : m.edgeMs / 1000;
    const ranges = this.ranges();
    const last = ranges[ranges.length - 1];
    if (end !== null && last && end < last.end - 1) {
      this.source?.clear(); // another server, or the machine was started anew: its clock is behind what is here
      this.started = false;
    }
    this.source?.setType(m.mime);
    this.awaitEdge = end === null ? null : { end, untilMs: now + EDGE_WAIT_MS };
    this.edge.forget();
  }

  private build(m: InitMessage, kinds: string): void {
    this.source?.close();
    this.rebuilds += 1;
    this.sourceKinds = kinds;
    this.started = false;
    this.source = new Source(this.video, m.mime, {
      appended: () => this.control(),
      failed: (why) => this.fail(why),
    });
  }

  // The source is dead. A new connection brings a new init and a key frame.
  private fail(why: string): void {
    this.source?.close();
    this.source = null;
    this.started = false;
    this.socket.stop();
    this.set("reconnecting", why);
    this.retry = window.setTimeout(() => {
      if (this.wantPlaying) {
        this.socket.start();
      }
    }, this.failures.nextMs());
  }

  /* ---- playback ---- */

  private play(): void {
    this.video.play().catch((e: unknown) => {
      if (e instanceof DOMException && e.name === "NotAllowedError" && this.wantPlaying) {
        this.set("blocked");
      }
    });
  }

  private resumed(): void {
    this.failures.reset();
    if (this.wantPlaying) {
      this.notePlaying();
    }
  }

  private notePlaying(): void {
    // Media that was on its way still plays for a moment after the stream went away: that is not "live" again.
    if (this.streamState === "live") {
      this.set("playing");
    }
  }

  private ranDry(): void {
    const expected = this.started && this.streamState === "live" && this.state === "playing";
    if (expected && !this.video.seeking && !this.video.paused) {
      this.stalls += 1;
      this.edge.stalled(performance.now());
      this.set("stalled");
    }
  }

  private pausedFromOutside(): void {
    // A media key, or the browser saving power on a hidden page; our own pauses have wantPlaying false already.
    if (this.wantPlaying && this.started && !document.hidden && !this.video.ended) {
      this.togglePause();
    }
  }

  private playedFromOutside(): void {
    if (!this.wantPlaying) {
      this.togglePause();
    }
  }

  private shown(): void {
    if (document.hidden || !this.wantPlaying) {
      return;
    }
    this.socket.retryNow();
    if (this.started && (this.latency ?? 0) > HIDDEN_JUMP_S) {
      this.seek(this.edge.edge(this.ranges()));
    }
    if (this.video.paused && this.started) {
      this.play();
    }
  }

  private seek(to: number | null): void {
    if (to === null || Math.abs(to - this.video.currentTime) < 0.02) {
      return;
    }
    this.seeks += 1;
    this.edge.forget();
    this.video.playbackRate = 1;
    this.video.currentTime = to;
    this.lastMoveMs = performance.now();
  }

  private tick(): void {
    const silent = performance.now() - this.lastMediaMs > SILENCE_MS;
    if (silent && this.streamState === "live" && this.wantPlaying) {
      this.lastMediaMs = performance.now();
      this.socket.restart();
    }
    this.control();
    this.options.changed();
  }

  // After every append and a few times a second.
  private control(): void {
    const ranges = this.ranges();
    const last = ranges[ranges.length - 1];
    if (!this.source || !this.wantPlaying || !last) {
      return;
    }
    const now = performance.now();
    if (this.awaitEdge && last.end < this.awaitEdge.end - 0.1 && now < this.awaitEdge.untilMs) {
      return;
    }
    this.awaitEdge = null;
    if (!this.started) {
      this.started = true;
      this.seek(this.edge.edge(ranges));
      this.play();
      return;
    }
    const decision = this.edge.update({
      nowMs: now,
      currentTime: this.video.currentTime,
      ranges,
      stuck: this.isStuck(now),
    });
    if (decision.seekTo !== null) {
      this.seek(decision.seekTo);
    } else if (this.video.playbackRate !== decision.rate) {
      this.video.playbackRate = decision.rate;
    }
  }

  private isStuck(now: number): boolean {
    const v = this.video;
    if (v.currentTime !== this.lastTime || v.paused) {
      this.lastTime = v.currentTime;
      this.lastMoveMs = now;
      if (this.state === "buffering" || this.state === "stalled" || this.state === "waiting") {
        if (!v.paused && !v.seeking && v.readyState >= HTMLMediaElement.HAVE_FUTURE_DATA) {
          this.notePlaying();
        }
      }
    }
    return now - this.lastMoveMs > (v.seeking ? 2000 : 300);
  }

  private set(state: PlayerState, detail = ""): void {
    if (!this.wantPlaying && state !== "paused") {
      return;
    }
    if (this.state !== state || this.detail !== detail) {
      this.state = state;
      this.detail = detail;
      this.options.changed();
    }
  }
}

export function codecName(codec: string): string {
  const names: Record<string, string> = {
    h264: "H.264",
    hevc: "HEVC",
    av1: "AV1",
    vp9: "VP9",
    aac: "AAC",
    opus: "Opus",
    mp3: "MP3",
  };
  return names[codec] ?? codec;
}
