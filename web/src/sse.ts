// SPDX-License-Identifier: Apache-2.0
// Server-sent events (WHATWG HTML 9.2) from a fetch: unlike EventSource it says why it is refused, and it keeps its place over
// connections that it opens itself. The parser is apart, and pure.

export interface Message {
  event: string; // "message" unless the server says otherwise
  data: string;
  id: string; // the last one that was seen
}

const BUFFER_MAX = 1 << 20; // of a message that does not end

export class SseParser {
  private rest = "";
  private event = "";
  private data: string[] = [];
  private id = "";

  // Messages that are complete with this piece.
  feed(piece: string): Message[] {
    const done: Message[] = [];
    const lines = (this.rest + piece).split(/\r\n|\n|\r(?!$)/);
    this.rest = lines.pop() ?? "";
    if (this.rest.length > BUFFER_MAX) {
      this.rest = "";
    }
    for (const line of lines) {
      if (line === "") {
        if (this.data.length > 0) {
          done.push({ event: this.event || "message", data: this.data.join("\n"), id: this.id });
        }
        this.event = "";
        this.data = [];
      } else {
        this.field(line);
      }
    }
    return done;
  }

  private field(line: string): void {
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "event") {
      this.event = value;
    } else if (name === "data") {
      this.data.push(value);
    } else if (name === "id" && !value.includes("\0")) {
      this.id = value;
    }
  }
}
