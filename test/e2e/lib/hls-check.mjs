// SPDX-License-Identifier: Apache-2.0
// Follows a live media playlist as a player does, by blocking reload or, the plain variant, by asking again, fetches every
// part and segment, and holds all of it to RFC 8216 and RFC 8216bis (numbers are of its sections). What is wrong is thrown
// with the playlist that shows it.
//
// Playlist text     4: UTF-8, no BOM, no control characters; 4.1: EXTM3U first; 4.3: each tag of the playlist once, and before
//                   the first segment; 4.4.1.2 and 8: EXT-X-VERSION fits the tags; type and caching of the reply
// Numbers           4.4.3.1: the target duration never changes and no rounded EXTINF is above it; 4.4.3.2, 6.2.1: media sequence
//                   numbers never fall and always name the same segment; 4.4.3.3, 6.2.2: a discontinuity that slides out is
//                   counted; 6.2.2: at least three target durations are listed, what slid out can still be fetched for the length
//                   of the playlist; 4.4.3.4: after ENDLIST nothing is different
// Segments          4.4.4.1, 4.4.4.9: parts add up; 4.4.4.5: MAP; 4.4.4.6: dates agree with durations and with the clock;
//                   4.4.2.1: INDEPENDENT-SEGMENTS is true; 3.1.2, 4.4.4.1: the media's own times are what the playlist says, also
//                   over the border of segments; DISCONTINUITY where they do not continue
// Parts             4.4.4.9: not above PART-TARGET, but for the last of a segment not below 85 %, INDEPENDENT is true; parts
//                   are listed for the last three target durations; 3: a segment is its parts
// Low latency       4.4.3.7, 4.4.3.8: CAN-BLOCK-RELOAD, HOLD-BACK, PART-HOLD-BACK, CAN-SKIP-UNTIL; 4.4.5.1: one skip, only when
//                   asked for, and never of what is nearer than CAN-SKIP-UNTIL; 4.4.5.3: what was hinted at came, and can be waited
//                   for; 4.4.5.4: a report for every other rendition; 6.2.5.2: a reload holds what was asked for
// Renditions        4.4.6.2.1, 6.2.4: same numbers, same discontinuities, dates of the same time (checkAlike)
// Multivariant      4.4.6: CODECS, RESOLUTION, FRAME-RATE, groups that exist; BANDWIDTH is not below what is sent (checkMaster)
// MP4               CMAF: one track, default-base-is-moof, tfdt of version 1 that continues

import assert from "node:assert/strict";

import { sleep } from "./mast.mjs";

// ---- playlists ----

// KEY=value,KEY="quoted" of a tag.
export function attributes(text) {
  const list = {};
  for (const m of text.matchAll(/([A-Z0-9-]+)=("([^"]*)"|[^,]*)/g)) {
    list[m[1]] = m[3] ?? m[2];
  }
  return list;
}

const LAST = new Set(["#EXT-X-PRELOAD-HINT", "#EXT-X-ENDLIST"]);
const ONCE = new Set([
  "#EXT-X-VERSION", "#EXT-X-TARGETDURATION", "#EXT-X-SERVER-CONTROL", "#EXT-X-PART-INF", "#EXT-X-MEDIA-SEQUENCE",
  "#EXT-X-DISCONTINUITY-SEQUENCE", "#EXT-X-SKIP", "#EXT-X-INDEPENDENT-SEGMENTS", ...LAST,
]); // prettier-ignore

function emptySegment(map) {
  return { parts: [], map, discontinuity: false, gap: false };
}

// Segments carry msn and dsn; `open` is the one without EXTINF.
export function parsePlaylist(text) {
  const lines = text.split("\n");
  assert.equal(lines[0], "#EXTM3U");
  assert.doesNotMatch(text, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\ufeff]/, "a control character, or a BOM");
  const list = { text, segments: [], reports: [], skipped: 0, ended: false, control: {}, independent: false };
  const seen = new Set();
  let map;
  let current = emptySegment();
  for (const line of lines.slice(1)) {
    const [tag, value = ""] = line.split(/:(.*)/s);
    const attr = attributes(value);
    if (ONCE.has(tag)) {
      assert.ok(!seen.has(tag), `${tag} twice`);
      assert.ok(LAST.has(tag) || (list.segments.length === 0 && current.parts.length === 0), `${tag} behind a segment`);
      seen.add(tag);
    }
    switch (tag) {
      case "#EXT-X-VERSION": list.version = Number(value); break;
      case "#EXT-X-TARGETDURATION": list.target = Number(value); break;
      case "#EXT-X-INDEPENDENT-SEGMENTS": list.independent = true; break;
      case "#EXT-X-SERVER-CONTROL": list.control = attr; break;
      case "#EXT-X-PART-INF": list.partTarget = Number(attr["PART-TARGET"]); break;
      case "#EXT-X-MEDIA-SEQUENCE": list.msn = Number(value); break;
      case "#EXT-X-DISCONTINUITY-SEQUENCE": list.dsn = Number(value); break;
      case "#EXT-X-SKIP": list.skipped = Number(attr["SKIPPED-SEGMENTS"]); break;
      case "#EXT-X-DISCONTINUITY": current.discontinuity = true; break;
      case "#EXT-X-GAP": current.gap = true; break;
      case "#EXT-X-MAP": current.map = map = attr.URI; break;
      case "#EXT-X-PROGRAM-DATE-TIME": current.time = Date.parse(value); break;
      case "#EXT-X-PART":
        current.parts.push({ uri: attr.URI, duration: Number(attr.DURATION), independent: attr.INDEPENDENT === "YES" });
        break;
      case "#EXT-X-PRELOAD-HINT": list.hint = attr; break;
      case "#EXT-X-RENDITION-REPORT": list.reports.push(attr); break;
      case "#EXT-X-ENDLIST": list.ended = true; break;
      case "#EXTINF": current.duration = parseFloat(value); break;
      case "": break;
      default:
        assert.ok(!line.startsWith("#EXT"), `a tag that the checker does not know: ${line}`);
        current.uri = line;
        list.segments.push(current);
        current = emptySegment(map);
    }
  } // prettier-ignore
  list.open = current;
  let dsn = list.dsn;
  [...list.segments, list.open].forEach((s, i) => {
    s.msn = list.msn + list.skipped + i;
    dsn += s.discontinuity ? 1 : 0;
    s.dsn = dsn;
  });
  return list;
}

// ---- fragmented MP4 ----

function* boxes(data, from = 0, to = data.length) {
  for (let at = from; at < to; ) {
    const size = data.readUInt32BE(at);
    assert.ok(size >= 8 && at + size <= to, `a box of ${size} bytes at ${at} of ${to}`);
    yield { type: data.toString("latin1", at + 4, at + 8), body: at + 8, end: at + size };
    at += size;
  }
}

function find(data, path, from = 0, to = data.length) {
  for (const b of boxes(data, from, to)) {
    if (b.type === path[0]) {
      return path.length === 1 ? b : find(data, path.slice(1), b.body, b.end);
    }
  }
  throw new Error(`no ${path[0]}`);
}

export function timescaleOf(init) {
  const mdhd = find(init, ["moov", "trak", "mdia", "mdhd"]);
  return init.readUInt32BE(mdhd.body + (init[mdhd.body] === 1 ? 20 : 12));
}

// The samples of a media file: {dts, duration, key, bytes}, in its timescale.
export function samplesOf(data) {
  const samples = [];
  for (const moof of boxes(data)) {
    if (moof.type !== "moof") {
      assert.equal(moof.type, "mdat");
      continue;
    }
    const tfhd = find(data, ["traf", "tfhd"], moof.body, moof.end);
    assert.ok(data.readUInt32BE(tfhd.body) & 0x20000, "no default-base-is-moof");
    const tfdt = find(data, ["traf", "tfdt"], moof.body, moof.end);
    const trun = find(data, ["traf", "trun"], moof.body, moof.end);
    assert.equal(data[tfdt.body], 1);
    let dts = Number(data.readBigUInt64BE(tfdt.body + 4));
    assert.equal(data.readUInt32BE(trun.body) & 0xffffff, 0xf01);
    for (let i = 0, at = trun.body + 12; i < data.readUInt32BE(trun.body + 4); i++, at += 16) {
      const duration = data.readUInt32BE(at);
      samples.push({ dts, duration, bytes: data.readUInt32BE(at + 4), key: (data.readUInt32BE(at + 8) & 0x10000) === 0 });
      dts += duration;
    }
  }
  return samples;
}

// ---- rules ----

const near = (a, b, tolerance) => Math.abs(a - b) <= tolerance;

export class HlsChecker {
  // url: of a media playlist. plain: it has nothing of low latency.
  constructor(url, { plain = false } = {}) {
    this.url = url;
    this.plain = plain;
    this.known = new Map(); // msn -> the segment as first seen complete
    this.files = new Map(); // uri -> Buffer, of segments that are listed
    this.scales = new Map(); // init uri -> timescale
    this.partUris = new Map(); // "msn.n" -> uri, duration
    this.reloads = 0;
    this.discontinuities = 0;
    this.parts = 0;
    this.segments = 0;
    this.skips = 0;
    this.hints = 0;
    this.late = 0; // slid out and fetched all the same
    this.longestWaitMs = 0; // of a reload
    this.maps = new Set();
  }

  fail(text) {
    throw new Error(`${this.url}: ${text}\n${this.list?.text ?? ""}`);
  }

  check(ok, text) {
    if (!ok) {
      this.fail(text);
    }
  }

  async fetch(uri) {
    const url = new URL(uri, this.url);
    const reply = await fetch(url);
    if (reply.status !== 200) {
      this.fail(`${uri}: ${reply.status} ${await reply.text()}`);
    }
    this.check(reply.headers.get("access-control-allow-origin") === "*", `${uri}: no CORS`);
    return { headers: reply.headers, data: Buffer.from(await reply.arrayBuffer()) };
  }

  async file(uri) {
    if (!this.files.has(uri)) {
      const { headers, data } = await this.fetch(uri);
      this.check(/max-age=\d{4,}, immutable/.test(headers.get("cache-control")), `${uri}: ${headers.get("cache-control")}`);
      this.check(/^(video|audio)\/mp4$/.test(headers.get("content-type")), `${uri}: ${headers.get("content-type")}`);
      this.files.set(uri, data);
    }
    return this.files.get(uri);
  }

  checkHead(list) {
    const needs = list.skipped > 0 ? 9 : 6; // EXT-X-MAP without I-frames is of 6
    this.check(list.version >= needs, `EXT-X-VERSION:${list.version}`);
    this.check(this.target === undefined || list.target === this.target, `target duration was ${this.target}`);
    this.check(this.partTarget === undefined || list.partTarget === this.partTarget, `part target was ${this.partTarget}`);
    this.check(list.msn !== undefined && list.dsn !== undefined, "no sequence numbers");
    this.target = list.target;
    this.partTarget = list.partTarget;
    const control = list.control;
    this.check(control["HOLD-BACK"] === undefined || Number(control["HOLD-BACK"]) >= 3 * list.target, "HOLD-BACK");
    if (this.plain) {
      const low = list.partTarget !== undefined || list.hint || list.reports.length > 0 || list.skipped > 0;
      this.check(!low && list.open.parts.length === 0, "low latency in the plain variant");
      return;
    }
    this.check(control["CAN-BLOCK-RELOAD"] === "YES", "no blocking reload");
    this.check(Number(control["PART-HOLD-BACK"]) >= 3 * list.partTarget - 1e-6, "PART-HOLD-BACK below three parts");
    this.check(Number(control["CAN-SKIP-UNTIL"]) >= 6 * list.target, "CAN-SKIP-UNTIL below six target durations");
  }

  // What is there all together: the least length, skipping, where parts have to be.
  checkWhole(list, previous, query) {
    let behind = list.open.parts.reduce((t, p) => t + p.duration, 0);
    for (const s of [...list.segments].reverse()) {
      const near = behind < 3 * list.target - list.partTarget;
      this.check(this.plain || s.gap || s.parts.length > 0 || !near, `no parts of ${s.uri}, ${behind} s from the end`);
      behind += s.duration;
    }
    const skipped = list.skipped;
    this.check(skipped === 0 || /_HLS_skip=YES/.test(query), "skipped without being asked to");
    if (skipped > 0) {
      this.skips++;
      for (let msn = list.msn; msn < list.msn + skipped; msn++) {
        this.check(this.known.has(msn), `${msn} is skipped, and nobody ever saw it`);
      }
      this.check(behind >= Number(list.control["CAN-SKIP-UNTIL"]) - this.known.get(list.msn + skipped - 1).duration, "skipped too much");
    }
    const whole = behind + [...Array(skipped).keys()].reduce((t, i) => t + this.known.get(list.msn + i).duration, 0);
    const slid = previous && list.msn > previous.msn;
    this.check(!slid || whole >= 3 * list.target, `only ${whole} s are listed`);
    if (previous?.ended) {
      const same = list.msn === previous.msn && list.open.msn === previous.open.msn && list.ended;
      this.check(same, "something came after ENDLIST");
    }
    for (const s of list.segments) {
      const before = this.known.get(s.msn - 1);
      const counts = !before || s.dsn === before.dsn + (s.discontinuity ? 1 : 0);
      this.check(counts, `discontinuity ${s.dsn} at ${s.msn}, ${before?.dsn} before it`);
    }
  }

  checkSegment(s) {
    this.check(Math.round(s.duration) <= this.target, `${s.uri} is longer than the target duration`);
    const sum = s.parts.reduce((t, p) => t + p.duration, 0);
    this.check(s.parts.length === 0 || near(sum, s.duration, 1e-5 * (s.parts.length + 1)), `parts of ${s.uri} are ${sum} s`);
    this.check(s.gap || s.map, `${s.uri} without EXT-X-MAP`);
    this.check(s.gap || Number.isFinite(s.time), `${s.uri} without EXT-X-PROGRAM-DATE-TIME`);
    this.checkParts(s, true);
    const before = this.known.get(s.msn);
    if (before) {
      for (const key of ["uri", "duration", "time", "dsn", "map", "gap"]) {
        this.check(before[key] === s[key], `${key} of ${s.msn} was ${before[key]}`);
      }
    }
  }

  checkParts(s, complete) {
    s.parts.forEach((p, i) => {
      const last = complete && i === s.parts.length - 1;
      this.check(p.duration <= this.partTarget + 1e-5, `${p.uri} is longer than PART-TARGET`);
      this.check(last || p.duration >= 0.85 * this.partTarget - 1e-5, `${p.uri} is too short`);
      const before = this.partUris.get(`${s.msn}.${i}`);
      this.check(!before || (before.uri === p.uri && before.duration === p.duration), `${p.uri} was another part`);
      this.partUris.set(`${s.msn}.${i}`, p);
    });
  }

  // Neighbours: dates, discontinuities, the media's own time.
  async checkMedia(s) {
    const whole = await this.file(s.uri);
    const scale = this.scales.get(s.map) ?? timescaleOf(await this.file(s.map));
    this.scales.set(s.map, scale);
    const samples = samplesOf(whole);
    this.check(samples.length > 0, `${s.uri} is empty`);
    this.check(!this.list.independent || samples[0].key, `${s.uri} is not independent`);
    if (!this.maps.has(s.map)) {
      this.maps.add(s.map);
      const init = await this.file(s.map);
      const moov = find(init, ["moov"]);
      const traks = [...boxes(init, moov.body, moov.end)].filter((b) => b.type === "trak");
      this.check(traks.length === 1, `${s.map} is not of one track`);
    }
    const end = s.time + s.duration * 1000;
    this.check(Math.abs(Date.now() - end) < 1000 * (12 + 12 * s.duration), `the date of ${s.uri} is ${(Date.now() - end) / 1000} s off`);
    s.rate = (8 * whole.length) / s.duration;
    for (let i = 1; i < samples.length; i++) {
      this.check(samples[i].dts > samples[i - 1].dts, `${s.uri}: tfdt falls`);
    }
    if (s.parts.length > 0) {
      const parts = await Promise.all(s.parts.map((p) => this.file(p.uri)));
      this.check(Buffer.concat(parts).equals(whole), `${s.uri} is not its parts`);
      parts.forEach((data, i) => {
        const list = samplesOf(data);
        this.check(list.some((x) => x.key) === s.parts[i].independent, `INDEPENDENT of ${s.parts[i].uri}`);
        const next = i + 1 < parts.length ? samplesOf(parts[i + 1])[0].dts : undefined;
        this.check(next === undefined || near((next - list[0].dts) / scale, s.parts[i].duration, 2e-3), `media of ${s.parts[i].uri}`);
      });
      this.parts += parts.length;
    }
    const before = this.known.get(s.msn - 1);
    const length = samples.reduce((t, x) => t + x.duration, 0) / scale;
    this.check(near(length, s.duration, 0.25), `the samples of ${s.uri} last ${length} s, EXTINF says ${s.duration}`);
    if (before?.first !== undefined && !s.discontinuity) {
      this.check(near((samples[0].dts - before.first) / scale, before.duration, 2e-3), `${s.uri} does not continue the one before`);
      this.check(near(s.time - before.time, before.duration * 1000, 2), `the date of ${s.uri} does not`);
    }
    if (before && s.discontinuity) {
      this.check(s.time > before.time && samples[0].dts > 0, `${s.uri}: time falls`);
      this.discontinuities++;
    }
    s.first = samples[0].dts;
  }

  // One reload: with directives unless it is the first or a plain one.
  async reload() {
    let query = "";
    let wanted;
    if (this.list && !this.plain) {
      wanted = { msn: this.list.open.msn, part: this.list.open.parts.length };
      query = `_HLS_msn=${wanted.msn}&_HLS_part=${wanted.part}${this.reloads % 2 ? "&_HLS_skip=YES" : ""}`;
    }
    const url = new URL(this.url);
    url.search += (url.search && query ? "&" : "") + query;
    const asked = Date.now();
    // The hint is asked for beside the reload, now and then, as players do.
    const hint = this.reloads % 16 === 5 && this.list?.hint && !this.list.ended ? this.list.hint.URI : undefined;
    const [{ headers, data }, hinted] = await Promise.all([this.fetch(url), hint && this.fetch(hint)]);
    this.longestWaitMs = Math.max(this.longestWaitMs, Date.now() - asked);
    this.check(headers.get("content-type") === "application/vnd.apple.mpegurl", "type of the playlist");
    const caching = headers.get("cache-control");
    this.check(caching === "no-cache" || (query && /^max-age=\d+$/.test(caching)), `a playlist that is ${caching}`);
    this.check(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(data) === data.toString(), "not UTF-8");
    const list = parsePlaylist(data.toString());
    const previous = this.list;
    this.list = list;
    this.reloads++;
    this.count(list);
    this.checkHead(list);
    this.check(list.segments.length > 0, "no segments");
    if (previous) {
      this.check(list.msn >= previous.msn && list.dsn >= previous.dsn, "sequence numbers fall");
      this.check(list.msn <= previous.open.msn, "segments were missed");
    }
    if (wanted) {
      const has = list.open.msn > wanted.msn || list.open.parts.length > wanted.part || list.ended;
      this.check(has, `asked for ${wanted.msn}.${wanted.part}, which is not there`);
    }
    for (const s of list.segments) {
      this.checkSegment(s);
    }
    this.checkWhole(list, previous, query);
    this.checkParts(list.open, false);
    this.checkHint(list, previous);
    if (hinted) {
      this.hints++;
      this.files.set(hint, hinted.data); // compared with its segment, as all parts are
    }
    for (const s of list.segments) {
      if (!this.known.has(s.msn)) {
        if (!s.gap) {
          await this.checkMedia(s);
        }
        this.known.set(s.msn, s);
        this.segments++;
      }
    }
    await this.forget(list);
    return list;
  }

  // Discontinuities that were skipped count all the same.
  count(list) {
    let dsn = list.skipped > 0 ? this.known.get(list.msn + list.skipped - 1)?.dsn : list.dsn;
    for (const s of [...list.segments, list.open]) {
      dsn += s.discontinuity ? 1 : 0;
      s.dsn = dsn;
    }
  }

  // Files of what slid out are to stay for the length of the playlist; one is asked for once more shortly before its time is up.
  async forget(list) {
    const n = Math.max(2, list.segments.length + list.skipped - 4);
    const gone = this.known.get(list.msn - n);
    if (gone && !gone.forgotten && !gone.gap && !list.ended) {
      gone.forgotten = true;
      const reply = await fetch(new URL(gone.uri, this.url), { method: "HEAD" });
      this.check(reply.status === 200, `${gone.uri} slid out ${n} segments ago and is a ${reply.status}`);
      this.late++;
    }
    for (const [msn, s] of this.known) {
      if (msn < list.msn - 2) {
        this.files.delete(s.uri);
        s.parts.forEach((p) => this.files.delete(p.uri));
        s.parts = [];
      }
      if (msn < list.msn - 100) {
        this.known.delete(msn);
      }
    }
    for (const key of this.partUris.keys()) {
      if (Number(key.split(".")[0]) < list.msn - 2) {
        this.partUris.delete(key);
      }
    }
  }

  checkHint(list, previous) {
    if (list.ended || this.plain) {
      this.check(!list.hint, "a hint at what never comes");
      return;
    }
    this.check(list.hint?.TYPE === "PART", "no preload hint");
    // What was hinted at is what came.
    const next = previous && this.partUris.get(`${previous.open.msn}.${previous.open.parts.length}`);
    this.check(!next || previous.ended || next.uri === previous.hint.URI, `the hint was ${previous?.hint?.URI}`);
    for (const r of list.reports) {
      this.check(near(Number(r["LAST-MSN"]), list.open.msn, 2) && r["LAST-PART"] !== undefined, "rendition report");
      this.check(!new URL(this.url).pathname.endsWith(`/${r.URI.replace(/\?.*/, "")}`), "a rendition report of itself");
    }
    this.check(this.renditions === undefined || list.reports.length === this.renditions - 1, `${list.reports.length} rendition reports`);
  }

  // Another rendition of the same stream: a number means the same stretch in both.
  checkAlike(other) {
    let n = 0;
    for (const [msn, s] of this.known) {
      const o = other.known.get(msn);
      if (o && !s.gap && !o.gap) {
        n++;
        this.check(s.dsn === o.dsn, `${msn} is of discontinuity ${s.dsn} here and ${o.dsn} in ${other.url}`);
        this.check(near(s.time, o.time, 1000), `${msn} begins at ${s.time} here and at ${o.time} in ${other.url}`);
      }
    }
    this.check(n > 0, `nothing in common with ${other.url}`);
  }

  // The plain variant is asked for as a client does that has no other way (6.3.4).
  async pause(list, previous) {
    if (this.plain) {
      const news = !previous || list.open.msn > previous.open.msn;
      await sleep((1000 * list.target) / (news ? 1 : 2));
    }
  }

  // Until done(this) is true; gone(status) says what to do with a refusal meanwhile.
  async follow(done) {
    while (!done(this)) {
      const previous = this.list;
      await this.pause(await this.reload(), previous);
    }
  }
}

// ---- multivariant playlist ----

// {text, variant, main, audio}: the first variant, URLs of its playlist and of the first audio rendition; audios: of all.
export async function openMaster(url) {
  const reply = await fetch(url);
  const text = await reply.text();
  assert.equal(reply.status, 200, text);
  const lines = text.split("\n");
  assert.equal(lines[0], "#EXTM3U");
  const at = lines.findIndex((l) => l.startsWith("#EXT-X-STREAM-INF"));
  assert.ok(at > 0, text);
  const variant = attributes(lines[at]);
  const media = lines.filter((l) => l.startsWith("#EXT-X-MEDIA:TYPE=AUDIO")).map(attributes);
  const variants = lines.filter((l) => l.startsWith("#EXT-X-STREAM-INF")).map(attributes);
  variants.forEach((v) => checkGroup(v, media.filter((r) => r["GROUP-ID"] === v.AUDIO), text));
  assert.ok(media.every((r) => variants.some((v) => v.AUDIO === r["GROUP-ID"])), text);
  assert.equal(new Set(media.map((r) => r.NAME)).size, media.length, text);
  const audios = media.map((m) => ({ ...m, url: new URL(m.URI, url).href }));
  return { text, variant, main: new URL(lines[at + 1], url).href, audio: audios[0]?.url, audios };
}

// 4.4.6.1.1, 4.4.6.2: groups exist, names differ, one is the default, and the attributes that Apple asks for are there.
function checkGroup(variant, media, text) {
  assert.equal(variant.AUDIO !== undefined, media.length > 0, text);
  assert.ok(media.every((m) => m.NAME && m.URI), text);
  assert.equal(media.filter((m) => m.DEFAULT === "YES").length, media.length > 0 ? 1 : 0, text);
  assert.ok(media.every((m) => m.DEFAULT !== "YES" || m.AUTOSELECT === "YES"), text);
  assert.ok(Number(variant.BANDWIDTH) >= Number(variant["AVERAGE-BANDWIDTH"]), text);
  assert.match(variant.CODECS, /^(avc1\.[0-9a-f]{6}|hvc1\.[0-9A-Z.]+|av01\.[0-9A-Z.]+|vp09\.[0-9.]+|mp4a\.[0-9a-z.]+|opus|mp3)(,(mp4a\.[0-9a-z.]+|[Oo]pus|mp3))*$/);
  const pictures = /^(avc1|hvc1|av01|vp09)/.test(variant.CODECS);
  assert.equal(/^\d+x\d+$/.test(variant.RESOLUTION), pictures, text);
  assert.equal(Number(variant["FRAME-RATE"]) > 0, pictures, text);
}

// 4.4.6.2: BANDWIDTH is an upper bound of what segments have; live, by what is kept, so with the tolerance of Apple's rules.
export function checkMaster(m, checkers) {
  const listed = (c) => c.list.segments.map((s) => c.known.get(s.msn)?.rate ?? 0);
  const peak = checkers.reduce((t, c) => t + Math.max(...listed(c)), 0);
  assert.ok(Number(m.variant.BANDWIDTH) * 1.1 >= peak, `BANDWIDTH=${m.variant.BANDWIDTH}, and segments of ${peak} bit/s`);
}
