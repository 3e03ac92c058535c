// SPDX-License-Identifier: Apache-2.0
// Looks again as soon as an event says that something changed, and now and then for what no event tells. Never two looks at once.

import { Feed, type FeedEvent } from "./feed.js";

export interface LookoutHow {
  look(): Promise<void>; // has dealt with its own errors
  matches(e: FeedEvent): boolean;
  event?(e: FeedEvent): void; // one that matches
  everyMs: number;
  past?: number; // events from before
}

export class Lookout {
  private readonly feed: Feed;
  private readonly onVisible = (): void => this.now();
  private timer: number | undefined;
  private looking = false;
  private again = false;
  private closed = false;

  constructor(private readonly how: LookoutHow) {
    this.feed = new Feed({ event: (e) => this.take(e), gap: () => this.now(), connected: (yes) => yes && this.now() }, how.past ?? 0);
    document.addEventListener("visibilitychange", this.onVisible);
    this.now();
  }

  close(): void {
    this.closed = true;
    this.feed.close();
    window.clearTimeout(this.timer);
    document.removeEventListener("visibilitychange", this.onVisible);
  }

  now(): void {
    if (this.looking) {
      this.again = true;
    } else if (!this.closed && !document.hidden) {
      void this.look();
    }
  }

  private take(e: FeedEvent): void {
    if (!this.closed && this.how.matches(e)) {
      this.how.event?.(e);
      this.now();
    }
  }

  private async look(): Promise<void> {
    this.looking = true;
    window.clearTimeout(this.timer);
    do {
      this.again = false;
      await this.how.look();
    } while (this.again && !this.closed);
    this.looking = false;
    if (!this.closed) {
      this.timer = window.setTimeout(() => this.now(), this.how.everyMs);
    }
  }
}
