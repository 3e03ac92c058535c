// SPDX-License-Identifier: Apache-2.0
// Two small graphs as SVG: a line over time, and the groups of pictures as bars. The geometry is apart, and pure.

import { svg } from "./dom.js";

export interface Box {
  x: number;
  y: number;
  w: number;
  h: number;
}

// A round number not below max that an axis can end with: 1, 2 or 5 times a power of ten.
export function niceTop(max: number): number {
  if (max <= 0) {
    return 1;
  }
  const power = 10 ** Math.floor(Math.log10(max));
  const n = max / power;
  return (n <= 1 ? 1 : n <= 2 ? 2 : n <= 5 ? 5 : 10) * power;
}

// The newest value at the right edge; slots: how many the width is for, so that a short history does not stretch.
export function linePoints(values: readonly number[], slots: number, top: number, w: number, h: number): [number, number][] {
  const step = w / Math.max(1, slots - 1);
  return values.slice(-slots).map((v, i, shown) => [w - (shown.length - 1 - i) * step, h - (Math.min(v, top) / top) * h]);
}

export function linePath(points: readonly [number, number][]): string {
  return points.map(([x, y], i) => `${i > 0 ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
}

export function areaPath(points: readonly [number, number][], h: number): string {
  const first = points[0];
  const last = points[points.length - 1];
  return first && last ? `${linePath(points)}L${last[0].toFixed(1)} ${h}L${first[0].toFixed(1)} ${h}Z` : "";
}

// Bars side by side, the newest at the right edge: width is the duration, height the size. What has no room is left out.
export function groupBars(groups: readonly { duration_ms: number; bytes: number }[], spanMs: number, top: number, w: number, h: number): Box[] {
  const bars: Box[] = [];
  let right = w;
  for (const g of [...groups].reverse()) {
    const width = (g.duration_ms / spanMs) * w;
    const left = right - width;
    if (left < -0.5) {
      break;
    }
    const height = Math.max(1, (Math.min(g.bytes, top) / top) * h);
    bars.unshift({ x: left, y: h - height, w: width, h: height });
    right = left;
  }
  return bars;
}

export const GRAPH_W = 600;
export const GRAPH_H = 150;

// The frame of a graph: grid lines, drawn to the size of its box whatever that is.
export function graph(kind: string): SVGSVGElement {
  const node = svg("svg", { class: `graph graph-${kind}`, viewBox: `0 0 ${GRAPH_W} ${GRAPH_H}`, preserveAspectRatio: "none", role: "img" });
  for (const part of [0, 0.5, 1]) {
    node.append(svg("line", { class: "grid", x1: 0, x2: GRAPH_W, y1: GRAPH_H * part, y2: GRAPH_H * part }));
  }
  return node;
}

export function drawLine(node: SVGSVGElement, values: readonly number[], slots: number, top: number, name = "line"): void {
  const points = linePoints(values, slots, top, GRAPH_W, GRAPH_H);
  const put = (part: string, d: string): void => {
    const path = node.querySelector(`.${part}`) ?? node.appendChild(svg("path", { class: part }));
    path.setAttribute("d", d);
  };
  put(`${name}-area`, areaPath(points, GRAPH_H));
  put(`${name}-stroke`, linePath(points));
}

export function drawBars(node: SVGSVGElement, bars: readonly Box[], titles: readonly string[]): void {
  const old = node.querySelectorAll("rect");
  bars.forEach((b, i) => {
    const rect = old[i] ?? node.appendChild(svg("rect", { class: "bar" }));
    const gap = Math.min(1.5, b.w / 4);
    rect.setAttribute("x", (b.x + gap / 2).toFixed(1));
    rect.setAttribute("y", b.y.toFixed(1));
    rect.setAttribute("width", (b.w - gap).toFixed(1));
    rect.setAttribute("height", b.h.toFixed(1));
    const title = rect.querySelector("title") ?? rect.appendChild(svg("title"));
    title.textContent = titles[i] ?? "";
  });
  for (let i = bars.length; i < old.length; i++) {
    old[i]?.remove();
  }
}
