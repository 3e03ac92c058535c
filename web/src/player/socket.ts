// SPDX-License-Identifier: Apache-2.0
// The WebSocket to the server, kept up: connects again after every loss, with backoff, until it is stopped. A connection
// that was refused is asked about over plain HTTP, because a WebSocket does not tell the status it was refused with.

import { Backoff } from "./backoff.js";

export interface SocketEvents {
  opened(): void;
  text(data: string): void;
  binary(data: ArrayBuffer): void;
  // why: what a person may be told; refused: asking again soon is pointless (no permission).
  lost(why: string, refused: boolean): void;
  // The server answers, and yet no WebSocket comes about: something on the way does not let it through.
  noUpgrade(): void;
}

// Long enough to be more than a handshake: only then does the next loss start over with short waits.
const STABLE_MS = 5000;
const REFUSED_MS = 10000;
const HANDSHAKE_MS = 8000; // what hangs for longer was swallowed on the way
const REFUSALS = 2; // of the upgrade, one after the other, that are no accident

export class Socket {
  private ws: WebSocket | null = null;
  private timer: number | undefined;
  private openedAt = 0;
  private everOpen = false;
  private upgradesRefused = 0;
  private handshake: number | undefined;
  private readonly backoff = new Backoff();
  private readonly online = (): void => this.retryNow();

  constructor(
    private readonly url: () => URL,
    private readonly events: SocketEvents,
  ) {
    window.addEventListener("online", this.online);
  }

  start(): void {
    if (this.ws) {
      return;
    }
    window.clearTimeout(this.timer);
    this.timer = undefined;
    const ws = new WebSocket(this.url());
    ws.binaryType = "arraybuffer";
    ws.onopen = () => {
      window.clearTimeout(this.handshake);
      this.openedAt = performance.now();
      this.everOpen = true;
      this.events.opened();
    };
    ws.onmessage = (e: MessageEvent<string | ArrayBuffer>) => {
      if (typeof e.data === "string") {
        this.events.text(e.data);
      } else {
        this.events.binary(e.data);
      }
    };
    ws.onclose = (e) => void this.gone(e);
    this.ws = ws;
    this.handshake = window.setTimeout(() => ws.close(), HANDSHAKE_MS);
  }

  // For good.
  close(): void {
    this.stop();
    window.removeEventListener("online", this.online);
  }

  stop(): void {
    window.clearTimeout(this.timer);
    this.timer = undefined;
    this.drop();
  }

  // Connects anew at once, to ask for something else.
  restart(): void {
    this.stop();
    this.start();
  }

  // The network came back, or somebody looks at the page again: do not sit out the rest of a long wait.
  retryNow(): void {
    if (this.timer !== undefined) {
      this.backoff.reset();
      this.start();
    }
  }

  private drop(): void {
    const ws = this.ws;
    window.clearTimeout(this.handshake);
    this.ws = null;
    this.openedAt = 0;
    if (ws) {
      ws.onopen = ws.onmessage = ws.onclose = null;
      ws.close(1000);
    }
  }

  private async gone(e: CloseEvent): Promise<void> {
    const wasOpen = this.openedAt > 0;
    if (wasOpen && performance.now() - this.openedAt > STABLE_MS) {
      this.backoff.reset();
    }
    const ws = this.ws;
    this.drop();
    const waitMs = this.backoff.nextMs();
    this.timer = window.setTimeout(() => this.start(), waitMs);
    if (wasOpen) {
      this.events.lost(e.reason, false);
      return;
    }
    const timer = this.timer;
    const { refusal, answers } = await this.askWhy();
    if (this.timer !== timer || ws === null) {
      return; // somebody stopped or restarted us meanwhile
    }
    this.upgradesRefused = answers ? this.upgradesRefused + 1 : 0;
    if (this.upgradesRefused >= REFUSALS && !this.everOpen) {
      this.events.noUpgrade();
      return;
    }
    if (refusal !== null) {
      window.clearTimeout(this.timer);
      this.timer = window.setTimeout(() => this.start(), Math.max(waitMs, REFUSED_MS));
    }
    this.events.lost(refusal ?? "", refusal !== null);
  }

  // refusal: the server's own sentence when it refuses. answers: it is there, and asks for the upgrade that was asked for.
  private async askWhy(): Promise<{ refusal: string | null; answers: boolean }> {
    const url = this.url();
    url.protocol = url.protocol === "wss:" ? "https:" : "http:";
    try {
      const reply = await fetch(url, { cache: "no-store" });
      if (reply.status === 401) {
        window.dispatchEvent(new Event("mast-unauthorized")); // the page around us may ask who it is
      }
      if (reply.status < 400 || reply.status === 426 || reply.status >= 500) {
        return { refusal: null, answers: reply.status === 426 };
      }
      const problem = (await reply.json()) as { title?: unknown; detail?: unknown };
      const said = problem.detail ?? problem.title;
      return { refusal: typeof said === "string" ? said : `refused (${reply.status})`, answers: false };
    } catch {
      return { refusal: null, answers: false };
    }
  }
}
