// SPDX-License-Identifier: Apache-2.0
// The page of one stream: stage, controls, keys, and below them what is known about it. Shows what the player says; holds no
// logic of playback.

import { Detail } from "./detail.js";
import { el, icon, setText, type IconName } from "./dom.js";
import { formatBitrate, formatSeconds } from "./format.js";
import { lang, lookup, number, t, type Key } from "./i18n.js";
import { addShortcuts } from "./keys.js";
import { choices, codecName, openPlayer, type OpenPlayer, type PlaybackState, type PlaybackStats, type TransportName } from "./player/index.js";
import type { View } from "./shell.js";
import { recall, remember } from "./store.js";

const IDLE_MS = 2500;
const VOLUME_STEP = 0.1;
const TRANSPORTS: readonly TransportName[] = ["mse", "hls", "native"];
const NO_STATS: PlaybackStats = { delay: null, buffered: 0, bitrate: null, dropped: 0, width: 0, height: 0 };

// Reasons that the middle of the stage speaks about; "busy" ones end by themselves.
const NOTES: Record<string, { title?: Key; detail?: Key; busy: boolean }> = {
  buffering: { busy: true },
  "publisher-away": { title: "note.publisher-away", detail: "note.publisher-away.more", busy: true },
  "nobody-yet": { title: "note.nobody-yet", detail: "note.nobody-yet.more", busy: true },
  reconnecting: { title: "note.reconnecting", detail: "note.reconnecting.more", busy: true },
  "off-air": { title: "note.off-air", detail: "note.off-air.more", busy: false },
  refused: { title: "note.refused", busy: false },
};

interface Field {
  box: HTMLElement;
  value: HTMLElement;
}

function field(name: Key, title: string): Field {
  const value = el("dd", {}, "–");
  return { box: el("div", { class: "field", title }, el("dt", {}, t(name)), value), value };
}

function isTransport(v: string | null): v is TransportName {
  return TRANSPORTS.some((x) => x === v);
}

const withKey = (label: Key, key: string): string => `${t(label)} (${key === " " ? t("keys.space") : key})`;

export class Watch implements View {
  readonly node: HTMLElement;
  private readonly video = el("video", { playsinline: true, "aria-label": t("player.video") });
  private readonly badge = el("span", { class: "badge", role: "status" });
  private readonly noteTitle = el("strong");
  private readonly noteDetail = el("span");
  private readonly spinner = el("span", { class: "spinner", "aria-hidden": "true" });
  private readonly note = el("div", { class: "note", role: "status" }, this.spinner, this.noteTitle, this.noteDetail);
  private readonly notice = el("p", { class: "notice", role: "status", hidden: true });
  private readonly why = el("p", { class: "why", role: "status" });
  private readonly playButton = this.button("player.pause", " ", () => this.togglePause(), "pause", "play");
  private readonly muteButton = this.button("player.unmute", "m", () => this.toggleMute(), "muted", "sound");
  private readonly volume = el("input", { class: "volume", type: "range", min: 0, max: 1, step: 0.05, "aria-label": t("player.volume"), title: t("player.volume") });
  private readonly transport = el("select", { class: "transport", "aria-label": t("transport.label"), title: t("transport.label") });
  private readonly unmute: HTMLButtonElement;
  private readonly bigPlay: HTMLButtonElement;
  private readonly shell: HTMLElement;
  private readonly fields = {
    delay: field("player.delay", t("player.delay.more")),
    size: field("player.picture", ""),
    codec: field("player.codecs", ""),
    bitrate: field("player.bitrate", t("player.bitrate.more")),
    dropped: field("player.dropped", t("player.dropped.more")),
    readers: field("player.readers", t("player.readers.more")),
  };
  private readonly detail: Detail | null;
  private readonly removeKeys: () => void;
  private readonly life = new AbortController();
  private player: OpenPlayer | null = null;
  private state: PlaybackState = { phase: "connecting", transport: "mse", reason: "auto-mse" };
  private stats: PlaybackStats = NO_STATS;
  private idle: number | undefined;

  constructor(
    private readonly path: string,
    private readonly embedded: boolean,
  ) {
    this.video.muted = true; // browsers start nothing with sound on their own
    this.video.volume = Number(recall("volume") ?? 1);
    this.volume.value = String(this.video.volume);
    this.unmute = el("button", { class: "unmute", type: "button", click: () => this.toggleMute() }, icon("muted"), t("player.unmute"));
    this.bigPlay = el("button", { class: "big-play", type: "button", "aria-label": t("player.play"), click: () => this.togglePause() }, icon("play"));
    this.detail = embedded ? null : new Detail(path, (n) => setText(this.fields.readers.value, n === null ? "–" : number(n)));
    this.fillTransports();
    this.shell = this.layout();
    this.node = el("main", { class: embedded ? "watch embedded" : "watch", id: "content" }, this.shell, this.detail?.node ?? null);
    document.title = `${path} · Mast`;
    this.removeKeys = this.listen();
    this.open();
    this.expose();
  }

  close(): void {
    this.life.abort();
    window.clearTimeout(this.idle);
    this.removeKeys();
    this.player?.close();
    this.player = null;
    this.detail?.close();
  }

  /* ---- building ---- */

  // key: its shortcut, said in the label.
  private button(label: Key, key: string, click: () => void, ...icons: IconName[]): HTMLButtonElement {
    const says = key ? withKey(label, key) : t(label);
    return el("button", { class: "control", type: "button", "aria-label": says, title: says, click }, ...icons.map(icon));
  }

  private relabel(button: HTMLButtonElement, label: Key, key: string): void {
    const says = withKey(label, key);
    if (button.title !== says) {
      button.title = says;
      button.setAttribute("aria-label", says);
    }
  }

  private fillTransports(): void {
    const wish = this.wish();
    this.transport.append(el("option", { value: "auto" }, t("transport.auto")));
    for (const c of choices(this.video)) {
      const why = c.usable ? "" : ` (${t(`why.${c.reason}`)})`;
      this.transport.append(el("option", { value: c.name, disabled: !c.usable }, t(`transport.${c.name}`) + why));
    }
    this.transport.value = wish;
    this.transport.addEventListener("change", () => {
      remember("transport", this.transport.value);
      this.open();
    });
  }

  // That of the address, else what was chosen before and still works here.
  private wish(): TransportName | "auto" {
    const asked = new URLSearchParams(location.search).get("transport");
    if (isTransport(asked)) {
      return asked;
    }
    const stored = recall("transport");
    return isTransport(stored) && choices(this.video).some((c) => c.name === stored && c.usable) ? stored : "auto";
  }

  private layout(): HTMLElement {
    const stage = el("div", { class: "stage" }, this.video, this.note, this.bigPlay, this.unmute);
    const status = el("dl", { class: "status", "aria-label": t("player.status") }, ...Object.values(this.fields).map((f) => f.box));
    const live = this.button("player.live", ".", () => this.player?.seekLive(), "edge");
    const snapshot = this.button("player.snapshot", "s", () => this.snapshot(), "camera");
    const full = this.button("player.full", "f", () => this.toggleFull(), "full");
    const bar = el("div", { class: "bar" }, el("div", { class: "buttons" }, this.playButton, this.muteButton, this.volume, live), status, el("div", { class: "buttons" }, this.transport, snapshot, full));
    const title = this.embedded ? null : el("div", { class: "title" }, el("h1", {}, this.path), this.badge);
    return el("section", { class: "player", "aria-label": this.path }, title, stage, bar, el("div", { class: "says" }, this.why, this.notice));
  }

  private listen(): () => void {
    const life = { signal: this.life.signal };
    this.video.addEventListener("volumechange", () => this.showSound(), life);
    this.video.addEventListener("dblclick", () => this.toggleFull(), life);
    this.volume.addEventListener("input", () => {
      this.setVolume(Number(this.volume.value));
    });
    for (const name of ["pointermove", "pointerdown", "keydown"]) {
      this.shell.addEventListener(name, () => this.awake(), { passive: true, signal: this.life.signal });
    }
    this.awake();
    return addShortcuts([
      { key: " ", shown: t("keys.space"), label: "keys.play", run: () => this.togglePause() },
      { key: "m", label: "keys.mute", run: () => this.toggleMute() },
      { key: "ArrowUp", shown: "↑", label: "keys.louder", run: () => this.setVolume(this.video.volume + VOLUME_STEP) },
      { key: "ArrowDown", shown: "↓", label: "keys.quieter", run: () => this.setVolume(this.video.volume - VOLUME_STEP) },
      { key: "f", label: "keys.full", run: () => this.toggleFull() },
      { key: ".", label: "keys.live", run: () => this.player?.seekLive() },
      { key: "s", label: "keys.snapshot", run: () => this.snapshot() },
    ]);
  }

  /* ---- doing ---- */

  private open(): void {
    const query = new URLSearchParams(location.search);
    query.delete("embed");
    query.delete("transport");
    const transport = this.transport.value;
    this.player?.close();
    this.stats = NO_STATS;
    this.player = openPlayer(this.video, {
      path: this.path,
      transport: isTransport(transport) ? transport : "auto",
      query,
      onState: (s) => {
        this.state = s;
        this.show();
      },
      onStats: (s) => {
        this.stats = s;
        this.showStatus();
      },
    });
  }

  // In full screen the bar goes away when nothing moves.
  private awake(): void {
    this.shell.classList.remove("idle");
    window.clearTimeout(this.idle);
    this.idle = window.setTimeout(() => this.shell.classList.add("idle"), IDLE_MS);
  }

  private get paused(): boolean {
    return this.state.reason === "paused" || this.state.reason === "blocked";
  }

  private togglePause(): void {
    if (this.paused) {
      this.video.play().catch(() => undefined); // the player says what came of it
    } else {
      this.video.pause();
    }
  }

  private toggleMute(): void {
    this.video.muted = !this.video.muted;
    if (!this.video.muted && this.video.volume === 0) {
      this.video.volume = 0.5;
    }
  }

  private setVolume(to: number): void {
    this.video.volume = Math.min(1, Math.max(0, to));
    this.video.muted = this.video.volume === 0;
    remember("volume", String(this.video.volume));
  }

  private toggleFull(): void {
    const phone = this.video as HTMLVideoElement & { webkitEnterFullscreen?: () => void };
    if (document.fullscreenElement) {
      void document.exitFullscreen();
    } else if (this.shell.requestFullscreen) {
      this.shell.requestFullscreen().catch(() => undefined);
    } else {
      phone.webkitEnterFullscreen?.();
    }
  }

  private snapshot(): void {
    const { videoWidth: width, videoHeight: height } = this.video;
    if (width === 0) {
      return;
    }
    const canvas = el("canvas", { width, height });
    canvas.getContext("2d")?.drawImage(this.video, 0, 0);
    canvas.toBlob((blob) => {
      if (!blob) {
        return;
      }
      const href = URL.createObjectURL(blob);
      const time = new Date().toISOString().slice(0, 19).replace(/:/g, "");
      el("a", { href, download: `${this.path.replace(/\//g, "-")}-${time}.png` }).click();
      window.setTimeout(() => URL.revokeObjectURL(href), 10000);
    }, "image/png");
  }

  /* ---- showing ---- */

  private show(): void {
    const { phase, reason, transport, message } = this.state;
    this.shell.dataset["state"] = phase === "waiting" ? reason : phase;
    const badge = lookup(`state.${reason}`) ?? lookup(`state.${phase}`) ?? "";
    setText(this.badge, badge);
    this.badge.dataset["state"] = phase;
    this.showNote();
    const why = lookup(`why.${reason}`);
    if (why && phase !== "failed") {
      setText(this.why, t("transport.says", { transport: t(`transport.${transport}`), why }));
    }
    this.playButton.classList.toggle("on", !this.paused);
    this.relabel(this.playButton, this.paused ? "player.play" : "player.pause", " ");
    this.bigPlay.hidden = !this.paused;
    this.video.title = message ?? "";
    this.showSound();
    this.showStatus();
  }

  private showNote(): void {
    const { phase, reason, message } = this.state;
    const says = phase === "connecting" ? { busy: true } : NOTES[reason];
    const failed = phase === "failed" && reason !== "refused";
    this.note.hidden = !says && !failed;
    this.spinner.hidden = !says?.busy || failed;
    const title = failed ? t("note.unsupported") : says && "title" in says && says.title ? t(says.title) : "";
    setText(this.noteTitle, title);
    const own = says && "detail" in says && says.detail ? t(says.detail) : "";
    if (failed) {
      const why = lookup(`why.${reason}`) ?? "";
      setText(this.noteDetail, message && why ? `${why}: ${message}` : message || why);
    } else {
      // The server speaks English: where the page has words of its own, they are those of its language.
      setText(this.noteDetail, (lang() === "en" && message) || own || message || "");
    }
  }

  private get hasSound(): boolean {
    const tracks = this.player?.details.tracks ?? [];
    return tracks.length === 0 || tracks.some((x) => x.kind === "audio");
  }

  private showSound(): void {
    const silent = this.video.muted || this.video.volume === 0;
    this.muteButton.classList.toggle("on", !silent);
    this.relabel(this.muteButton, silent ? "player.unmute" : "player.mute", "m");
    this.muteButton.disabled = this.volume.disabled = !this.hasSound;
    this.volume.value = String(this.video.volume);
    this.unmute.hidden = !this.video.muted || !this.hasSound || this.state.phase !== "playing";
  }

  private showStatus(): void {
    const s = this.stats;
    const f = this.fields;
    const details = this.player?.details;
    const playing = this.state.phase === "playing";
    setText(f.delay.value, playing && s.delay !== null ? formatSeconds(s.delay) : "–");
    setText(f.size.value, s.width > 0 ? `${s.width}×${s.height}` : "–");
    setText(f.codec.value, details?.tracks.map((x) => codecName(x.codec)).join(" + ") || "–");
    setText(f.bitrate.value, s.bitrate === null ? "–" : formatBitrate(s.bitrate));
    setText(f.dropped.value, number(s.dropped));
    const codecs = details?.leftOut ?? "";
    this.notice.hidden = codecs === "";
    setText(this.notice, codecs && t("player.left-out", { codecs }));
  }

  // For tests, and for people who look into a problem with the browser's console.
  private expose(): void {
    const watch = this;
    const video = this.video;
    const ranges = (r: TimeRanges): number[][] => Array.from({ length: r.length }, (_x, i) => [r.start(i), r.end(i)]);
    const debug = {
      path: this.path,
      video,
      get player() {
        return watch.player;
      },
      get playback() {
        return watch.state;
      },
      get transport() {
        return watch.player?.transport;
      },
      get state() {
        return watch.player?.details.state;
      },
      get currentTime() {
        return video.currentTime;
      },
      get buffered() {
        return ranges(video.buffered);
      },
      get latency() {
        return watch.stats.delay;
      },
      get rate() {
        return video.playbackRate;
      },
      get stalls() {
        return watch.player?.details.stalls;
      },
      get seeks() {
        return watch.player?.details.seeks;
      },
      get connections() {
        return watch.player?.details.connections;
      },
      get rebuilds() {
        return watch.player?.details.rebuilds;
      },
      get lostSamples() {
        return watch.player?.details.lostSamples;
      },
      get firstFrameMs() {
        return watch.player?.details.firstFrameMs ?? null;
      },
      get droppedFrames() {
        return video.getVideoPlaybackQuality().droppedVideoFrames;
      },
      get totalFrames() {
        return video.getVideoPlaybackQuality().totalVideoFrames;
      },
    };
    (window as unknown as { mast: typeof debug }).mast = debug;
  }
}
