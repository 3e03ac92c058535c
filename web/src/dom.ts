// SPDX-License-Identifier: Apache-2.0
// Small helpers to build elements. Text always goes in as text, never as markup.

type Child = Node | string | null;
type Attributes = Record<string, string | number | boolean | EventListener>;

export function el<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") {
      e.addEventListener(name, value);
    } else if (typeof value === "boolean") {
      e.toggleAttribute(name, value);
    } else {
      e.setAttribute(name, String(value));
    }
  }
  e.append(...children.filter((c): c is Node | string => c !== null));
  return e;
}

// Sets text only when it differs, so that nothing is laid out or read out again for nothing.
export function setText(e: HTMLElement, text: string): void {
  if (e.textContent !== text) {
    e.textContent = text;
  }
}

const SVG = "http://www.w3.org/2000/svg";

export function svg<K extends keyof SVGElementTagNameMap>(tag: K, attributes: Record<string, string | number> = {}): SVGElementTagNameMap[K] {
  const e = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) {
    e.setAttribute(name, String(value));
  }
  return e;
}

const ICONS = {
  play: "M8 5.5v13l10.5-6.5z",
  pause: "M7.5 5.5v13M16.5 5.5v13",
  muted: "M4 9.5v5h3.5l4.5 4v-13l-4.5 4zM16 9.5l5 5M21 9.5l-5 5",
  sound: "M4 9.5v5h3.5l4.5 4v-13l-4.5 4zM15.5 9a4.2 4.2 0 0 1 0 6M18 6.5a8 8 0 0 1 0 11",
  full: "M4 9V4.5h4.5M20 9V4.5h-4.5M4 15v4.5h4.5M20 15v4.5h-4.5",
  back: "M14.5 5.5 8 12l6.5 6.5",
  copy: "M9 9h10.5v10.5H9zM5 15H4.5V4.5H15V5",
  done: "M5 12.5 10 17.5 19.5 7",
  camera: "M4 8h3.5l1.5-2.5h6L16.5 8H20v11H4zM12 16.2a3 3 0 1 0 0-6 3 3 0 0 0 0 6",
  edge: "M5.5 6v12l8-6zM18.5 6v12",
  eye: "M2.5 12S6 5.8 12 5.8 21.5 12 21.5 12 18 18.2 12 18.2 2.5 12 2.5 12zM12 14.6a2.6 2.6 0 1 0 0-5.2 2.6 2.6 0 0 0 0 5.2",
  search: "M10.5 16.5a6 6 0 1 0 0-12 6 6 0 0 0 0 12M15 15l5 5",
  light: "M12 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8M12 3v1.5M12 19.5V21M3 12h1.5M19.5 12H21M5.6 5.6l1.1 1.1M17.3 17.3l1.1 1.1M5.6 18.4l1.1-1.1M17.3 6.7l1.1-1.1",
  dark: "M19.5 14.2A8 8 0 0 1 9.8 4.5a8 8 0 1 0 9.7 9.7z",
  auto: "M12 20a8 8 0 1 0 0-16 8 8 0 0 0 0 16M12 4v16M12 8l6.5-1.5M12 12h8M12 16l6.5 1.5",
  keyboard: "M3.5 7h17v10.5h-17zM7 10.5h.01M10.3 10.5h.01M13.7 10.5h.01M17 10.5h.01M8.5 14.3h7",
  note: "M9 17.5V6l10-2v11.5M9 17.5a2.5 2.5 0 1 1-5 0 2.5 2.5 0 0 1 5 0zM19 15.5a2.5 2.5 0 1 1-5 0 2.5 2.5 0 0 1 5 0z",
  film: "M4 5.5h16v13H4zM8 5.5v13M16 5.5v13M4 12h16M4 8.7h4M4 15.3h4M16 8.7h4M16 15.3h4",
  close: "M6 6l12 12M18 6 6 18",
} as const;

export type IconName = keyof typeof ICONS;

export function icon(name: IconName): SVGSVGElement {
  const node = svg("svg", { viewBox: "0 0 24 24", class: `icon icon-${name}`, "aria-hidden": "true" });
  node.append(svg("path", { d: ICONS[name] }));
  return node;
}

// The mark: an aerial with its waves.
export function mark(): SVGSVGElement {
  const node = svg("svg", { viewBox: "0 0 32 32", class: "mark", "aria-hidden": "true" });
  for (const d of ["M16 14v15M11 29h10", "M10.7 15.3a7 7 0 0 1 0-10.6M21.3 15.3a7 7 0 0 0 0-10.6"]) {
    node.append(svg("path", { d }));
  }
  node.append(svg("circle", { cx: 16, cy: 10, r: 2.2 }));
  return node;
}
