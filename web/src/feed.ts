// SPDX-License-Identifier: Apache-2.0
// The server's events, as long as somebody listens: connects again after every loss and goes on where it was.

import { Backoff } from "./player/backoff.js";
import { SseParser, type Message } from "./sse.js";
import { showLogin } from "./login.js";

export interface FeedEvent {
  id: string;
  timeMs: number;
  type: string;
  resource: string;
  data: Record<string, unknown>;
}

export interface FeedListener {
  event(e: FeedEvent): void;
  gap(): void; // what lies between is lost: another server, or too long away
  connected(yes: boolean): void;
}

export function parseEvent(data: string): FeedEvent | null {
  try {
    const o = JSON.parse(data) as Record<string, unknown>;
    const text = (v: unknown): string => (typeof v === "string" ? v : "");
    const inner = o["data"];
    return {
      id: text(o["id"]),
      timeMs: Date.parse(text(o["time"])) || 0,
      type: text(o["type"]),
      resource: text(o["resource"]),
      data: typeof inner === "object" && inner !== null ? (inner as Record<string, unknown>) : {},
    };
  } catch {
    return null;
  }
}

type End = "lost" | "refused" | "again";

// Ids are "<boot>-<number>": that of n events earlier, of the same boot.
export function before(id: string, n: number): string {
  const m = /^(.*)-(\d+)$/.exec(id);
  return m ? `${m[1]}-${Math.max(0, Number(m[2]) - n)}` : id;
}

export class Feed {
  private readonly life = new AbortController();
  private readonly backoff = new Backoff({ firstMs: 500 });
  private lastId = "";
  private wantsPast: boolean;
  private rewinds = false;

  // past: so many events that came before, as far as the server still has them.
  constructor(
    private readonly listener: FeedListener,
    private readonly past = 0,
  ) {
    this.wantsPast = past > 0;
    void this.run();
  }

  close(): void {
    this.life.abort();
  }

  private async run(): Promise<void> {
    while (!this.life.signal.aborted) {
      const end = await this.connect().catch((): End => "lost");
      if (end === "refused" || this.life.signal.aborted) {
        return;
      }
      if (end === "again") {
        continue;
      }
      this.listener.connected(false);
      await new Promise((done) => window.setTimeout(done, this.backoff.nextMs()));
    }
  }

  private async connect(): Promise<End> {
    const headers: Record<string, string> = { accept: "text/event-stream" };
    if (this.lastId) {
      headers["Last-Event-ID"] = this.lastId;
    }
    const reply = await fetch("/api/v1/events", { headers, cache: "no-store", signal: this.life.signal });
    if (reply.status === 401) {
      showLogin();
    }
    if (!reply.ok || !reply.body) {
      return reply.status >= 400 && reply.status < 500 ? "refused" : "lost";
    }
    this.backoff.reset();
    this.listener.connected(true);
    const reader = reply.body.getReader();
    const decoder = new TextDecoder();
    const parser = new SseParser();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) {
        return "lost";
      }
      for (const m of parser.feed(decoder.decode(value, { stream: true }))) {
        this.take(m);
      }
      if (this.rewinds) {
        this.rewinds = false;
        await reader.cancel();
        return "again";
      }
    }
  }

  private take(m: Message): void {
    this.lastId = m.id || this.lastId;
    if (m.event === "reset") {
      if (!this.wantsPast) {
        this.listener.gap();
      }
      this.wantsPast = false;
      return;
    }
    if (m.event === "start" && this.wantsPast) {
      this.lastId = before(m.id, this.past);
      this.rewinds = this.lastId !== m.id;
      return;
    }
    this.wantsPast = false;
    const e = m.event === "message" ? parseEvent(m.data) : null;
    if (e) {
      this.listener.event(e);
    }
  }
}
