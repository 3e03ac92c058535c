// SPDX-License-Identifier: Apache-2.0
// The front page: what is live now, and how to publish.

import { ApiError, listStreams, type StreamInfo, type TrackInfo } from "./api.js";
import { el, icon, mark, setText } from "./dom.js";
import { formatBitrate, formatDuration, plural } from "./format.js";
import { logOutEntry } from "./login.js";
import { codecName } from "./player/player.js";

const POLL_MS = 2000;

function describeTrack(t: TrackInfo): string {
  const codec = codecName(t.codec);
  if (t.width > 0) {
    const fps = t.fps > 0 ? `, ${Number(t.fps.toFixed(2))} fps` : "";
    return `${codec} ${t.width}×${t.height}${fps}`;
  }
  if (t.sample_rate > 0) {
    const channels = t.channels === 1 ? "mono" : t.channels === 2 ? "stereo" : `${t.channels} channels`;
    return `${codec} ${t.sample_rate / 1000} kHz ${channels}`;
  }
  return codec;
}

// One row. Made once and updated in place, so that focus and selection survive the polling.
class Row {
  readonly node: HTMLAnchorElement;
  private readonly badge = el("span", { class: "badge" });
  private readonly tracks = el("ul", { class: "tracks", "aria-label": "Tracks" });
  private readonly facts = el("p", { class: "facts" });
  private shownTracks = "";

  constructor(path: string) {
    const href = `/${path.split("/").map(encodeURIComponent).join("/")}`;
    this.node = el("a", { class: "row", href }, el("div", { class: "row-head" }, el("h2", {}, path), this.badge), this.tracks, this.facts);
  }

  update(s: StreamInfo): void {
    const live = s.on_air && s.ready;
    this.node.dataset["state"] = live ? "playing" : "waiting";
    setText(this.badge, live ? "Live" : s.on_air ? "Starting" : "Waiting");
    const tracks = s.tracks.map(describeTrack);
    if (tracks.join("\n") !== this.shownTracks) {
      this.shownTracks = tracks.join("\n");
      this.tracks.replaceChildren(...tracks.map((t) => el("li", {}, t)));
    }
    const facts = [s.on_air ? formatBitrate(s.bitrate_in_bps) : s.reason || "no publisher", `${s.n_readers} watching`];
    if (s.publisher) {
      facts.push(`${s.publisher.protocol.toUpperCase()} from ${s.publisher.remote}`);
    }
    if (live && s.sinceMs !== null) {
      facts.push(`up ${formatDuration(Date.now() - s.sinceMs)}`);
    }
    setText(this.facts, facts.join("  ·  "));
  }
}

function copyable(label: string, text: string): HTMLElement {
  const button = el("button", { class: "control", type: "button", "aria-label": `Copy: ${label}`, title: "Copy" }, icon("copy"), icon("done"));
  button.addEventListener("click", () => {
    // Plain HTTP pages have no clipboard; selecting the text is the next best.
    const selection = window.getSelection();
    selection?.selectAllChildren(code);
    navigator.clipboard?.writeText(text).then(
      () => {
        button.classList.add("on");
        window.setTimeout(() => button.classList.remove("on"), 1500);
      },
      () => undefined,
    );
  });
  const code = el("code", { tabindex: 0 }, text);
  return el("div", { class: "copyable" }, el("span", { class: "label" }, label), code, button);
}

function howToPublish(): HTMLElement {
  const host = location.hostname.includes(":") ? `[${location.hostname}]` : location.hostname;
  const server = `rtmp://${host}:1935/live`;
  const command =
    "ffmpeg -re -f lavfi -i testsrc2=size=1280x720:rate=30 -f lavfi -i sine=frequency=440 " +
    "-c:v libx264 -preset veryfast -tune zerolatency -g 60 -pix_fmt yuv420p -c:a aac -b:a 128k " +
    `-f flv ${server}/test`;
  return el(
    "div",
    { class: "publish" },
    el(
      "section",
      {},
      el("h3", {}, "OBS Studio"),
      el("p", {}, "Settings, Stream, Service: Custom. Keyframe interval 1 or 2 s."),
      copyable("Server", server),
      copyable("Stream key", "test"),
    ),
    el(
      "section",
      {},
      el("h3", {}, "FFmpeg"),
      el("p", {}, "A test picture with a tone, to try it out."),
      copyable("Command", command),
    ),
    el("p", { class: "hint" }, "Then watch at ", el("a", { href: "/live/test" }, `${location.host}/live/test`), "."),
  );
}

class List {
  private readonly summary = el("p", { class: "summary", role: "status" });
  private readonly list = el("div", { class: "rows" });
  private readonly empty = el("h2", { class: "empty", hidden: true }, "Nothing is live");
  private readonly help: HTMLDetailsElement;
  private readonly rows = new Map<string, Row>();
  private helpTouched = false;

  constructor(root: HTMLElement) {
    this.help = el("details", { class: "help" }, el("summary", {}, "How to publish"), howToPublish());
    this.help.querySelector("summary")?.addEventListener("click", () => (this.helpTouched = true));
    root.append(
      el(
        "div",
        { class: "list" },
        el("header", { class: "top" }, el("span", { class: "home" }, mark()), el("h1", {}, "Mast"), this.summary),
        el("main", {}, this.empty, this.list, this.help),
      ),
    );
    void logOutEntry().then((entry) => entry && root.querySelector("header.top")?.append(entry));
    document.title = "Live · Mast";
    void this.poll();
  }

  private async poll(): Promise<void> {
    if (!document.hidden) {
      try {
        this.show(await listStreams());
      } catch (e) {
        this.fail(e);
      }
    }
    window.setTimeout(() => void this.poll(), POLL_MS);
  }

  private fail(e: unknown): void {
    const why = e instanceof ApiError ? e.message : "The server does not answer; trying again.";
    setText(this.summary, why);
    this.list.classList.add("stale");
  }

  private show(streams: StreamInfo[]): void {
    this.list.classList.remove("stale");
    const shown = streams.filter((s) => s.path !== "").sort((a, b) => (a.path < b.path ? -1 : 1));
    for (const [path, row] of this.rows) {
      if (!shown.some((s) => s.path === path)) {
        row.node.remove();
        this.rows.delete(path);
      }
    }
    shown.forEach((s, i) => {
      const row = this.rows.get(s.path) ?? new Row(s.path);
      this.rows.set(s.path, row);
      row.update(s);
      if (this.list.children[i] !== row.node) {
        this.list.insertBefore(row.node, this.list.children[i] ?? null);
      }
    });
    const live = shown.filter((s) => s.on_air).length;
    const readers = shown.reduce((sum, s) => sum + s.n_readers, 0);
    setText(this.summary, shown.length > 0 ? `${live} live, ${plural(readers, "viewer")}` : "");
    this.empty.hidden = shown.length > 0;
    if (!this.helpTouched) {
      this.help.open = shown.length === 0;
    }
  }
}

export function showList(root: HTMLElement): void {
  new List(root);
}
