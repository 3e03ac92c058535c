// SPDX-License-Identifier: Apache-2.0
// Between a client and a WebSocket server (Janus, OBS): sees every message, and loses the ones that a test chooses. What a test
// does while it has a message in hand has happened before the other side has it.

import { connect, createServer } from "node:net";

const TEXT = 1;

// One direction: takes bytes, passes them on message by message. The handshake and control frames pass untouched.
class Direction {
  #in = Buffer.alloc(0);
  #upgraded = false;
  #raw = []; // frames of the message that is not whole yet
  #payload = [];
  #type = TEXT;
  #work = Promise.resolve(); // keeps the order

  constructor(pass, look) {
    this.pass = pass;
    this.look = look;
  }

  feed(data) {
    this.#in = Buffer.concat([this.#in, data]);
    if (!this.#upgraded) {
      const end = this.#in.indexOf("\r\n\r\n");
      if (end < 0) {
        return;
      }
      this.#upgraded = true;
      this.#emit(this.#in.subarray(0, end + 4));
      this.#in = this.#in.subarray(end + 4);
    }
    while (this.#take()) {
      // one frame at a time
    }
  }

  #take() {
    const b = this.#in;
    if (b.length < 2) {
      return false;
    }
    const short = b[1] & 127;
    const masked = (b[1] & 128) !== 0;
    const at = { 126: 4, 127: 10 }[short] ?? 2;
    const head = at + (masked ? 4 : 0);
    if (b.length < head) {
      return false;
    }
    const size = short < 126 ? short : short === 126 ? b.readUInt16BE(2) : Number(b.readBigUInt64BE(2));
    if (b.length < head + size) {
      return false;
    }
    const payload = Buffer.from(b.subarray(head, head + size));
    for (let i = 0; masked && i < size; i++) {
      payload[i] ^= b[at + (i & 3)];
    }
    const frame = b.subarray(0, head + size);
    this.#in = b.subarray(head + size);
    if ((b[0] & 15) > 2) {
      this.#emit(frame);
      return true;
    }
    this.#type = b[0] & 15 || this.#type;
    this.#raw.push(frame);
    this.#payload.push(payload);
    if (b[0] & 128) {
      const text = Buffer.concat(this.#payload.splice(0)).toString();
      this.#emit(Buffer.concat(this.#raw.splice(0)), this.#type === TEXT ? text : null);
    }
    return true;
  }

  #emit(bytes, text = null) {
    this.#work = this.#work.then(async () => {
      const keep = text === null || (await this.look(JSON.parse(text))) !== false;
      if (keep) {
        this.pass(bytes);
      }
    });
  }
}

export class WsProxy {
  // Given each message as an object; may wait. What they answer with false is lost.
  onRequest = () => true;
  onReply = () => true;
  #sockets = new Set();

  static async start(port) {
    const proxy = new WsProxy();
    proxy.server = createServer((client) => proxy.#join(client, connect(port, "127.0.0.1")));
    await new Promise((done) => proxy.server.listen(0, "127.0.0.1", done));
    proxy.url = `ws://127.0.0.1:${proxy.server.address().port}`;
    return proxy;
  }

  #join(client, server) {
    const requests = new Direction((b) => server.write(b), (m) => this.onRequest(m)); // prettier-ignore
    const replies = new Direction((b) => client.write(b), (m) => this.onReply(m)); // prettier-ignore
    client.on("data", (d) => requests.feed(d));
    server.on("data", (d) => replies.feed(d));
    for (const [one, other] of [[client, server], [server, client]]) { // prettier-ignore
      this.#sockets.add(one);
      one.on("error", () => {});
      one.on("close", () => {
        this.#sockets.delete(one);
        other.destroy();
      });
    }
  }

  // Hangs up on everybody; who comes again is let in.
  cut() {
    for (const socket of this.#sockets) {
      socket.destroy();
    }
  }

  // Nobody is let in any more.
  async close() {
    const closed = new Promise((done) => this.server.close(done));
    this.cut();
    await closed;
  }
}
