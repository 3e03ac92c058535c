// SPDX-License-Identifier: Apache-2.0
// Peers that say exactly what a test wants them to say, from whatever loopback address: 127.0.0.0/8 has millions.

import { connect } from "node:net";
import { connect as connectTls } from "node:tls";

// Writes the bytes and gathers what comes until the server hangs up, `until(text)` is true, or waitMs have passed without
// either. {text, closed, error}.
export function exchange(port, bytes, { from, tls = false, until = () => false, waitMs = 20000 } = {}) {
  return new Promise((done) => {
    const options = { port, host: "127.0.0.1", localAddress: from };
    const socket = tls ? connectTls({ ...options, rejectUnauthorized: false }) : connect(options);
    let text = "";
    const end = (closed, error) => {
      clearTimeout(timer);
      socket.destroy();
      done({ text, closed, error });
    };
    const timer = setTimeout(() => end(false), waitMs);
    socket.on(tls ? "secureConnect" : "connect", () => [bytes].flat().forEach((b) => socket.write(b)));
    socket.on("data", (d) => {
      text += d.toString("latin1");
      if (until(text)) {
        end(false);
      }
    });
    socket.on("error", (e) => end(true, e.code));
    socket.on("close", () => end(true));
  });
}

// The answers in what a server sent on one connection: [{status, head, body}]. Bodies by Content-Length or chunked.
export function answers(text) {
  const list = [];
  for (let at = 0; at < text.length; ) {
    const end = text.indexOf("\r\n\r\n", at);
    const line = /^HTTP\/1\.1 (\d{3}) /.exec(text.slice(at, at + 20));
    if (end < 0 || !line) {
      list.push({ status: 0, head: text.slice(at), body: "" });
      break;
    }
    const head = text.slice(at, end);
    const status = Number(line[1]);
    at = end + 4;
    const length = Number(/content-length: *(\d+)/i.exec(head)?.[1] ?? 0);
    let body = text.slice(at, at + length);
    at += length;
    if (/transfer-encoding: *chunked/i.test(head)) {
      const last = text.indexOf("0\r\n\r\n", at);
      body = text.slice(at, last);
      at = last < 0 ? text.length : last + 5;
    }
    list.push({ status, head, body });
  }
  return list;
}

// A whole answer has come, also on a connection that stays.
function isWhole(text) {
  const end = text.indexOf("\r\n\r\n");
  const length = /^content-length: *(\d+)/im.exec(text.slice(0, Math.max(end, 0)));
  return end > 0 && (/^HTTP\/1\.1 101/.test(text) || (length !== null && text.length >= end + 4 + Number(length[1])));
}

// One GET with a target as it is: nothing is normalised on the way. The status, 0 when the server hung up without one.
export async function rawGet(port, target, { headers = {}, method = "GET", ...rest } = {}) {
  const options = { until: isWhole, ...rest };
  const fields = { Host: `127.0.0.1:${port}`, Connection: "close", ...headers };
  const head = Object.entries(fields).map(([k, v]) => `${k}: ${v}\r\n`).join("");
  const reply = await exchange(port, Buffer.from(`${method} ${target} HTTP/1.1\r\n${head}\r\n`, "latin1"), options);
  return answers(reply.text)[0] ?? { status: 0, head: "", body: "" };
}

export const upgrade = (extra = {}) => ({
  Connection: "Upgrade", Upgrade: "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", ...extra,
}); // prettier-ignore

// A client frame; what is not given is as it should be.
export function frame(opcode, payload = Buffer.alloc(0), { final = true, masked = true, rsv = 0, length } = {}) {
  const n = length ?? payload.length;
  const head = [(final ? 0x80 : 0) | (rsv << 4) | opcode];
  const mask = masked ? 0x80 : 0;
  const size = n < 126 ? Buffer.from([mask | n]) : n < 65536 ? Buffer.from([mask | 126, n >> 8, n & 255]) : Buffer.alloc(9);
  if (n >= 65536) {
    size[0] = mask | 127;
    size.writeBigUInt64BE(BigInt(n), 1);
  }
  return Buffer.concat([Buffer.from(head), size, masked ? Buffer.alloc(4) : Buffer.alloc(0), payload]);
}

// ---- RTMP ----

const amfString = (s) => {
  const b = Buffer.isBuffer(s) ? s : Buffer.from(s, "latin1");
  return b.length < 65536
    ? Buffer.concat([Buffer.from([2, b.length >> 8, b.length & 255]), b])
    : Buffer.concat([Buffer.from([12, b.length >>> 24, (b.length >> 16) & 255, (b.length >> 8) & 255, b.length & 255]), b]);
};
const amfNumber = (v) => {
  const b = Buffer.alloc(9);
  b.writeDoubleBE(v, 1);
  return b;
};
const NULL = Buffer.from([5]);
const pair = (key, value) => Buffer.concat([amfString(key).subarray(1), amfString(value)]);

function command(csid, stream, ...parts) {
  const body = Buffer.concat(parts);
  const out = [Buffer.from([csid, 0, 0, 0, body.length >> 16, (body.length >> 8) & 255, body.length & 255, 20, stream, 0, 0, 0])];
  for (let at = 0; at < body.length; at += 128) {
    out.push(Buffer.from(at ? [0xc0 | csid] : []), body.subarray(at, at + 128));
  }
  return Buffer.concat(out);
}

// Asks to publish or play app/name, and tells what was said: the code of the last status, and its description; null when the
// server hung up without one.
export async function askRtmp(port, { app = "live", name, play = false, ...options }) {
  const hello = Buffer.concat([
    Buffer.from([3]), Buffer.alloc(1536), Buffer.alloc(1536),
    command(3, 0, amfString("connect"), amfNumber(1), Buffer.from([3]), pair("app", app), pair("tcUrl", "rtmp://127.0.0.1/"), Buffer.from([0, 0, 9])),
    command(3, 0, amfString("createStream"), amfNumber(2), NULL),
    command(8, 1, amfString(play ? "play" : "publish"), amfNumber(3), NULL, amfString(name), ...(play ? [] : [amfString("live")])),
  ]); // prettier-ignore
  const code = /Net(?:Stream\.(?:Publish|Unpublish|Play)\.(?!Reset)\w+|Connection\.(?:Call\.\w+|Connect\.Rejected))/;
  const reply = await exchange(port, hello, { ...options, until: (t) => /description[^]+object|description[^]+\0\0\t/.test(t.slice(Math.max(0, t.search(code)))) && code.test(t) });
  const found = code.exec(reply.text);
  return { code: found?.[0] ?? null, text: found ? reply.text.slice(found.index).replace(/[^ -~]+/g, " ") : "", closed: reply.closed };
}
