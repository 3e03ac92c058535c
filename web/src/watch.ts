// SPDX-License-Identifier: Apache-2.0
// The page of one stream: stage, controls, status line. Shows what the player says; holds no logic of playback.

import { showStream } from "./api.js";
import { el, icon, mark, setText } from "./dom.js";
import { formatBitrate, formatSeconds } from "./format.js";
import { codecName, Player, type PlayerState } from "./player/player.js";

const READERS_POLL_MS = 5000;
const IDLE_MS = 2500;

const BADGES: Record<PlayerState, string> = {
  connecting: "Connecting",
  buffering: "Connecting",
  playing: "Live",
  stalled: "Buffering",
  waiting: "Waiting",
  ended: "Off air",
  reconnecting: "Reconnecting",
  refused: "Refused",
  paused: "Paused",
  blocked: "Ready",
  unsupported: "Cannot play",
};

// What the middle of the stage says; states that are not here leave the picture alone.
const NOTES: Partial<Record<PlayerState, { title: string; detail: string; busy: boolean }>> = {
  connecting: { title: "", detail: "", busy: true },
  buffering: { title: "", detail: "", busy: true },
  stalled: { title: "", detail: "", busy: true },
  waiting: { title: "Waiting for the publisher", detail: "Playback goes on by itself when it is back.", busy: true },
  ended: { title: "Off air", detail: "Playback starts by itself when somebody publishes here.", busy: false },
  reconnecting: { title: "Connection lost", detail: "Trying again.", busy: true },
  refused: { title: "Not allowed to watch", detail: "", busy: false },
  unsupported: { title: "This browser cannot play the stream", detail: "", busy: false },
};

const NOBODY_YET = { title: "Nobody publishes here yet", detail: "Playback starts by itself.", busy: true };

interface Field {
  box: HTMLElement;
  value: HTMLElement;
}

function field(name: string, title: string): Field {
  const value = el("dd", {}, "–");
  return { box: el("div", { class: "field", title }, el("dt", {}, name), value), value };
}

class Watch {
  private readonly video = el("video", { playsinline: true, "aria-label": "Live video" });
  private readonly badge = el("span", { class: "badge" });
  private readonly noteTitle = el("strong");
  private readonly noteDetail = el("span");
  private readonly spinner = el("span", { class: "spinner", "aria-hidden": "true" });
  private readonly note = el("div", { class: "note", role: "status" }, this.spinner, this.noteTitle, this.noteDetail);
  private readonly notice = el("p", { class: "notice", role: "status", hidden: true });
  private readonly playButton: HTMLButtonElement;
  private readonly muteButton: HTMLButtonElement;
  private readonly fullButton: HTMLButtonElement;
  private readonly unmute: HTMLButtonElement;
  private readonly bigPlay: HTMLButtonElement;
  private readonly shell: HTMLElement;
  private readonly fields = {
    latency: field("Behind", "How far behind the newest media in this page"),
    size: field("Picture", "Size of the picture"),
    codec: field("Codecs", "Codecs"),
    bitrate: field("Bitrate", "What arrives, over the last three seconds"),
    dropped: field("Dropped", "Frames that this browser had no time to show"),
    readers: field("Watching", "Readers of this stream, over all protocols"),
  };
  private readonly player: Player;
  private idle: number | undefined;

  constructor(
    root: HTMLElement,
    private readonly path: string,
  ) {
    this.video.muted = true; // browsers start nothing with sound on their own
    this.playButton = this.button("Pause (space)", () => this.player.togglePause());
    this.muteButton = this.button("Unmute (m)", () => this.toggleMute());
    this.fullButton = this.button("Full screen (f)", () => this.toggleFull());
    this.fullButton.append(icon("full"));
    this.playButton.append(icon("pause"), icon("play"));
    this.muteButton.append(icon("muted"), icon("sound"));
    this.unmute = el("button", { class: "unmute", type: "button", click: () => this.toggleMute() }, icon("muted"), "Unmute");
    this.bigPlay = el("button", { class: "big-play", type: "button", "aria-label": "Play", click: () => this.player.togglePause() }, icon("play"));
    this.shell = this.layout();
    root.append(this.shell);
    document.title = `${path} · Mast`;

    const query = new URLSearchParams(location.search);
    this.player = new Player({ video: this.video, path, query, changed: () => this.show() });
    this.listen();
    this.player.start();
    this.show();
    expose(this.player, this.video, path);
  }

  private button(label: string, click: () => void): HTMLButtonElement {
    return el("button", { class: "control", type: "button", "aria-label": label, title: label, click });
  }

  private layout(): HTMLElement {
    const stage = el(
      "div",
      { class: "stage" },
      this.video,
      this.note,
      this.bigPlay,
      this.unmute,
    );
    const status = el("dl", { class: "status", "aria-label": "Playback status" }, ...Object.values(this.fields).map((f) => f.box));
    return el(
      "div",
      { class: "watch" },
      el(
        "header",
        { class: "top" },
        el("a", { class: "home", href: "/", "aria-label": "All streams" }, mark()),
        el("h1", {}, this.path),
        this.badge,
      ),
      el("main", { class: "player" }, stage, el("div", { class: "bar" }, this.playButton, this.muteButton, status, this.fullButton)),
      this.notice,
    );
  }

  private listen(): void {
    document.addEventListener("keydown", (e) => this.key(e));
    this.video.addEventListener("volumechange", () => this.show());
    this.video.addEventListener("dblclick", () => this.toggleFull());
    for (const name of ["pointermove", "pointerdown", "keydown"]) {
      this.shell.addEventListener(name, () => this.awake(), { passive: true });
    }
    window.setInterval(() => void this.pollReaders(), READERS_POLL_MS);
    window.setTimeout(() => void this.pollReaders(), 1000);
    this.awake();
  }

  // In full screen the bar goes away when nothing moves.
  private awake(): void {
    this.shell.classList.remove("idle");
    window.clearTimeout(this.idle);
    this.idle = window.setTimeout(() => this.shell.classList.add("idle"), IDLE_MS);
  }

  private key(e: KeyboardEvent): void {
    if (e.ctrlKey || e.metaKey || e.altKey || e.repeat) {
      return;
    }
    const onButton = e.target instanceof HTMLButtonElement || e.target instanceof HTMLAnchorElement;
    switch (e.key) {
      case " ":
        if (!onButton) {
          e.preventDefault();
          this.player.togglePause();
        }
        break;
      case "m":
        this.toggleMute();
        break;
      case "f":
        this.toggleFull();
        break;
    }
  }

  private toggleMute(): void {
    this.video.muted = !this.video.muted;
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

  private async pollReaders(): Promise<void> {
    if (document.hidden || this.player.state !== "playing") {
      return;
    }
    try {
      const s = await showStream(this.path);
      setText(this.fields.readers.value, String(s.n_readers));
    } catch {
      setText(this.fields.readers.value, "–"); // this viewer may not ask
    }
  }

  private show(): void {
    if (!this.player) {
      return; // the player tells of its first change while it is being made
    }
    const p = this.player;
    this.shell.dataset["state"] = p.state;
    setText(this.badge, BADGES[p.state]);
    this.showNote();
    this.notice.hidden = p.notice === "";
    setText(this.notice, p.notice);

    const hasAudio = p.tracks.length === 0 || p.tracks.some((t) => t.kind === "audio");
    this.playButton.classList.toggle("on", p.playing);
    this.playButton.setAttribute("aria-label", p.playing ? "Pause (space)" : "Play (space)");
    this.muteButton.classList.toggle("on", !this.video.muted);
    this.muteButton.setAttribute("aria-label", this.video.muted ? "Unmute (m)" : "Mute (m)");
    this.muteButton.disabled = !hasAudio;
    this.unmute.hidden = !this.video.muted || !hasAudio || p.state !== "playing";
    this.bigPlay.hidden = p.state !== "blocked" && p.state !== "paused";
    this.showStatus();
  }

  private showNote(): void {
    const p = this.player;
    const first = p.state === "waiting" && p.firstFrameMs === null; // nobody has been seen here yet
    const note = first ? NOBODY_YET : NOTES[p.state];
    this.note.hidden = !note;
    if (note) {
      this.spinner.hidden = !note.busy;
      setText(this.noteTitle, note.title);
      setText(this.noteDetail, p.detail && p.state !== "waiting" && p.state !== "ended" ? p.detail : note.detail);
    }
  }

  private showStatus(): void {
    const p = this.player;
    const v = this.video;
    const f = this.fields;
    const latency = p.state === "playing" ? p.latency : null;
    setText(f.latency.value, latency === null ? "–" : formatSeconds(latency));
    setText(f.size.value, v.videoWidth > 0 ? `${v.videoWidth}×${v.videoHeight}` : "–");
    setText(f.codec.value, p.tracks.map((t) => codecName(t.codec)).join(" + ") || "–");
    setText(f.bitrate.value, formatBitrate(p.bitrateBps));
    setText(f.dropped.value, String(v.getVideoPlaybackQuality().droppedVideoFrames));
  }
}

// For tests, and for people who look into a problem with the browser's console.
function expose(player: Player, video: HTMLVideoElement, path: string): void {
  const debug = {
    path,
    player,
    video,
    get state() {
      return player.state;
    },
    get streamState() {
      return player.streamState;
    },
    get currentTime() {
      return video.currentTime;
    },
    get buffered() {
      return player.ranges().map((r) => [r.start, r.end]);
    },
    get latency() {
      return player.latency;
    },
    get rate() {
      return video.playbackRate;
    },
    get stalls() {
      return player.stalls;
    },
    get seeks() {
      return player.seeks;
    },
    get connections() {
      return player.connections;
    },
    get rebuilds() {
      return player.rebuilds;
    },
    get lostSamples() {
      return player.lostSamples;
    },
    get firstFrameMs() {
      return player.firstFrameMs;
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

export function showPlayer(root: HTMLElement, path: string): void {
  new Watch(root, path);
}
