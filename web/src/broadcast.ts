// SPDX-License-Identifier: Apache-2.0
// One broadcast: who talks to whom, its steps, its health, what it owes and what it leaves, and what can be done with it.

import { ApiError } from "./api.js";
import { actOnBroadcast, hasEnded, showBroadcast, type Action, type BroadcastInfo, type HealthInfo, type StepInfo } from "./broadcast-api.js";
import { broadcastMap, stateTone, stepTone, type Arrow, type Box } from "./broadcast-map.js";
import { ageOf, showBadge, sourceWord, stateWord } from "./broadcasts.js";
import { copyable } from "./copy.js";
import { panel } from "./detail.js";
import { el, icon, setText } from "./dom.js";
import { eventRow } from "./events.js";
import type { FeedEvent } from "./feed.js";
import { formatDateTime, formatDuration, formatSeconds, formatTime } from "./format.js";
import { lookup, number, t, type Key } from "./i18n.js";
import { whoAmI } from "./login.js";
import { Lookout } from "./lookout.js";
import type { View } from "./shell.js";
import { sureButton } from "./sure.js";
import { table } from "./system.js";

const EVERY_MS = 2000; // health comes with no event
const EVENTS_MAX = 50;
const PAST = 300; // of all events; those of this broadcast are among them

const stepWord = (state: string): string => lookup(`broadcast.step.${state}`) ?? state;

/* ---- who talks to whom ---- */

function boxOf(b: Box): HTMLElement {
  const where = [b.room && t("broadcast.map.room", { id: b.room }), b.peer].filter((x) => x !== "");
  return el(
    "li",
    { class: "box", "data-what": b.what, "data-tone": b.tone },
    el("span", { class: "what" }, t(`broadcast.map.${b.what}`)),
    b.title ? el("strong", {}, b.title) : null,
    where.length > 0 ? el("span", { class: "at" }, where.join(", ")) : null,
    el("span", { class: "badge", "data-tone": b.tone }, t(`broadcast.tone.${b.tone}`)),
  );
}

function arrowOf(a: Arrow): HTMLElement {
  return el("li", { class: "arrow", "data-by": a.by, "data-tone": a.tone }, el("span", {}, a.by ? t(`broadcast.by.${a.by}`) : ""));
}

function mapOf(b: BroadcastInfo): HTMLElement {
  const { boxes, arrows } = broadcastMap(b);
  const items = boxes.flatMap((box, i) => {
    const arrow = arrows[i - 1];
    return arrow ? [arrowOf(arrow), boxOf(box)] : [boxOf(box)];
  });
  return el("ol", { class: "map" }, ...items);
}

/* ---- the rest of the panels ---- */

function facts(rows: readonly [string, string][]): HTMLElement {
  return el("dl", { class: "facts-list" }, ...rows.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
}

function stepRow(s: StepInfo): (Node | string)[] {
  const what = el("div", {}, el("strong", {}, s.name), s.describe ? el("span", { class: "describe" }, s.describe) : null, s.error ? el("span", { class: "reason" }, s.error) : null);
  const times = [s.startedMs, s.endedMs].map((ms) => (ms === null ? "–" : formatTime(ms)));
  return [what, el("span", { class: "badge", "data-tone": stepTone(s) }, stepWord(s.state)), s.peer, times[0] ?? "–", times[1] ?? "–"];
}

function stepsOf(b: BroadcastInfo): HTMLElement {
  return b.steps.length === 0 ? el("p", { class: "soft" }, t("detail.none")) : table(["broadcast.step", "broadcast.state", "broadcast.peer", "broadcast.began", "broadcast.ended"], b.steps.map(stepRow), t("broadcast.steps"));
}

const yes = (v: boolean): string => t(v ? "broadcast.yes" : "broadcast.no");

// What is not known is left out.
function healthRows(b: BroadcastInfo, h: HealthInfo): [string, string][] {
  const r = b.relayInfo;
  const rows: [Key, string | null][] = [
    ["broadcast.health.reason", h.reason || null],
    ["broadcast.health.session", h.session === null ? null : yes(h.session)],
    ["broadcast.health.publisher", h.publisher === null ? null : yes(h.publisher)],
    ["broadcast.health.stream", h.stream === null ? null : yes(h.stream)],
    ["broadcast.health.viewers", h.viewers === null ? null : number(h.viewers)],
    ["broadcast.health.forwarders", h.forwarders === null ? null : t("broadcast.health.of", { n: h.forwarders, all: h.forwardersExpected })],
    ["broadcast.health.obs", h.obs || null],
    ["broadcast.relay", r ? [r.kind, r.why].filter(Boolean).join(": ") : null],
    ["broadcast.health.relay", r?.state || h.relay || null],
    ["broadcast.health.speed", h.relaySpeed === null ? null : `${number(h.relaySpeed, 2)}×`],
    ["broadcast.health.packets", r?.packets == null ? null : number(r.packets)],
    ["broadcast.health.restarts", r ? number(r.restarts) : null],
    ["broadcast.health.error", r?.lastError || null],
    ["broadcast.health.checked", h.checkedMs === null ? null : formatTime(h.checkedMs)],
  ];
  const media = h.media.map((m): [string, string] => [t("broadcast.health.media", { track: m.type === m.mid || !m.mid ? m.type : `${m.type} ${m.mid}` }), m.ageMs === null ? t("broadcast.health.nothing") : t("broadcast.health.ago", { time: formatSeconds(m.ageMs / 1000) })]);
  return [...media, ...rows.flatMap(([key, value]): [string, string][] => (value === null ? [] : [[t(key), value]]))];
}

function healthOf(b: BroadcastInfo): HTMLElement {
  const h = b.health;
  if (!h) {
    return el("p", { class: "soft" }, t("detail.none"));
  }
  const badge = el("span", { class: "badge", "data-tone": h.healthy ? "good" : hasEnded(b.state) ? "off" : "busy" }, t(h.healthy ? "broadcast.healthy" : "broadcast.unhealthy"));
  return el("div", { class: "stack" }, badge, facts(healthRows(b, h)));
}

function aboutOf(b: BroadcastInfo): HTMLElement {
  const when = (ms: number | null): string => (ms === null ? "–" : formatDateTime(ms));
  return facts([
    [t("broadcast.id"), b.id],
    [t("broadcast.source"), sourceWord(b.source)],
    [t("broadcast.mountpoint"), b.mountpoint || "–"],
    [t("broadcast.created"), when(b.createdMs)],
    [t("broadcast.started"), when(b.startedMs)],
    ...(b.endedMs === null ? [] : [[t("broadcast.ended"), when(b.endedMs)] as [string, string]]),
    [t("broadcast.restarts"), number(b.restarts)],
    ...(b.note ? [[t("broadcast.note"), b.note] as [string, string]] : []),
  ]);
}

function debtsOf(b: BroadcastInfo): HTMLElement {
  const owed = b.steps.filter((s) => s.state === "debt");
  return el("ul", { class: "plain" }, ...owed.map((s) => el("li", {}, el("strong", {}, s.name), ` ${s.peer}`, s.error ? el("span", { class: "reason" }, s.error) : null)));
}

function keptOf(b: BroadcastInfo): HTMLElement {
  return el("ul", { class: "plain" }, ...b.kept.map((k) => el("li", {}, el("strong", {}, `${k.kind} ${k.id}`), ` ${k.peer}`, k.why ? el("span", { class: "describe" }, k.why) : null)));
}

const warningsOf = (b: BroadcastInfo): HTMLElement => el("ul", { class: "plain" }, ...b.warnings.map((w) => el("li", {}, w)));
const joinOf = (b: BroadcastInfo): HTMLElement => el("div", { class: "links" }, ...b.join.map(([name, value]) => copyable(name, value)));

// A panel that is made anew only when it says something else, so that focus and selection survive the looks.
class Part {
  readonly node: HTMLElement;
  private readonly content = el("div", { class: "stack" });
  private said = "";

  constructor(title: Key, kind: string, ...after: Node[]) {
    this.node = panel(title, kind, this.content, ...after);
    this.node.hidden = true;
  }

  show(wanted: boolean, make: () => HTMLElement): void {
    this.node.hidden = !wanted;
    const made = wanted ? make() : null;
    if (made && made.outerHTML !== this.said) {
      this.said = made.outerHTML;
      this.content.replaceChildren(made);
    }
  }
}

/* ---- all of it ---- */

export class BroadcastPage implements View {
  readonly node: HTMLElement;
  private readonly name: HTMLElement;
  private readonly badge = el("span", { class: "badge" });
  private readonly age = el("p", { class: "summary" });
  private readonly reason = el("p", { class: "reason", hidden: true });
  private readonly said = el("p", { class: "soft", role: "status", hidden: true });
  private readonly buttons: Record<Action, HTMLButtonElement>;
  private readonly map = new Part("broadcast.map", "wide");
  private readonly steps = new Part("broadcast.steps", "wide");
  private readonly health = new Part("broadcast.health", "");
  private readonly about = new Part("broadcast.about", "");
  private readonly debts: Part;
  private readonly warnings = new Part("broadcast.warnings", "");
  private readonly kept = new Part("broadcast.kept", "");
  private readonly join = new Part("broadcast.join", "wide");
  private readonly raw = el("pre", { tabindex: 0 });
  private readonly rawBox = el("details", { class: "raw" }, el("summary", {}, t("broadcast.raw")), this.raw);
  private readonly events = el("ol", { class: "events", "aria-label": t("broadcast.events") });
  private readonly panels: HTMLElement;
  private readonly lookout: Lookout;
  private last: BroadcastInfo | null = null;
  private admin = false;
  private busy = false;
  private gone = false;

  constructor(private readonly id: string) {
    this.name = el("h1", {}, id);
    this.buttons = { stop: this.button("stop"), restart: this.button("restart"), forget: this.button("forget"), settle: this.button("settle", "small") };
    this.debts = new Part("broadcast.debts", "wide", el("p", { class: "soft" }, t("broadcast.debts.more")), el("div", {}, this.buttons.settle));
    const back = el("a", { class: "back", href: "/#broadcasts" }, icon("back"), t("nav.broadcasts"));
    const actions = el("div", { class: "actions" }, this.buttons.stop, this.buttons.restart, this.buttons.forget);
    const eventPanel = panel("broadcast.events", "wide", this.events);
    this.panels = el("div", { class: "panels", hidden: true });
    for (const part of [this.map, this.debts, this.steps, this.health, this.about, this.warnings, this.kept, this.join]) {
      this.panels.append(part.node);
    }
    this.panels.append(eventPanel, el("section", { class: "panel wide" }, this.rawBox));
    this.rawBox.addEventListener("toggle", () => this.showRaw());
    this.node = el("main", { class: "page broadcast", id: "content" }, back, el("div", { class: "title" }, this.name, this.badge, this.age, actions), this.reason, this.said, this.panels);
    document.title = `${id} · ${t("broadcast.title")} · Mast`;
    this.showButtons();
    void whoAmI().then((me) => {
      this.admin = me?.scopes.includes("admin") ?? false;
      this.showButtons();
    });
    this.lookout = new Lookout({ look: () => this.look(), matches: (e) => e.resource === `broadcasts/${id}`, event: (e) => this.take(e), everyMs: EVERY_MS, past: PAST });
  }

  close(): void {
    this.lookout.close();
  }

  private button(action: Action, kind = ""): HTMLButtonElement {
    return sureButton(t(`broadcast.do.${action}`), t(`broadcast.do.${action}.more`), () => void this.act(action), kind);
  }

  private say(text: string): void {
    this.said.hidden = text === "";
    setText(this.said, text);
  }

  private async act(action: Action): Promise<void> {
    this.busy = true;
    this.showButtons();
    try {
      await actOnBroadcast(this.id, action);
      this.say("");
      if (action === "forget") {
        location.assign("/#broadcasts");
        return;
      }
    } catch (e) {
      this.say(t("broadcast.do.failed", { why: e instanceof Error ? e.message : String(e) }));
    }
    this.busy = false;
    this.showButtons();
    this.lookout.now();
  }

  private async look(): Promise<void> {
    try {
      this.last = await showBroadcast(this.id);
      if (this.gone) {
        this.say("");
      }
      this.gone = false;
      this.show(this.last);
      this.panels.classList.remove("stale");
    } catch (e) {
      this.gone = true;
      this.panels.classList.add("stale");
      this.say(e instanceof ApiError ? (e.status === 404 ? t("broadcast.gone") : e.message) : t("error.away"));
    }
    this.showButtons();
  }

  private showButtons(): void {
    const b = this.gone ? null : this.last;
    const ended = b !== null && hasEnded(b.state);
    const wanted: Record<Action, boolean> = { stop: b !== null && !ended, restart: b !== null, forget: ended, settle: b !== null && b.debts > 0 };
    for (const [action, button] of Object.entries(this.buttons) as [Action, HTMLButtonElement][]) {
      button.hidden = !wanted[action] || !this.admin;
      button.disabled = this.busy || (action === "stop" && b?.state === "stopping");
    }
  }

  private show(b: BroadcastInfo): void {
    setText(this.name, b.name || b.id);
    showBadge(this.badge, b.state, stateWord(b.state));
    setText(this.age, ageOf(b, Date.now()) + (b.changedMs === null ? "" : `  ·  ${t("broadcast.since", { time: formatDuration(Date.now() - b.changedMs) })}`));
    this.reason.hidden = b.reason === "";
    this.reason.dataset["tone"] = stateTone(b.state);
    setText(this.reason, b.reason);
    this.map.show(true, () => mapOf(b));
    this.steps.show(true, () => stepsOf(b));
    this.health.show(true, () => healthOf(b));
    this.about.show(true, () => aboutOf(b));
    this.debts.show(b.debts > 0, () => debtsOf(b));
    this.warnings.show(b.warnings.length > 0, () => warningsOf(b));
    this.kept.show(b.kept.length > 0, () => keptOf(b));
    this.join.show(b.join.length > 0, () => joinOf(b));
    this.panels.hidden = false;
    this.showRaw();
  }

  // Only while it is open: it is much text, and changes with every look.
  private showRaw(): void {
    if (this.rawBox.open && this.last) {
      setText(this.raw, JSON.stringify(this.last.raw, null, 2));
    }
  }

  private take(e: FeedEvent): void {
    this.events.prepend(eventRow(e, false));
    while (this.events.children.length > EVENTS_MAX) {
      this.events.lastElementChild?.remove();
    }
  }
}
