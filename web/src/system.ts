// SPDX-License-Identifier: Apache-2.0
// The server itself: what it uses, what it moves, where it listens.

import { ApiError, readSystem, type ListenerInfo, type SystemInfo } from "./api.js";
import { el, setText } from "./dom.js";
import { formatBitrate, formatBytes, formatDuration } from "./format.js";
import { drawLine, graph, niceTop } from "./graph.js";
import { number, t, type Key } from "./i18n.js";
import type { View } from "./shell.js";

const POLL_MS = 2000;
const SLOTS = 90; // of the graph: three minutes

class Tile {
  readonly node: HTMLElement;
  private readonly value = el("dd", { class: "value" }, "–");
  private readonly more = el("dd", { class: "more" });

  constructor(label: Key) {
    this.node = el("div", { class: "tile" }, el("dt", {}, t(label)), this.value, this.more);
  }

  show(value: string, more = ""): void {
    setText(this.value, value);
    setText(this.more, more);
  }
}

export function table(columns: readonly Key[], rows: readonly (Node | string)[][], label: string): HTMLElement {
  const head = el("tr", {}, ...columns.map((c) => el("th", { scope: "col" }, t(c))));
  const cells = (row: readonly (Node | string)[]): HTMLElement[] => row.map((cell, i) => el("td", { "data-label": columns[i] ? t(columns[i]) : "" }, cell));
  return el("div", { class: "table", tabindex: 0, role: "region", "aria-label": label }, el("table", {}, el("thead", {}, head), el("tbody", {}, ...rows.map((r) => el("tr", {}, ...cells(r))))));
}

export class SystemPage implements View {
  readonly node: HTMLElement;
  private readonly tiles = {
    uptime: new Tile("system.uptime"),
    cpu: new Tile("system.cpu"),
    memory: new Tile("system.memory"),
    media: new Tile("system.media"),
    in: new Tile("system.in"),
    out: new Tile("system.out"),
    streams: new Tile("system.streams"),
    readers: new Tile("system.readers"),
    fds: new Tile("system.fds"),
    dropped: new Tile("system.dropped"),
  };
  private readonly version = el("p", { class: "summary", role: "status" });
  private readonly traffic = graph("traffic");
  private readonly top = el("span", { class: "axis-top" });
  private readonly loops = el("div", { class: "loops" });
  private readonly listeners = el("div");
  private rates: { in: number; out: number }[] = [];
  private last: SystemInfo | null = null;
  private timer: number | undefined;
  private closed = false;

  constructor() {
    const legend = el("p", { class: "legend" }, el("span", { class: "key key-in" }, t("system.in")), el("span", { class: "key key-out" }, t("system.out")));
    this.node = el(
      "main",
      { class: "page", id: "content" },
      el("div", { class: "title" }, el("h1", {}, t("system.title")), this.version),
      el("dl", { class: "tiles" }, ...Object.values(this.tiles).map((x) => x.node)),
      el("div", { class: "panels" },
        el("section", { class: "panel wide" }, el("h2", {}, t("system.traffic")), legend, el("div", { class: "plot" }, this.top, this.traffic)),
        el("section", { class: "panel" }, el("h2", {}, t("system.loops")), el("p", { class: "soft" }, t("system.loops.more")), this.loops),
        el("section", { class: "panel" }, el("h2", {}, t("system.listeners")), this.listeners),
      ),
    ); // prettier-ignore
    document.title = `${t("system.title")} · Mast`;
    void this.poll();
  }

  close(): void {
    this.closed = true;
    window.clearTimeout(this.timer);
  }

  private async poll(): Promise<void> {
    if (!document.hidden) {
      try {
        const now = await readSystem();
        if (!this.closed) {
          this.show(now);
        }
      } catch (e) {
        setText(this.version, e instanceof ApiError ? e.message : t("error.away"));
      }
    }
    if (!this.closed) {
      this.timer = window.setTimeout(() => void this.poll(), POLL_MS);
    }
  }

  private show(now: SystemInfo): void {
    // Differences to the last look; one over a restart means nothing.
    const last = this.last && this.last.uptime_s < now.uptime_s ? this.last : null;
    const seconds = last ? now.uptime_s - last.uptime_s : 0;
    const per = (a: number, b: number | undefined): number | null => (last && b !== undefined && seconds > 0 ? (a - b) / seconds : null);
    const cpu = per(now.cpu_s, last?.cpu_s);
    const rateIn = per(now.bytes_in, last?.bytes_in);
    const rateOut = per(now.bytes_out, last?.bytes_out);
    this.last = now;
    const x = this.tiles;
    setText(this.version, `${t("system.version")} ${now.version}`);
    x.uptime.show(formatDuration(now.uptime_s * 1000));
    x.cpu.show(cpu === null ? "–" : `${number(cpu * 100, 1)} %`, t("system.cpu.more"));
    x.memory.show(formatBytes(now.memory_bytes));
    x.media.show(formatBytes(now.media_bytes), t("system.media.more", { max: formatBytes(now.media_max_bytes) }));
    x.in.show(rateIn === null ? "–" : formatBitrate(rateIn * 8), t("system.total", { size: formatBytes(now.bytes_in) }));
    x.out.show(rateOut === null ? "–" : formatBitrate(rateOut * 8), t("system.total", { size: formatBytes(now.bytes_out) }));
    x.streams.show(number(now.streams), `${number(now.publishers)} ${t("system.publishers").toLowerCase()}`);
    x.readers.show(number(now.readers));
    x.fds.show(number(now.open_fds));
    x.dropped.show(number(now.samples_dropped), t("system.dropped.more"));
    if (rateIn !== null && rateOut !== null) {
      this.rates = [...this.rates, { in: rateIn * 8, out: rateOut * 8 }].slice(-SLOTS);
      this.draw();
    }
    this.showLoops(now.loops_busy);
    this.showListeners(now.listeners);
  }

  private draw(): void {
    const top = niceTop(Math.max(...this.rates.map((r) => Math.max(r.in, r.out))));
    drawLine(this.traffic, this.rates.map((r) => r.out), SLOTS, top, "out");
    drawLine(this.traffic, this.rates.map((r) => r.in), SLOTS, top, "in");
    setText(this.top, formatBitrate(top));
    const newest = this.rates[this.rates.length - 1];
    this.traffic.setAttribute("aria-label", `${t("system.in")} ${formatBitrate(newest?.in ?? 0)}, ${t("system.out")} ${formatBitrate(newest?.out ?? 0)}`);
  }

  private showLoops(busy: readonly number[]): void {
    if (this.loops.children.length !== busy.length) {
      this.loops.replaceChildren(...busy.map((_b, i) => el("div", { class: "loop" }, el("span", {}, t("system.loop", { n: i + 1 })), el("meter", { min: 0, max: 1, high: 0.8, low: 0.6, optimum: 0, "aria-label": t("system.loop", { n: i + 1 }) }), el("span", { class: "n" }))));
    }
    busy.forEach((b, i) => {
      const row = this.loops.children[i];
      const meter = row?.querySelector("meter");
      const text = row?.querySelector<HTMLElement>(".n");
      if (meter && text) {
        meter.value = b;
        setText(text, `${number(b * 100, 1)} %`);
      }
    });
  }

  private showListeners(list: readonly ListenerInfo[]): void {
    const rows = list.map((l) => [l.name, l.address, number(l.connections), number(l.accepted), number(l.refused)]);
    const said = rows.map((r) => r.join(" ")).join("\n");
    if (this.listeners.dataset["said"] !== said) {
      this.listeners.dataset["said"] = said;
      this.listeners.replaceChildren(table(["system.name", "system.address", "system.connections", "system.accepted", "system.refused"], rows, t("system.listeners")));
    }
  }
}
