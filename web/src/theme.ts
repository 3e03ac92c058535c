// SPDX-License-Identifier: Apache-2.0
// Light, dark, or as the system says. The style sheet knows only data-theme; this file decides what it is.

import { recall, remember } from "./store.js";

export type Theme = "auto" | "light" | "dark";

const ORDER: readonly Theme[] = ["auto", "light", "dark"];
const PAPER = { light: "#f5f5f2", dark: "#0f1012" };
const system = window.matchMedia("(prefers-color-scheme: dark)");

let chosen: Theme = "auto";

function apply(): void {
  const dark = chosen === "dark" || (chosen === "auto" && system.matches);
  document.documentElement.dataset["theme"] = dark ? "dark" : "light";
  for (const meta of document.querySelectorAll<HTMLMetaElement>("meta[name=theme-color]")) {
    meta.content = dark ? PAPER.dark : PAPER.light; // what phones paint around the page
  }
}

export function startTheme(): void {
  const stored = recall("theme");
  chosen = ORDER.find((x) => x === stored) ?? "auto";
  system.addEventListener("change", apply);
  apply();
}

export function theme(): Theme {
  return chosen;
}

export function nextTheme(): void {
  chosen = ORDER[(ORDER.indexOf(chosen) + 1) % ORDER.length] ?? "auto";
  remember("theme", chosen);
  apply();
}
