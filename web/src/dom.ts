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

const ICONS = {
  play: "M8 5.5v13l10.5-6.5z",
  pause: "M7.5 5.5v13M16.5 5.5v13",
  muted: "M4 9.5v5h3.5l4.5 4v-13l-4.5 4zM16 9.5l5 5M21 9.5l-5 5",
  sound: "M4 9.5v5h3.5l4.5 4v-13l-4.5 4zM15.5 9a4.2 4.2 0 0 1 0 6M18 6.5a8 8 0 0 1 0 11",
  full: "M4 9V4.5h4.5M20 9V4.5h-4.5M4 15v4.5h4.5M20 15v4.5h-4.5",
  back: "M14.5 5.5 8 12l6.5 6.5",
  copy: "M9 9h10.5v10.5H9zM5 15H4.5V4.5H15V5",
  done: "M5 12.5 10 17.5 19.5 7",
} as const;

export type IconName = keyof typeof ICONS;

export function icon(name: IconName): SVGSVGElement {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", `icon icon-${name}`);
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

// The mark: an aerial with its waves.
export function mark(): SVGSVGElement {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 32 32");
  svg.setAttribute("class", "mark");
  svg.setAttribute("aria-hidden", "true");
  for (const d of ["M16 14v15M11 29h10", "M10.7 15.3a7 7 0 0 1 0-10.6M21.3 15.3a7 7 0 0 0 0-10.6"]) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("d", d);
    svg.append(path);
  }
  const dot = document.createElementNS(SVG, "circle");
  dot.setAttribute("cx", "16");
  dot.setAttribute("cy", "10");
  dot.setAttribute("r", "2.2");
  svg.append(dot);
  return svg;
}
