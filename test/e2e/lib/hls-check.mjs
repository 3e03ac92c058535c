// SPDX-License-Identifier: Apache-2.0
// Follows a live media playlist by blocking reload, as a player does, fetches every part and segment, and holds all of it to
// RFC 8216 and RFC 8216bis. What is wrong is thrown with the playlist that shows it.

import assert from "node:assert/strict";

// ---- playlists ----

// KEY=value,KEY="quoted" of a tag.
export function attributes(text) {
  const list = {};
  for (const m of text.matchAll(/([A-Z0-9-]+)=("([^"]*)"|[^,]*)/g)) {
    list[m[1]] = m[3] ?? m[2];
  }
  return list;
}

function emptySegment(map) {
  return { parts: [], map, discontinuity: false, gap: false };
}

// Segments carry msn and dsn; `open` is the one without EXTINF.
export function parsePlaylist(text) {
  const lines = text.split("\n");
  assert.equal(lines[0], "#EXTM3U");
  const list = { text, segments: [], reports: [], skipped: 0, ended: false, control: {} };
  let map;
  let current = emptySegment();
  for (const line of lines.slice(1)) {
    const [tag, value = ""] = line.split(/:(.*)/s);
    const attr = attributes(value);
    switch (tag) {
      case "#EXT-X-VERSION": list.version = Number(value); break;
      case "#EXT-X-TARGETDURATION": list.target = Number(value); break;
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
  // url: of a media playlist.
  constructor(url) {
    this.url = url;
    this.known = new Map(); // msn -> the segment as first seen complete
    this.files = new Map(); // uri -> Buffer
    this.scales = new Map(); // init uri -> timescale
    this.partUris = new Map(); // "msn.n" -> uri, duration
    this.reloads = 0;
    this.discontinuities = 0;
    this.parts = 0;
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
    this.check(list.control["CAN-BLOCK-RELOAD"] === "YES", "no blocking reload");
    this.check(Number(list.control["PART-HOLD-BACK"]) >= 3 * list.partTarget - 1e-6, "PART-HOLD-BACK below three parts");
    this.check(Number(list.control["CAN-SKIP-UNTIL"]) >= 6 * list.target, "CAN-SKIP-UNTIL below six target durations");
    this.check(list.version >= 9, "version");
    this.check(this.target === undefined || list.target === this.target, `target duration was ${this.target}`);
    this.check(this.partTarget === undefined || list.partTarget === this.partTarget, `part target was ${this.partTarget}`);
    this.target = list.target;
    this.partTarget = list.partTarget;
  }

  checkSegment(s) {
    this.check(Math.round(s.duration) <= this.target, `${s.uri} is longer than the target duration`);
    const sum = s.parts.reduce((t, p) => t + p.duration, 0);
    this.check(s.parts.length === 0 || near(sum, s.duration, 1e-5 * (s.parts.length + 1)), `parts of ${s.uri} are ${sum} s`);
    this.check(s.gap || s.map, `${s.uri} without EXT-X-MAP`);
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

  // One reload: with directives unless it is the first.
  async reload() {
    let query = "";
    let wanted;
    if (this.list) {
      wanted = { msn: this.list.open.msn, part: this.list.open.parts.length };
      query = `_HLS_msn=${wanted.msn}&_HLS_part=${wanted.part}${this.reloads % 2 ? "&_HLS_skip=YES" : ""}`;
    }
    const url = new URL(this.url);
    url.search += (url.search && query ? "&" : "") + query;
    const { headers, data } = await this.fetch(url);
    this.check(headers.get("content-type") === "application/vnd.apple.mpegurl", "type of the playlist");
    const list = parsePlaylist(data.toString());
    const previous = this.list;
    this.list = list;
    this.reloads++;
    this.checkHead(list);
    this.check(list.segments.length > 0, "no segments");
    if (previous) {
      this.check(list.msn >= previous.msn && list.dsn >= previous.dsn, "sequence numbers fall");
      const has = list.open.msn > wanted.msn || list.open.parts.length > wanted.part || list.ended;
      this.check(has, `asked for ${wanted.msn}.${wanted.part}, which is not there`);
      this.check(list.msn <= previous.open.msn, "segments were missed");
    }
    for (const s of list.segments) {
      this.checkSegment(s);
    }
    this.checkParts(list.open, false);
    this.checkHint(list, previous);
    for (const s of list.segments) {
      if (!this.known.has(s.msn)) {
        if (!s.gap) {
          await this.checkMedia(s);
        }
        this.known.set(s.msn, s);
      }
    }
    return list;
  }

  checkHint(list, previous) {
    if (list.ended) {
      return;
    }
    this.check(list.hint?.TYPE === "PART", "no preload hint");
    // What was hinted at is what came.
    const next = previous && this.partUris.get(`${previous.open.msn}.${previous.open.parts.length}`);
    this.check(!next || previous.ended || next.uri === previous.hint.URI, `the hint was ${previous?.hint?.URI}`);
    for (const r of list.reports) {
      this.check(near(Number(r["LAST-MSN"]), list.open.msn, 2) && r["LAST-PART"] !== undefined, "rendition report");
    }
  }

  // Until done(this) is true; gone(status) says what to do with a refusal meanwhile.
  async follow(done) {
    while (!done(this)) {
      await this.reload();
    }
  }
}

// ---- multivariant playlist ----

// {video, audio}: URLs of the first variant and the first audio rendition.
export async function openMaster(url) {
  const reply = await fetch(url);
  const text = await reply.text();
  assert.equal(reply.status, 200, text);
  const lines = text.split("\n");
  const at = lines.findIndex((l) => l.startsWith("#EXT-X-STREAM-INF"));
  assert.ok(at > 0, text);
  const variant = attributes(lines[at]);
  const audio = lines.find((l) => l.startsWith("#EXT-X-MEDIA:TYPE=AUDIO"));
  assert.equal(variant.AUDIO !== undefined, audio !== undefined, text);
  assert.ok(Number(variant.BANDWIDTH) >= Number(variant["AVERAGE-BANDWIDTH"]), text);
  return {
    text,
    variant,
    main: new URL(lines[at + 1], url).href,
    audio: audio && new URL(attributes(audio).URI, url).href,
  };
}
