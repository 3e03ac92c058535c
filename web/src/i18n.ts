// SPDX-License-Identifier: Apache-2.0
// The words of the page: one table a language, with the same keys. The language is that of the browser until one is chosen.

import { en, type Key } from "./lang/en.js";
import { pt } from "./lang/pt.js";

export type { Key } from "./lang/en.js";
export type Lang = "en" | "pt";
export type Params = Record<string, string | number>;

const TABLES: Record<Lang, Record<Key, string>> = { en, pt };
const LOCALES: Record<Lang, string> = { en: "en-GB", pt: "pt-BR" };

let current: Lang = "en";

export function isLang(v: unknown): v is Lang {
  return v === "en" || v === "pt";
}

// chosen: what was stored, if anything; languages: the browser's, best first.
export function pickLang(chosen: string | null, languages: readonly string[]): Lang {
  if (isLang(chosen)) {
    return chosen;
  }
  const known = languages.map((l) => l.slice(0, 2).toLowerCase()).find(isLang);
  return known ?? "en";
}

export function useLang(lang: Lang): void {
  current = lang;
}

export function lang(): Lang {
  return current;
}

export function locale(): string {
  return LOCALES[current];
}

export function t(key: Key, params: Params = {}): string {
  return TABLES[current][key].replace(/\{(\w+)\}/g, (all, name: string) => {
    const v = params[name];
    return v === undefined ? all : typeof v === "number" ? number(v) : v;
  });
}

// For keys that are made from what the server says: undefined when the table has none.
export function lookup(key: string): string | undefined {
  return (TABLES[current] as Record<string, string>)[key];
}

type Counted = { [K in Key]: K extends `${infer Stem}.one` ? Stem : never }[Key];

// The sentence for n of something; n is put in as {n}.
export function tn(stem: Counted, n: number, params: Params = {}): string {
  return t(`${stem}.${n === 1 ? "one" : "many"}`, { n, ...params });
}

// digits: so many after the comma; without it, up to two.
export function number(n: number, digits?: number): string {
  return n.toLocaleString(LOCALES[current], { minimumFractionDigits: digits ?? 0, maximumFractionDigits: digits ?? 2 });
}
