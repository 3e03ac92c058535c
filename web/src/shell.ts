// SPDX-License-Identifier: Apache-2.0
// What all pages have around them: the way to the others, language, colours, and the list of shortcuts.

import { el, icon, mark } from "./dom.js";
import { lang, t, type Key } from "./i18n.js";
import { addShortcuts, showKeys } from "./keys.js";
import { logOutEntry } from "./login.js";
import { nextTheme, theme } from "./theme.js";

export interface View {
  readonly node: HTMLElement;
  close(): void;
}

export type PageName = "streams" | "broadcasts" | "events" | "system" | "watch";

const PAGES: readonly { name: PageName; href: string; label: Key; key: string; says: Key }[] = [
  { name: "streams", href: "/", label: "nav.streams", key: "w", says: "keys.streams" },
  { name: "broadcasts", href: "/#broadcasts", label: "nav.broadcasts", key: "b", says: "keys.broadcasts" },
  { name: "events", href: "/#events", label: "nav.events", key: "e", says: "keys.events" },
  { name: "system", href: "/#system", label: "nav.system", key: "y", says: "keys.system" },
];

function themeButton(): HTMLButtonElement {
  const button = el("button", { class: "control", type: "button" });
  const show = (): void => {
    const label = t(`tools.theme.${theme()}`);
    button.replaceChildren(icon(theme()));
    button.title = label;
    button.setAttribute("aria-label", label);
  };
  button.addEventListener("click", () => {
    nextTheme();
    show();
  });
  show();
  return button;
}

export class Shell {
  readonly node: HTMLElement;
  private readonly removeKeys: () => void;

  constructor(page: PageName, view: View, switchLang: () => void) {
    const links = PAGES.map((p) => el("a", { href: p.href, ...(p.name === page && { "aria-current": "page" }) }, t(p.label)));
    const colours = themeButton();
    const language = el("button", { class: "control lang", type: "button", title: t("tools.language"), "aria-label": t("tools.language"), click: switchLang }, lang().toUpperCase());
    const help = el("button", { class: "control help", type: "button", title: `${t("tools.help")} (?)`, "aria-label": t("tools.help"), click: showKeys }, icon("keyboard"));
    const tools = el("div", { class: "tools" }, language, colours, help);
    void logOutEntry().then((entry) => entry && tools.prepend(entry));
    this.node = el(
      "div",
      { class: `shell shell-${page}` },
      el("a", { class: "skip", href: "#content", click: skip }, t("nav.skip")),
      el("header", { class: "top" }, el("a", { class: "home", href: "/", "aria-label": "Mast" }, mark(), el("span", { class: "name" }, "Mast")), el("nav", { "aria-label": t("nav.main") }, ...links), tools),
      view.node,
    );
    this.removeKeys = addShortcuts([
      { key: "?", label: "keys.help", run: showKeys },
      ...PAGES.map((p) => ({ key: p.key, label: p.says, run: () => location.assign(p.href) })),
      { key: "t", label: "keys.theme", run: () => colours.click() },
      { key: "i", label: "keys.language", run: switchLang },
    ]);
  }

  close(): void {
    this.removeKeys();
    this.node.remove();
  }
}

// The hash names the page, so that following the link itself would leave it.
function skip(e: Event): void {
  e.preventDefault();
  const main = document.querySelector<HTMLElement>("main");
  main?.setAttribute("tabindex", "-1");
  main?.focus();
}
