// SPDX-License-Identifier: Apache-2.0
// A WebSocket client (RFC 6455) as small as tests need it: Node 18 has none, and here one can be slow or rude on purpose.

import { createHash, randomBytes } from "node:crypto";
import { EventEmitter } from "node:events";
import { request } from "node:http";
import { request as requestTls } from "node:https";

const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const [CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG] = [0, 1, 2, 8, 9, 10];

// Emits "text" (string), "binary" (Buffer) and once "close" (code or null).
export class WebSocketClient extends EventEmitter {
  #socket;
  #in = Buffer.alloc(0);
  #parts = [];
  #type = 0;
  #closed = false;
  #code = null;

  // http://host:port/path; rejects with the status when the server does not upgrade.
  static connect(url, { headers = {} } = {}) {
    const key = randomBytes(16).toString("base64");
    return new Promise((done, fail) => {
      const asked = (url.startsWith("https:") ? requestTls : request)(url, {
        rejectUnauthorized: false, // the tests' servers have certificates of their own
        headers: { connection: "Upgrade", upgrade: "websocket", "sec-websocket-version": "13", "sec-websocket-key": key, ...headers },
      });
      asked.on("error", fail);
      asked.on("response", (r) => {
        r.resume();
        fail(new Error(`${url}: ${r.statusCode} instead of an upgrade`));
      });
      asked.on("upgrade", (r, socket, head) => {
        if (r.headers["sec-websocket-accept"] !== createHash("sha1").update(key + GUID).digest("base64")) {
          socket.destroy();
          fail(new Error(`${url}: a wrong Sec-WebSocket-Accept`));
          return;
        }
        const ws = new WebSocketClient();
        ws.#start(socket, head);
        done(ws);
      });
      asked.end();
    });
  }

  #start(socket, head) {
    this.#socket = socket;
    socket.on("error", () => {});
    socket.on("close", () => {
      this.#closed = true;
      this.emit("close", this.#code);
    });
    // After the caller had its turn to listen; what came with the answer stands before what comes next.
    setImmediate(() => {
      if (head.length > 0) {
        socket.unshift(head);
      }
      socket.on("data", (d) => this.#feed(d));
    });
  }

  #feed(data) {
    this.#in = this.#in.length ? Buffer.concat([this.#in, data]) : data;
    while (this.#take()) {
      // one frame at a time
    }
  }

  #take() {
    const b = this.#in;
    if (b.length < 2) {
      return false;
    }
    let at = 2;
    let size = b[1] & 127;
    if (size >= 126) {
      at = size === 126 ? 4 : 10;
      if (b.length < at) {
        return false;
      }
      size = size === 126 ? b.readUInt16BE(2) : Number(b.readBigUInt64BE(2));
    }
    if (b.length < at + size) {
      return false;
    }
    const payload = b.subarray(at, at + size);
    this.#in = b.subarray(at + size);
    this.#handle(b[0] & 15, (b[0] & 128) !== 0, payload);
    return true;
  }

  #handle(type, final, payload) {
    if (type === PING) {
      this.#send(PONG, payload);
    } else if (type === CLOSE) {
      this.#code = payload.length >= 2 ? payload.readUInt16BE(0) : null;
      this.#send(CLOSE, payload.subarray(0, 2));
      this.#socket.end();
    } else if (type === TEXT || type === BINARY || type === CONTINUATION) {
      this.#type = type === CONTINUATION ? this.#type : type;
      this.#parts.push(Buffer.from(payload));
      if (final) {
        const whole = Buffer.concat(this.#parts.splice(0));
        this.emit(this.#type === TEXT ? "text" : "binary", this.#type === TEXT ? whole.toString() : whole);
      }
    }
  }

  #send(type, payload) {
    const mask = randomBytes(4);
    const head = Buffer.alloc(payload.length < 126 ? 2 : payload.length < 65536 ? 4 : 10);
    head[0] = 128 | type;
    if (payload.length < 126) {
      head[1] = 128 | payload.length;
    } else if (payload.length < 65536) {
      head[1] = 128 | 126;
      head.writeUInt16BE(payload.length, 2);
    } else {
      head[1] = 128 | 127;
      head.writeBigUInt64BE(BigInt(payload.length), 2);
    }
    const masked = Buffer.from(payload);
    for (let i = 0; i < masked.length; i++) {
      masked[i] ^= mask[i & 3];
    }
    if (!this.#closed) {
      this.#socket.write(Buffer.concat([head, mask, masked]));
    }
  }

  sendText(text) {
    this.#send(TEXT, Buffer.from(text));
  }

  close() {
    this.#send(CLOSE, Buffer.from([3, 232])); // 1000
    this.#socket.end();
  }

  destroy() {
    this.#socket.destroy();
  }
}
