// SPDX-License-Identifier: Apache-2.0
// What happens on the server, newest first: filtered, stopped to be read, and never more than so many.

import { encodePath } from "./api.js";
import { el, icon, setText } from "./dom.js";
import { Feed, type FeedEvent } from "./feed.js";
import { eventMatches, eventName, eventText } from "./filter.js";
import { formatTime } from "./format.js";
import { number, t } from "./i18n.js";
import { addShortcuts } from "./keys.js";
import type { View } from "./shell.js";

const KEPT_MAX = 500;
const PAST = 100;

function about(e: FeedEvent): Node | string {
  const path = e.resource.startsWith("streams/") ? e.resource.slice("streams/".length) : "";
  const broadcast = e.resource.startsWith("broadcasts/") ? e.resource.slice("broadcasts/".length) : "";
  if (broadcast) {
    return el("a", { href: `/#broadcasts/${encodeURIComponent(broadcast)}` }, e.resource);
  }
  return path ? el("a", { href: `/${encodePath(path)}` }, path) : e.resource;
}

export function eventRow(e: FeedEvent, withAbout: boolean): HTMLElement {
  const at = el("time", { datetime: new Date(e.timeMs).toISOString(), title: new Date(e.timeMs).toISOString() }, formatTime(e.timeMs));
  return el(
    "li",
    { class: "event", "data-type": e.type, "data-id": e.id },
    at,
    el("span", { class: "event-type", title: e.type }, eventName(e.type)),
    withAbout ? el("span", { class: "event-about" }, about(e)) : null,
    el("span", { class: "event-what" }, eventText(e)),
  );
}

interface Entry {
  event: FeedEvent;
  row: HTMLElement;
}

export class EventsPage implements View {
  readonly node: HTMLElement;
  private readonly list = el("ol", { class: "events", "aria-label": t("events.list") });
  private readonly filter = el("input", { type: "search", placeholder: t("events.filter.hint"), "aria-label": t("events.filter"), spellcheck: "false", autocomplete: "off" });
  private readonly pause = el("button", { class: "button", type: "button", "aria-pressed": "false", click: () => this.toggle() }, t("events.pause"));
  private readonly connection = el("p", { class: "summary", role: "status" }, t("events.away"));
  private readonly nothing = el("p", { class: "nothing" }, t("events.none"));
  private readonly feed: Feed;
  private readonly removeKeys: () => void;
  private entries: Entry[] = []; // newest first
  private held: FeedEvent[] = []; // came while it was stopped; oldest first
  private paused = false;

  constructor() {
    const clear = el("button", { class: "button", type: "button", click: () => this.clear() }, t("events.clear"));
    this.filter.addEventListener("input", () => this.show());
    const tools = el("div", { class: "filters" }, el("label", { class: "search" }, icon("search"), this.filter), this.pause, clear, this.connection);
    this.node = el("main", { class: "page", id: "content" }, el("h1", {}, t("events.title")), tools, this.nothing, this.list);
    this.removeKeys = addShortcuts([
      { key: "/", label: "keys.search", run: () => this.filter.focus() },
      { key: "p", label: "keys.pause", run: () => this.toggle() },
    ]);
    document.title = `${t("events.title")} · Mast`;
    this.feed = new Feed(
      {
        event: (e) => this.take(e),
        gap: () => this.gap(),
        connected: (yes) => this.connected(yes),
      },
      PAST,
    );
  }

  close(): void {
    this.feed.close();
    this.removeKeys();
  }

  private connected(yes: boolean): void {
    setText(this.connection, t(yes ? "events.live" : "events.away"));
    this.connection.dataset["state"] = yes ? "playing" : "waiting";
  }

  private take(e: FeedEvent): void {
    if (this.paused) {
      this.held.push(e);
      this.held.splice(0, this.held.length - KEPT_MAX);
      this.showPause();
    } else {
      this.add(e);
    }
  }

  private add(e: FeedEvent): void {
    const entry = { event: e, row: eventRow(e, true) };
    entry.row.hidden = !eventMatches(e, this.filter.value.trim());
    this.entries.unshift(entry);
    this.list.prepend(entry.row);
    for (const old of this.entries.splice(KEPT_MAX)) {
      old.row.remove();
    }
    this.showNothing();
  }

  private gap(): void {
    this.list.prepend(el("li", { class: "event gap" }, t("events.gap")));
  }

  private toggle(): void {
    this.paused = !this.paused;
    if (!this.paused) {
      this.held.splice(0).forEach((e) => this.add(e));
    }
    this.showPause();
  }

  private showPause(): void {
    this.pause.setAttribute("aria-pressed", String(this.paused));
    const more = this.held.length > 0 ? ` (+${number(this.held.length)})` : "";
    setText(this.pause, t(this.paused ? "events.resume" : "events.pause") + more);
    this.pause.title = this.held.length > 0 ? t("events.held", { n: this.held.length }) : "";
  }

  private clear(): void {
    this.entries = [];
    this.held = [];
    this.list.replaceChildren();
    this.showPause();
    this.showNothing();
  }

  private show(): void {
    const text = this.filter.value.trim();
    for (const e of this.entries) {
      e.row.hidden = !eventMatches(e.event, text);
    }
    this.showNothing();
  }

  private showNothing(): void {
    this.nothing.hidden = this.entries.some((e) => !e.row.hidden);
    setText(this.nothing, t(this.entries.length > 0 ? "events.nomatch" : "events.none"));
  }
}
