// SPDX-License-Identifier: Apache-2.0
// The front page: a card for each stream, live ones with their newest picture; and how to publish.

import { ApiError, encodePath, listStreams, type StreamInfo } from "./api.js";
import { describeTrack } from "./codecs.js";
import { el, icon, setText } from "./dom.js";
import { streamMatches } from "./filter.js";
import { formatBitrate, formatDuration } from "./format.js";
import { t, tn } from "./i18n.js";
import { addShortcuts } from "./keys.js";
import { howToPublish } from "./publish.js";
import type { View } from "./shell.js";
import { Thumb } from "./thumb.js";

const POLL_MS = 2000;

// Made once and updated in place, so that focus and selection survive the polling.
class Card {
  readonly node: HTMLAnchorElement;
  private readonly thumb: Thumb;
  private readonly badge = el("span", { class: "badge" });
  private readonly viewers = el("span", { class: "chip" });
  private readonly viewersText = el("span");
  private readonly tracks = el("ul", { class: "tracks" });
  private readonly facts = el("p", { class: "facts" });
  private shownTracks = "";

  constructor(path: string) {
    this.thumb = new Thumb(path);
    this.viewers.append(icon("eye"), this.viewersText);
    this.thumb.node.append(this.badge, this.viewers);
    this.node = el(
      "a",
      { class: "card", href: `/${encodePath(path)}` },
      this.thumb.node,
      el("div", { class: "card-text" }, el("h2", {}, path), this.tracks, this.facts),
    );
  }

  close(): void {
    this.thumb.close();
    this.node.remove();
  }

  update(s: StreamInfo): void {
    const live = s.on_air && s.ready;
    this.node.dataset["state"] = live ? "playing" : "waiting";
    this.thumb.update(s);
    setText(this.badge, t(live ? "wall.live" : s.on_air ? "wall.starting" : "wall.waiting"));
    setText(this.viewersText, String(s.n_readers));
    this.viewers.title = tn("wall.viewers", s.n_readers);
    const tracks = s.tracks.map(describeTrack);
    if (tracks.join("\n") !== this.shownTracks) {
      this.shownTracks = tracks.join("\n");
      this.tracks.replaceChildren(...tracks.map((x) => el("li", {}, x)));
    }
    const facts = [s.on_air ? formatBitrate(s.bitrate_in_bps) : s.reason || t("wall.nobody")];
    if (live && s.sinceMs !== null) {
      facts.push(t("wall.up", { time: formatDuration(Date.now() - s.sinceMs) }));
    }
    if (s.publisher) {
      facts.push(s.publisher.protocol.toUpperCase());
    }
    setText(this.facts, facts.join("  ·  "));
  }
}

export class Wall implements View {
  readonly node: HTMLElement;
  private readonly summary = el("p", { class: "summary", role: "status" });
  private readonly cards = el("div", { class: "cards" });
  private readonly empty = el("div", { class: "empty", hidden: true }, el("h2", {}, t("wall.empty")), el("p", {}, t("wall.empty.hint")));
  private readonly none = el("p", { class: "nothing", hidden: true }, t("wall.none"));
  private readonly search = el("input", { type: "search", placeholder: t("wall.search.hint"), "aria-label": t("wall.search"), spellcheck: "false", autocomplete: "off" });
  private readonly which = el("select", { "aria-label": t("wall.filter") });
  private readonly help: HTMLDetailsElement;
  private readonly shown = new Map<string, Card>();
  private readonly removeKeys: () => void;
  private streams: StreamInfo[] = [];
  private helpTouched = false;
  private timer: number | undefined;
  private closed = false;

  constructor() {
    for (const name of ["all", "live", "waiting"] as const) {
      this.which.append(el("option", { value: name }, t(`wall.filter.${name}`)));
    }
    this.search.addEventListener("input", () => this.show());
    this.search.addEventListener("keydown", (e) => {
      if (e.key === "Escape") {
        this.search.value = "";
        this.show();
        this.search.blur();
      }
    });
    this.which.addEventListener("change", () => this.show());
    this.help = el("details", { class: "help" }, el("summary", {}, t("publish.title")), howToPublish());
    this.help.querySelector("summary")?.addEventListener("click", () => (this.helpTouched = true));
    const tools = el("div", { class: "filters" }, el("label", { class: "search" }, icon("search"), this.search), this.which, this.summary);
    this.node = el("main", { class: "wall", id: "content" }, el("h1", { class: "visually-hidden" }, t("nav.streams")), tools, this.empty, this.none, this.cards, this.help);
    this.removeKeys = addShortcuts([{ key: "/", label: "keys.search", run: () => this.search.focus() }]);
    document.title = `${t("wall.title")} · Mast`;
    void this.poll();
  }

  close(): void {
    this.closed = true;
    window.clearTimeout(this.timer);
    this.removeKeys();
    for (const card of this.shown.values()) {
      card.close();
    }
  }

  private async poll(): Promise<void> {
    if (!document.hidden) {
      try {
        this.streams = (await listStreams()).filter((s) => s.path !== "").sort((a, b) => (a.path < b.path ? -1 : 1));
        this.cards.classList.remove("stale");
        if (!this.closed) {
          this.show();
        }
      } catch (e) {
        setText(this.summary, e instanceof ApiError ? e.message : t("error.away"));
        this.cards.classList.add("stale");
      }
    }
    if (!this.closed) {
      this.timer = window.setTimeout(() => void this.poll(), POLL_MS);
    }
  }

  private show(): void {
    const wanted = this.streams.filter((s) => streamMatches(s, this.search.value.trim(), this.which.value));
    for (const [path, card] of this.shown) {
      if (!wanted.some((s) => s.path === path)) {
        card.close();
        this.shown.delete(path);
      }
    }
    wanted.forEach((s, i) => {
      const card = this.shown.get(s.path) ?? new Card(s.path);
      this.shown.set(s.path, card);
      card.update(s);
      if (this.cards.children[i] !== card.node) {
        this.cards.insertBefore(card.node, this.cards.children[i] ?? null);
      }
    });
    const live = this.streams.filter((s) => s.on_air && s.parent === "").length;
    // Each derived stream is itself a reader of its parent.
    const viewers = this.streams.reduce((sum, s) => sum + s.n_readers - (s.on_air && s.parent !== "" ? 1 : 0), 0);
    const some = this.streams.length > 0;
    setText(this.summary, some ? tn("wall.summary", viewers, { live }) : "");
    this.empty.hidden = some;
    this.none.hidden = !some || wanted.length > 0;
    this.node.classList.toggle("is-empty", !some);
    if (!this.helpTouched) {
      this.help.open = !some;
    }
  }
}
