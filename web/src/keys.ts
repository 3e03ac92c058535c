// SPDX-License-Identifier: Apache-2.0
// Keyboard shortcuts, and the overlay that lists them. A page adds its own and takes them away when it goes.

import { el, icon } from "./dom.js";
import { t, type Key } from "./i18n.js";

export interface Shortcut {
  key: string; // KeyboardEvent.key
  shown?: string; // where that is no word for people
  label: Key;
  run(): void;
}

const all: Shortcut[] = [];
let dialog: HTMLDialogElement | null = null;

export function addShortcuts(list: readonly Shortcut[]): () => void {
  all.push(...list);
  return () => {
    for (const s of list) {
      all.splice(all.indexOf(s), 1);
    }
  };
}

// Keys that the focused thing needs itself.
function isBusy(target: EventTarget | null, key: string): boolean {
  if (target instanceof HTMLInputElement && target.type === "range") {
    return key.startsWith("Arrow");
  }
  if (target instanceof HTMLInputElement || target instanceof HTMLSelectElement || target instanceof HTMLTextAreaElement) {
    return true;
  }
  const presses = target instanceof HTMLButtonElement || target instanceof HTMLAnchorElement || target instanceof HTMLElement && target.tagName === "SUMMARY";
  return presses && key === " ";
}

function press(e: KeyboardEvent): void {
  if (e.ctrlKey || e.metaKey || e.altKey || e.repeat && !e.key.startsWith("Arrow") || dialog?.open || isBusy(e.target, e.key)) {
    return;
  }
  const found = all.find((s) => s.key === e.key);
  if (found) {
    e.preventDefault();
    found.run();
  }
}

export function showKeys(): void {
  dialog?.remove();
  const rows = all.map((s) => el("div", {}, el("dt", {}, el("kbd", {}, s.shown ?? s.key)), el("dd", {}, t(s.label))));
  const close = el("button", { class: "control", type: "button", "aria-label": t("tools.close"), title: t("tools.close"), click: () => dialog?.close() }, icon("close"));
  const box = el("dialog", { class: "keys", "aria-labelledby": "keys-title" }, el("header", {}, el("h2", { id: "keys-title" }, t("keys.title")), close), el("dl", {}, ...rows));
  box.addEventListener("click", (e) => e.target === box && box.close()); // beside it
  box.addEventListener("close", () => box.remove());
  dialog = box;
  document.body.append(box);
  box.showModal();
}

export function startKeys(): void {
  document.addEventListener("keydown", press);
}
