// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";

import { formatBitrate, formatBytes, formatDuration, formatSeconds } from "../.test/format.js";
import { lookup, pickLang, t, tn, useLang } from "../.test/i18n.js";
import { en } from "../.test/lang/en.js";
import { pt } from "../.test/lang/pt.js";

const holes = (text) => [...text.matchAll(/\{(\w+)\}/g)].map((m) => m[1]).sort();

test("every language has the same keys, with the same holes to fill", () => {
  assert.deepEqual(Object.keys(pt), Object.keys(en), "the same keys in the same order");
  for (const [key, text] of Object.entries(en)) {
    assert.deepEqual(holes(pt[key]), holes(text), key);
    assert.notEqual(pt[key].trim(), "", key);
  }
});

test("what is counted has one and many", () => {
  for (const key of Object.keys(en)) {
    if (key.endsWith(".one")) {
      assert.ok(`${key.slice(0, -3)}many` in en, key);
    }
  }
});

test("every key is used, and what is used is a key", () => {
  const files = readdirSync(new URL("../src", import.meta.url), { recursive: true }).filter((f) => f.endsWith(".ts") && !f.startsWith("lang"));
  const source = files.map((f) => readFileSync(new URL(`../src/${f}`, import.meta.url), "utf8")).join("\n");
  // `state.${...}` and the like stand for all keys that begin so; tn("x") for x.one and x.many.
  const stems = [...source.matchAll(/`([a-z][a-z.]*\.)\$\{/g)].map((m) => m[1]);
  const unused = Object.keys(en).filter((k) => {
    const counted = /^(.*)\.(one|many)$/.exec(k)?.[1];
    return k !== "lang.name" && !source.includes(`"${k}"`) && !(counted && source.includes(`"${counted}"`)) && !stems.some((s) => k.startsWith(s));
  });
  assert.deepEqual(unused, []);
});

test("every reason of the player has its words", () => {
  const contract = readFileSync(new URL("../src/player/contract.ts", import.meta.url), "utf8");
  const names = (type) => [...new RegExp(`export type ${type} =([^;]*);`).exec(contract)[1].matchAll(/"([a-z-]+)"/g)].map((m) => m[1]);
  for (const reason of names("ChoiceReason")) {
    assert.ok(`why.${reason}` in en, reason);
  }
  for (const reason of names("WaitReason")) {
    assert.ok([`note.${reason}`, `state.${reason}`].some((k) => k in en), reason);
  }
  for (const phase of names("Phase")) {
    assert.ok(`state.${phase}` in en, phase);
  }
  for (const transport of names("TransportName")) {
    assert.ok(`transport.${transport}` in en, transport);
  }
});

test("the language is the chosen one, else the browser's first that there is, else English", () => {
  assert.equal(pickLang(null, ["pt-BR", "en"]), "pt");
  assert.equal(pickLang(null, ["de-DE", "PT", "en"]), "pt");
  assert.equal(pickLang(null, ["fr"]), "en");
  assert.equal(pickLang(null, []), "en");
  assert.equal(pickLang("en", ["pt"]), "en");
  assert.equal(pickLang("klingon", ["pt"]), "pt");
});

test("holes are filled, numbers as the language writes them", () => {
  useLang("en");
  assert.equal(tn("wall.summary", 1, { live: 2 }), "2 live, 1 viewer");
  assert.equal(tn("wall.summary", 1200, { live: 2 }), "2 live, 1,200 viewers");
  assert.equal(t("copy.what", { what: "a/{n}" }), "Copy: a/{n}");
  assert.equal(lookup("event.nothing.such"), undefined);
  useLang("pt");
  assert.equal(tn("wall.summary", 0, { live: 2 }), "2 ao vivo, 0 espectadores");
  assert.equal(formatBitrate(2_540_000), "2,5 Mb/s");
  useLang("en");
});

test("numbers as people read them", () => {
  useLang("en");
  assert.equal(formatBitrate(0), "0 kb/s");
  assert.equal(formatBitrate(999_400), "999 kb/s");
  assert.equal(formatBitrate(12_400_000), "12 Mb/s");
  assert.equal(formatBytes(999), "999 B");
  assert.equal(formatBytes(1500), "1.5 KB");
  assert.equal(formatBytes(12_345_678), "12 MB");
  assert.equal(formatDuration(61_000), "1:01");
  assert.equal(formatDuration(3_661_000), "1:01:01");
  assert.equal(formatDuration(73 * 3_600_000), "3 days");
  assert.equal(formatSeconds(1.5), "1.50 s");
  assert.equal(formatSeconds(12.6), "13 s");
});
