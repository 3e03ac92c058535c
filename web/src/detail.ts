// SPDX-License-Identifier: Apache-2.0
// What is known about one stream: tracks, bitrate and key frames of the last minutes, who publishes, who reads and why each
// reader is late, what happened to it, and where else to watch it. For those who may ask the API; others see the links.

import { ApiError, kick, readSystem, showStream, type GroupInfo, type ListenerInfo, type SessionInfo, type StreamInfo } from "./api.js";
import { trackFormat } from "./codecs.js";
import { copyable } from "./copy.js";
import { el, setText } from "./dom.js";
import { eventRow } from "./events.js";
import { Feed, type FeedEvent } from "./feed.js";
import { formatBitrate, formatBytes, formatDateTime, formatDuration, formatSeconds } from "./format.js";
import { drawBars, drawLine, graph, GRAPH_H, GRAPH_W, groupBars, niceTop } from "./graph.js";
import { number, t, type Key } from "./i18n.js";
import { judge } from "./late.js";
import { playLinks } from "./links.js";
import { whoAmI } from "./login.js";
import { codecName } from "./player/index.js";
import { sureButton } from "./sure.js";
import { table } from "./system.js";

const POLL_MS = 2000;
const RATE_SLOTS = 180;
const GROUP_SPAN_MS = 60000; // of the graph, unless groups are longer
const EVENTS_MAX = 50;

export function panel(title: Key, kind: string, ...content: Node[]): HTMLElement {
  return el("section", { class: `panel ${kind}` }, el("h2", {}, t(title)), ...content);
}

const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / Math.max(1, values.length);

/* ---- bitrate ---- */

class RateGraph {
  readonly node: HTMLElement;
  private readonly svg = graph("rate");
  private readonly top = el("span", { class: "axis-top" });
  private readonly left = el("span");
  private readonly numbers = el("p", { class: "numbers" });

  constructor() {
    const axis = el("div", { class: "axis" }, this.left, el("span", {}, t("detail.now")));
    this.node = panel("detail.rate", "", this.numbers, el("div", { class: "plot" }, this.top, this.svg), axis);
  }

  show(bytes: readonly number[]): void {
    const rates = bytes.map((b) => b * 8);
    const peak = Math.max(0, ...rates);
    const top = niceTop(peak);
    drawLine(this.svg, rates, RATE_SLOTS, top);
    const said = { mean: formatBitrate(mean(rates)), peak: formatBitrate(peak) };
    const now = rates[rates.length - 1];
    setText(this.top, rates.length > 0 ? formatBitrate(top) : "");
    setText(this.left, t("detail.rate.axis", { seconds: RATE_SLOTS }));
    setText(this.numbers, now === undefined ? t("detail.none") : `${formatBitrate(now)} ${t("detail.rate.now")}  ·  ${said.mean} ${t("detail.rate.mean")}  ·  ${said.peak} ${t("detail.rate.peak")}`);
    this.svg.setAttribute("aria-label", t("detail.rate.alt", { seconds: rates.length, ...said }));
  }
}

/* ---- groups of pictures ---- */

class GroupGraph {
  readonly node: HTMLElement;
  private readonly svg = graph("groups");
  private readonly top = el("span", { class: "axis-top" });
  private readonly left = el("span");
  private readonly numbers = el("p", { class: "numbers" });

  constructor() {
    const axis = el("div", { class: "axis" }, this.left, el("span", {}, t("detail.now")));
    this.node = panel("detail.gop", "", this.numbers, el("div", { class: "plot" }, this.top, this.svg), axis, el("p", { class: "soft" }, t("detail.gop.legend")));
  }

  show(all: readonly GroupInfo[]): void {
    const groups = all.filter((g) => g.duration_ms > 0);
    const longest = Math.max(0, ...groups.map((g) => g.duration_ms));
    const span = Math.max(GROUP_SPAN_MS, longest * 4);
    const top = niceTop(Math.max(1, ...groups.map((g) => g.bytes)));
    const bars = groupBars(groups, span, top, GRAPH_W, GRAPH_H);
    const drawn = groups.slice(groups.length - bars.length);
    const length = (g: GroupInfo): string => formatSeconds(g.duration_ms / 1000);
    drawBars(this.svg, bars, drawn.map((g) => t("detail.gop.bar", { length: length(g), pictures: g.pictures, size: formatBytes(g.bytes) })));
    setText(this.top, groups.length > 0 ? formatBytes(top) : "");
    setText(this.left, t("detail.rate.axis", { seconds: Math.round(span / 1000) }));
    if (groups.length === 0) {
      setText(this.numbers, t("detail.none"));
      this.svg.setAttribute("aria-label", t("detail.none"));
      return;
    }
    const every = formatSeconds(mean(groups.map((g) => g.duration_ms)) / 1000);
    const shortest = formatSeconds(Math.min(...groups.map((g) => g.duration_ms)) / 1000);
    const pictures = number(Math.round(mean(groups.map((g) => g.pictures))));
    const size = formatBytes(mean(groups.map((g) => g.bytes)));
    const range = shortest === formatSeconds(longest / 1000) ? "" : ` (${t("detail.gop.range", { min: shortest, max: formatSeconds(longest / 1000) })})`;
    setText(this.numbers, `${t("detail.gop.every")} ${every}${range}  ·  ${pictures} ${t("detail.gop.pictures")}  ·  ${size} ${t("detail.gop.size")}`);
    this.svg.setAttribute("aria-label", t("detail.gop.alt", { n: groups.length, every, pictures, size }));
  }
}

/* ---- readers ---- */

class ReaderRow {
  readonly node: HTMLTableRowElement;
  private readonly cells: HTMLTableCellElement[];
  private last: { bytes: number; atMs: number } | null = null;

  constructor(
    r: SessionInfo,
    ask: (button: HTMLButtonElement) => void,
  ) {
    const who = `${r.protocol.toUpperCase()} ${r.remote}`;
    const label = t("detail.kick.who", { who });
const end = sureButton(t("detail.kick"), label, ask, "small");
    this.cells = READER_COLUMNS.map((c) => el("td", { "data-label": t(c) }));
    this.node = el("tr", { "data-reader": r.id }, ...this.cells, el("td", { class: "act" }, end));
    const [what] = this.cells;
    what?.append(el("div", {}, el("strong", {}, r.protocol.toUpperCase()), " ", r.remote, r.agent ? el("span", { class: "agent", title: r.agent }, r.agent) : null));
  }

  update(r: SessionInfo, stream: number): void {
    const now = performance.now();
    const taken = this.last && now > this.last.atMs ? ((r.bytes - this.last.bytes) * 8000) / (now - this.last.atMs) : null;
    this.last = { bytes: r.bytes, atMs: now };
    const verdict = judge(r, taken, stream);
    const [, since, sent, dropped, behind, why] = this.cells;
    const put = (cell: HTMLElement | undefined, text: string): void => {
      if (cell) {
        setText(cell, text);
      }
    };
    put(since, r.sinceMs === null ? "–" : formatDuration(Date.now() - r.sinceMs));
    put(sent, formatBytes(r.bytes));
    put(dropped, number(r.dropped));
    put(behind, formatSeconds(r.behind_ms / 1000));
    put(why, verdict.texts.join("; "));
    this.node.dataset["level"] = verdict.level;
  }
}

const READER_COLUMNS: readonly Key[] = ["detail.address", "detail.since", "detail.sent", "detail.dropped", "detail.behind", "detail.why"];

class Readers {
  readonly node: HTMLElement;
  private readonly body = el("tbody");
  private readonly box: HTMLElement;
  private readonly nothing = el("p", { class: "soft" }, t("detail.readers.none"));
  private readonly said = el("p", { class: "soft", role: "status", hidden: true });
  private readonly rows = new Map<string, ReaderRow>();

  constructor(private readonly path: string) {
    const head = el("tr", {}, ...READER_COLUMNS.map((c) => el("th", { scope: "col" }, t(c))), el("th", {}, el("span", { class: "visually-hidden" }, t("detail.kick"))));
    this.box = el("div", { class: "table", tabindex: 0, role: "region", "aria-label": t("detail.readers") }, el("table", {}, el("thead", {}, head), this.body));
    this.node = panel("detail.readers", "wide", this.nothing, this.box, this.said);
  }

  show(list: readonly SessionInfo[], all: number, stream: number): void {
    const here = new Set(list.map((r) => r.id));
    for (const [id, row] of this.rows) {
      if (!here.has(id)) {
        row.node.remove();
        this.rows.delete(id);
      }
    }
    for (const r of list) {
      let row = this.rows.get(r.id);
      if (!row) {
        row = new ReaderRow(r, (button) => void this.kick(r.id, button));
        this.rows.set(r.id, row);
        this.body.append(row.node);
      }
      row.update(r, stream);
    }
    this.nothing.hidden = list.length > 0;
    this.box.hidden = list.length === 0;
    if (all > list.length) {
      this.say(t("detail.readers.more", { n: list.length, all }));
    }
  }

  private say(text: string): void {
    this.said.hidden = false;
    setText(this.said, text);
  }

  private async kick(id: string, button: HTMLButtonElement): Promise<void> {
    button.disabled = true;
    try {
      await kick(this.path, id);
      this.say(t("detail.kick.done"));
    } catch (e) {
      this.say(t("detail.kick.failed", { why: e instanceof Error ? e.message : String(e) }));
      button.disabled = false;
    }
  }
}

/* ---- all of it ---- */

export class Detail {
  readonly node: HTMLElement;
  private readonly rate = new RateGraph();
  private readonly groups = new GroupGraph();
  private readonly tracks = el("div");
  private readonly publisher = el("dl", { class: "facts-list" });
  private readonly noPublisher = el("p", { class: "soft" });
  private readonly readers: Readers;
  private readonly events = el("ol", { class: "events", "aria-label": t("detail.events") });
  private readonly noEvents = el("p", { class: "soft" }, t("detail.events.none"));
  private readonly links = el("div", { class: "links" });
  private readonly panels = el("div", { class: "panels" });
  private feed: Feed | null = null;
  private timer: number | undefined;
  private closed = false;

  // onReaders: how many read it; null when that cannot be asked.
  constructor(
    private readonly path: string,
    private readonly onReaders: (n: number | null) => void,
  ) {
    this.readers = new Readers(path);
    this.node = el("div", { class: "detail" }, this.panels);
    this.panels.append(panel("links.title", "wide", this.links));
    this.showLinks([]);
    void this.start();
  }

  close(): void {
    this.closed = true;
    window.clearTimeout(this.timer);
    this.feed?.close();
  }

  // Viewers need not be users of the API: they are not asked to log in for what stands below the picture.
  private async start(): Promise<void> {
    const me = await whoAmI();
    if (this.closed) {
      return;
    }
    if (!me) {
      this.timer = window.setTimeout(() => void this.start(), POLL_MS);
      return;
    }
    if (!me.scopes.includes("read") && !me.scopes.includes("admin")) {
      return;
    }
    this.panels.prepend(
      this.rate.node,
      this.groups.node,
      panel("detail.tracks", "", this.tracks),
      panel("detail.publisher", "", this.noPublisher, this.publisher),
      this.readers.node,
    );
    this.panels.append(panel("detail.events", "wide", this.noEvents, this.events));
    this.feed = new Feed({ event: (e) => this.take(e), gap: () => undefined, connected: () => undefined }, EVENTS_MAX);
    readSystem().then(
      (s) => this.showLinks(s.listeners),
      () => undefined,
    );
    void this.poll();
  }

  private async poll(): Promise<void> {
    if (!document.hidden) {
      try {
        const s = await showStream(this.path);
        if (!this.closed) {
          this.show(s);
        }
      } catch (e) {
        this.onReaders(null);
        if (e instanceof ApiError && e.status === 403) {
          return;
        }
      }
    }
    if (!this.closed) {
      this.timer = window.setTimeout(() => void this.poll(), POLL_MS);
    }
  }

  private show(s: StreamInfo | null): void {
    this.onReaders(s?.n_readers ?? 0);
    this.rate.show(s?.recent?.bytes ?? []);
    this.groups.show(s?.recent?.groups ?? []);
    this.showTracks(s);
    this.showPublisher(s);
    this.readers.show(s?.readers ?? [], s?.n_readers ?? 0, s?.bitrate_in_bps ?? 0);
  }

  private showTracks(s: StreamInfo | null): void {
    const rows = (s?.tracks ?? []).map((x) => [`${number(x.id)} ${t(x.kind === "video" ? "detail.video" : "detail.audio")}`, `${codecName(x.codec)} ${x.codecs}`, trackFormat(x), formatBitrate(x.bitrate_bps)]);
    const said = rows.map((r) => r.join("|")).join("\n");
    if (this.tracks.dataset["said"] !== said) {
      this.tracks.dataset["said"] = said;
      this.tracks.replaceChildren(rows.length > 0 ? table(["detail.track", "detail.codec", "detail.format", "detail.bitrate"], rows, t("detail.tracks")) : el("p", { class: "soft" }, t("detail.none")));
    }
  }

  private showPublisher(s: StreamInfo | null): void {
    const p = s?.publisher ?? null;
    setText(this.noPublisher, p ? "" : t("detail.publisher.none"));
    this.noPublisher.hidden = p !== null;
    const facts: [Key, string][] = p
      ? [
          ["detail.protocol", p.protocol.toUpperCase()],
          ["detail.address", p.remote],
          ["detail.program", p.agent || "–"],
          ["detail.since", p.sinceMs === null ? "–" : `${formatDateTime(p.sinceMs)} (${formatDuration(Date.now() - p.sinceMs)})`],
          ["detail.received", formatBytes(p.bytes)],
        ]
      : [];
    this.publisher.replaceChildren(...facts.map(([name, value]) => el("div", {}, el("dt", {}, t(name)), el("dd", {}, value))));
  }

  private showLinks(listeners: readonly ListenerInfo[]): void {
    const names: Record<string, string> = { ffplay: "ffplay", vlc: "VLC" };
    this.links.replaceChildren(...playLinks(location, this.path, listeners).map((l) => copyable(names[l.name] ?? t(`links.${l.name as "page"}`), l.text)));
  }

  private take(e: FeedEvent): void {
    if (e.resource !== `streams/${this.path}`) {
      return;
    }
    this.events.prepend(eventRow(e, false));
    while (this.events.children.length > EVENTS_MAX) {
      this.events.lastElementChild?.remove();
    }
    this.noEvents.hidden = true;
  }
}
