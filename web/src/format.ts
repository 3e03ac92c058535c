// SPDX-License-Identifier: Apache-2.0
// Numbers as people read them, in their language.

import { locale, number, t } from "./i18n.js";

export function formatBitrate(bps: number): string {
  if (bps >= 1e6) {
    return `${number(bps / 1e6, bps >= 1e7 ? 0 : 1)} Mb/s`;
  }
  return `${number(Math.round(bps / 1000))} kb/s`;
}

export function formatBytes(bytes: number): string {
  const units = ["B", "KB", "MB", "GB", "TB"];
  let i = 0;
  let n = bytes;
  while (n >= 1000 && i < units.length - 1) {
    n /= 1000;
    i += 1;
  }
  return `${number(n, i > 0 && n < 10 ? 1 : 0)} ${units[i]}`;
}

export function formatDuration(ms: number): string {
  const s = Math.max(0, Math.floor(ms / 1000));
  const two = (n: number): string => String(n).padStart(2, "0");
  const h = Math.floor(s / 3600);
  if (h >= 48) {
    return t("unit.days", { n: Math.floor(h / 24) });
  }
  return h > 0
    ? `${h}:${two(Math.floor(s / 60) % 60)}:${two(s % 60)}`
    : `${Math.floor(s / 60)}:${two(s % 60)}`;
}

export function formatSeconds(s: number): string {
  return s < 10 ? `${number(s, 2)} s` : `${number(Math.round(s))} s`;
}

export function formatTime(ms: number): string {
  return new Date(ms).toLocaleTimeString(locale(), { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
}

export function formatDateTime(ms: number): string {
  return new Date(ms).toLocaleString(locale(), { dateStyle: "medium", timeStyle: "medium", hour12: false } as Intl.DateTimeFormatOptions);
}
