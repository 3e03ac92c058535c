// SPDX-License-Identifier: Apache-2.0
// The broadcasts: what each is made of, whether it is well and why not, and how to start the first one.

import { ApiError } from "./api.js";
import { hasEnded, listBroadcasts, type BroadcastInfo } from "./broadcast-api.js";
import { stateTone } from "./broadcast-map.js";
import { copyable } from "./copy.js";
import { el, setText } from "./dom.js";
import { formatDateTime, formatDuration } from "./format.js";
import { lookup, number, t, tn, type Key } from "./i18n.js";
import { Lookout } from "./lookout.js";
import type { View } from "./shell.js";

const EVERY_MS = 3000; // what no event tells: ages, debts

const START = "mast broadcast start videoroom --room 1234 --publisher 5 --mountpoint 9001";
const COLUMNS: readonly Key[] = ["broadcast.name", "broadcast.state", "broadcast.source", "broadcast.relay", "broadcast.mountpoint", "broadcast.age", "broadcast.debts"];

export const stateWord = (state: string): string => lookup(`broadcast.state.${state}`) ?? state;
export const sourceWord = (source: string): string => lookup(`broadcast.source.${source}`) ?? source;
export const broadcastHref = (id: string): string => `/#broadcasts/${encodeURIComponent(id)}`;

export function showBadge(badge: HTMLElement, state: string, word: string): void {
  badge.dataset["tone"] = stateTone(state);
  setText(badge, word);
}

// How long it runs, or ran; from its making when it never did.
export function ageOf(b: BroadcastInfo, nowMs: number): string {
  const from = b.startedMs ?? b.createdMs;
  return from === null ? "–" : formatDuration((hasEnded(b.state) && b.endedMs !== null ? b.endedMs : nowMs) - from);
}

class Row {
  readonly node: HTMLTableRowElement;
  private readonly link: HTMLAnchorElement;
  private readonly id = el("span", { class: "agent" });
  private readonly badge = el("span", { class: "badge" });
  private readonly reason = el("span", { class: "reason" });
  private readonly rest: HTMLElement[];

  constructor(id: string) {
    this.link = el("a", { href: broadcastHref(id) });
    this.rest = COLUMNS.slice(2).map(() => el("span"));
    const cells = [el("div", {}, this.link, this.id), el("div", {}, this.badge, this.reason), ...this.rest];
    this.node = el("tr", { "data-broadcast": id }, ...cells.map((c, i) => el("td", { "data-label": t(COLUMNS[i] ?? "broadcast.name") }, c)));
  }

  update(b: BroadcastInfo): void {
    this.node.dataset["state"] = b.state;
    setText(this.link, b.name || b.id);
    setText(this.id, b.name ? b.id : "");
    showBadge(this.badge, b.state, stateWord(b.state));
    setText(this.reason, b.reason);
    const texts = [sourceWord(b.source), b.relay || "–", b.mountpoint || "–", ageOf(b, Date.now()), number(b.debts)];
    this.rest.forEach((cell, i) => setText(cell, texts[i] ?? ""));
    const age = this.rest[3];
    if (age && b.createdMs !== null) {
      age.title = formatDateTime(b.createdMs);
    }
    this.rest[4]?.classList.toggle("bad", b.debts > 0);
  }
}

function empty(): HTMLElement {
  return el(
    "div",
    { class: "empty", hidden: true },
    el("h2", {}, t("broadcast.empty")),
    el("p", {}, t("broadcast.empty.hint")),
    copyable(t("publish.command"), START),
    el("p", {}, t("broadcast.empty.docs"), " ", el("code", {}, "docs/broadcasts.md")),
  );
}

export class BroadcastsPage implements View {
  readonly node: HTMLElement;
  private readonly summary = el("p", { class: "summary", role: "status" });
  private readonly empty = empty();
  private readonly body = el("tbody");
  private readonly box: HTMLElement;
  private readonly rows = new Map<string, Row>();
  private readonly lookout: Lookout;

  constructor() {
    const head = el("tr", {}, ...COLUMNS.map((c) => el("th", { scope: "col" }, t(c))));
    const table = el("div", { class: "table", tabindex: 0, role: "region", "aria-label": t("broadcast.title") }, el("table", {}, el("thead", {}, head), this.body));
    this.box = el("section", { class: "panel wide broadcasts", hidden: true }, table);
    this.node = el("main", { class: "page", id: "content" }, el("div", { class: "title" }, el("h1", {}, t("broadcast.title")), this.summary), this.empty, this.box);
    document.title = `${t("broadcast.title")} · Mast`;
    this.lookout = new Lookout({ look: () => this.look(), matches: (e) => e.resource.startsWith("broadcasts/"), everyMs: EVERY_MS });
  }

  close(): void {
    this.lookout.close();
  }

  private async look(): Promise<void> {
    try {
      this.show(await listBroadcasts());
      this.box.classList.remove("stale");
    } catch (e) {
      setText(this.summary, e instanceof ApiError ? e.message : t("error.away"));
      this.box.classList.add("stale");
    }
  }

  // The newest first.
  private show(list: readonly BroadcastInfo[]): void {
    const here = new Set(list.map((b) => b.id));
    for (const [id, row] of this.rows) {
      if (!here.has(id)) {
        row.node.remove();
        this.rows.delete(id);
      }
    }
    [...list].reverse().forEach((b, i) => {
      const row = this.rows.get(b.id) ?? new Row(b.id);
      this.rows.set(b.id, row);
      row.update(b);
      if (this.body.children[i] !== row.node) {
        this.body.insertBefore(row.node, this.body.children[i] ?? null);
      }
    });
    const live = list.filter((b) => !hasEnded(b.state)).length;
    setText(this.summary, list.length > 0 ? tn("broadcast.summary", list.length, { live }) : "");
    this.empty.hidden = list.length > 0;
    this.box.hidden = list.length === 0;
  }
}
