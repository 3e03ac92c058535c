// SPDX-License-Identifier: Apache-2.0
// One MediaSource with one SourceBuffer and the queue in front of it. A SourceBuffer does one thing at a time, so
// everything goes through a queue of operations in order; what piles up while it is busy is appended as one piece.

import type { Range } from "./edge.js";

// Safari on phones has only the managed form.
type MediaSourceClass = typeof MediaSource;
interface ManagedWindow {
  MediaSource?: MediaSourceClass;
  ManagedMediaSource?: MediaSourceClass;
}

const KEEP_BEHIND_S = 10; // kept behind the position after a trim
const TRIM_BEHIND_S = 20; // what starts one
const APPEND_MAX = 4 << 20;
const QUEUE_MAX = 64 << 20; // a page that cannot append at all must not eat the machine

export function mediaSourceClass(): MediaSourceClass | null {
  const w = window as unknown as ManagedWindow;
  return w.MediaSource ?? w.ManagedMediaSource ?? null;
}

export function rangesOf(buffered: TimeRanges): Range[] {
  const ranges: Range[] = [];
  for (let i = 0; i < buffered.length; i++) {
    ranges.push({ start: buffered.start(i), end: buffered.end(i) });
  }
  return ranges;
}

type Operation =
  | { kind: "append"; data: ArrayBuffer }
  | { kind: "type"; mime: string }
  | { kind: "clear" };

export interface SourceEvents {
  appended(): void; // the buffered ranges may have changed
  failed(why: string): void; // unusable from here on
}

export class Source {
  private readonly media: MediaSource;
  private readonly url: string | null;
  private buffer: SourceBuffer | null = null;
  private queue: Operation[] = [];
  private queued = 0;
  private closed = false;

  constructor(
    private readonly video: HTMLVideoElement,
    private mime: string,
    private readonly events: SourceEvents,
  ) {
    const Class = mediaSourceClass();
    if (!Class) {
      throw new Error("no MediaSource");
    }
    this.media = new Class();
    this.media.addEventListener("sourceopen", () => this.opened(), { once: true });
    if (Class !== window.MediaSource) {
      // A managed source is refused as long as the element may be sent to another device.
      video.disableRemotePlayback = true;
    }
    this.url = URL.createObjectURL(this.media);
    video.src = this.url;
  }

  append(data: ArrayBuffer): void {
    this.queued += data.byteLength;
    if (this.queued > QUEUE_MAX) {
      this.fail("the browser does not take the media");
      return;
    }
    this.push({ kind: "append", data });
  }

  // Goes in front of an init segment with other codecs.
  setType(mime: string): void {
    if (mime !== this.mime) {
      this.mime = mime;
      this.push({ kind: "type", mime });
    }
  }

  // Forgets everything buffered: the server's clock went back.
  clear(): void {
    this.push({ kind: "clear" });
  }

  ranges(): Range[] {
    if (!this.buffer || this.closed || this.media.readyState === "closed") {
      return [];
    }
    return rangesOf(this.buffer.buffered);
  }

  close(): void {
    this.closed = true;
    this.queue = [];
    if (this.url) {
      URL.revokeObjectURL(this.url);
    }
  }

  private opened(): void {
    if (this.closed) {
      return;
    }
    try {
      this.media.duration = Infinity; // live: a browser shows frames as soon as it has them
      this.buffer = this.media.addSourceBuffer(this.mime);
    } catch (e) {
      this.fail(String(e));
      return;
    }
    this.buffer.addEventListener("updateend", () => this.updated());
    this.buffer.addEventListener("error", () => this.fail("the browser refused the media"));
    this.pump();
  }

  private push(op: Operation): void {
    if (!this.closed) {
      this.queue.push(op);
      this.pump();
    }
  }

  private updated(): void {
    if (this.closed) {
      return;
    }
    this.events.appended();
    this.pump();
  }

  private pump(): void {
    const b = this.buffer;
    if (!b || b.updating || this.closed || this.media.readyState !== "open") {
      return;
    }
    if (this.trim(b, TRIM_BEHIND_S, KEEP_BEHIND_S)) {
      return;
    }
    const op = this.queue[0];
    try {
      switch (op?.kind) {
        case "append":
          this.appendSome(b);
          break;
        case "type":
          b.changeType(op.mime);
          this.queue.shift();
          this.pump();
          break;
        case "clear":
          this.queue.shift();
          if (b.buffered.length > 0) {
            b.remove(0, Infinity);
          } else {
            this.pump();
          }
          break;
        case undefined:
          break;
      }
    } catch (e) {
      this.refused(b, e);
    }
  }

  // Joins what waits into one append. Leaves the queue as it is when the browser throws.
  private appendSome(b: SourceBuffer): void {
    let n = 0;
    let bytes = 0;
    for (const op of this.queue) {
      if (op.kind !== "append" || (n > 0 && bytes + op.data.byteLength > APPEND_MAX)) {
        break;
      }
      bytes += op.data.byteLength;
      n += 1;
    }
    const ops = this.queue.slice(0, n) as { kind: "append"; data: ArrayBuffer }[];
    const joined = new Uint8Array(bytes);
    let offset = 0;
    for (const op of ops) {
      joined.set(new Uint8Array(op.data), offset);
      offset += op.data.byteLength;
    }
    b.appendBuffer(joined);
    this.queue.splice(0, n);
    this.queued -= bytes;
  }

  private refused(b: SourceBuffer, e: unknown): void {
    if (!(e instanceof DOMException) || e.name !== "QuotaExceededError") {
      this.fail(String(e));
      return;
    }
    // Full: give up what is behind, then everything but the edge, then start over.
    if (this.trim(b, 1, 0.5)) {
      return;
    }
    const ranges = rangesOf(b.buffered);
    const last = ranges[ranges.length - 1];
    if (last) {
      b.remove(0, last.end - last.start > 4 ? last.end - 2 : Infinity);
    } else {
      this.fail("the browser's media buffer is too small for this stream");
    }
  }

  // True when a removal was started.
  private trim(b: SourceBuffer, above: number, keep: number): boolean {
    const first = b.buffered.length > 0 ? b.buffered.start(0) : Infinity;
    const position = this.video.currentTime;
    if (position - first <= above) {
      return false;
    }
    b.remove(0, position - keep);
    return true;
  }

  private fail(why: string): void {
    if (!this.closed) {
      this.close();
      this.events.failed(why);
    }
  }
}
