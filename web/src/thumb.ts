// SPDX-License-Identifier: Apache-2.0
// A live thumbnail: the newest key frame as the server has it, decoded by the browser in a muted <video>. Two of them take
// turns, so that the old picture stays until the new one is there. Asked for only while somebody can see it.

import { encodePath, type StreamInfo } from "./api.js";
import { canShow } from "./codecs.js";
import { el, icon, setText } from "./dom.js";
import { t } from "./i18n.js";
import { codecName } from "./player/index.js";

const REFRESH_MS = 4000;
const BYTES_MAX = 8 << 20;

// One observer for all, so that a wall of hundreds costs little.
const seen = new Map<Element, (visible: boolean) => void>();
const observer = new IntersectionObserver(
  (entries) => {
    for (const e of entries) {
      seen.get(e.target)?.(e.isIntersecting);
    }
  },
  { rootMargin: "80px" },
);

export class Thumb {
  readonly node = el("div", { class: "thumb" });
  private readonly videos = [this.makeVideo(), this.makeVideo()] as const;
  private readonly fallbackText = el("span");
  private readonly fallback = el("div", { class: "fallback" });
  private front = 0;
  private visible = false;
  private wanted = false; // there is a picture to ask for
  private kind = "";
  private busy = false;
  private timer: number | undefined;
  private etag = "";
  private life = new AbortController();

  constructor(private readonly path: string) {
    this.node.append(...this.videos, this.fallback);
    seen.set(this.node, (visible) => {
      this.visible = visible;
      this.tick();
    });
    observer.observe(this.node);
    document.addEventListener("visibilitychange", () => this.tick(), { signal: this.life.signal });
  }

  close(): void {
    observer.unobserve(this.node);
    seen.delete(this.node);
    this.life.abort();
    window.clearTimeout(this.timer);
    for (const v of this.videos) {
      this.release(v);
    }
  }

  update(s: StreamInfo): void {
    const video = s.tracks.find((x) => x.kind === "video");
    const live = s.on_air && s.ready;
    if (!video && s.tracks.length > 0) {
      this.fallBack("note", t("thumb.audio"));
    } else if (video?.codecs && !canShow(video)) {
      this.fallBack("film", t("thumb.codec", { codec: codecName(video.codec) }));
    } else if (!this.node.classList.contains("shows")) {
      this.fallBack("film", live ? "" : t("thumb.waiting"));
    }
    this.wanted = live && video !== undefined && canShow(video);
    this.tick();
  }

  private makeVideo(): HTMLVideoElement {
    const v = el("video", { muted: true, playsinline: true, preload: "auto", tabindex: -1, "aria-hidden": "true", disablepictureinpicture: true });
    v.muted = true;
    return v;
  }

  private release(v: HTMLVideoElement): void {
    if (v.src) {
      URL.revokeObjectURL(v.src);
      v.removeAttribute("src");
      v.load();
    }
  }

  private fallBack(picture: "note" | "film", text: string): void {
    if (this.kind !== picture) {
      this.kind = picture;
      this.fallback.replaceChildren(icon(picture), this.fallbackText);
    }
    setText(this.fallbackText, text);
  }

  // Asks now when it is time, and again later.
  private tick(): void {
    if (!this.wanted || !this.visible || document.hidden || this.busy) {
      return;
    }
    if (this.timer === undefined) {
      this.busy = true;
      void this.refresh().finally(() => {
        this.busy = false;
        if (!this.life.signal.aborted) {
          this.timer = window.setTimeout(() => {
            this.timer = undefined;
            this.tick();
          }, REFRESH_MS);
        }
      });
    }
  }

  private async refresh(): Promise<void> {
    try {
      const headers: Record<string, string> = this.etag ? { "If-None-Match": this.etag } : {};
      const reply = await fetch(`/${encodePath(this.path)}/keyframe.mp4`, { headers, cache: "no-store", signal: this.life.signal });
      if (reply.status !== 200 || Number(reply.headers.get("content-length") ?? 0) > BYTES_MAX) {
        return;
      }
      const blob = await reply.blob();
      if (await this.show(blob)) {
        this.etag = reply.headers.get("etag") ?? "";
      }
    } catch {
      // the server is away, or the card is: the old picture stays
    }
  }

  private async show(blob: Blob): Promise<boolean> {
    const back = 1 - this.front;
    const v = this.videos[back];
    const old = this.videos[this.front];
    if (!v || !old) {
      return false;
    }
    this.release(v);
    const ready = new Promise<boolean>((done) => {
      v.onloadeddata = () => done(true);
      v.onerror = () => done(false);
      this.life.signal.addEventListener("abort", () => done(false), { once: true });
    });
    v.src = URL.createObjectURL(blob);
    const good = await ready;
    v.onloadeddata = v.onerror = null;
    if (good && !this.life.signal.aborted) {
      v.classList.add("front");
      old.classList.remove("front");
      this.node.classList.add("shows");
      this.front = back;
    }
    return good;
  }
}
