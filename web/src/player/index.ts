// SPDX-License-Identifier: Apache-2.0
// Plays a live stream in a <video>, by the first transport that can (choice.ts): MSE over WebSocket, HLS
// by hls.js where no WebSocket comes through, and the browser's own HLS where there is nothing else.

import { choose, listChoices, type Abilities, type Choice, type Failure } from "./choice.js";
import type { ChoiceReason, OpenPlayer, PlayerOptions, Transport, TransportEvents, TransportName } from "./contract.js";
import { HlsTransport } from "./hls.js";
import { MseTransport } from "./mse.js";
import { NativeTransport, playsHls } from "./native.js";
import { mediaSourceClass } from "./source.js";

export type { Choice } from "./choice.js";
export type { OpenPlayer, Phase, PlaybackState, PlaybackStats, PlayerDetails, PlayerOptions, Reason, TransportName } from "./contract.js";
export { codecName } from "./player.js";

const STATS_MS = 250;

function abilities(video: HTMLVideoElement): Abilities {
  return { webSocket: "WebSocket" in window, mediaSource: mediaSourceClass() !== null, nativeHls: playsHls(video) };
}

export function choices(video: HTMLVideoElement): Choice[] {
  return listChoices(abilities(video));
}

const NO_DETAILS = { state: "failed", tracks: [], leftOut: "", firstFrameMs: null, stalls: 0, seeks: 0, connections: 0, rebuilds: 0, lostSamples: 0 };

const TRANSPORTS = { mse: MseTransport, hls: HlsTransport, native: NativeTransport };

class Opened implements OpenPlayer {
  transport: TransportName = "mse";
  private reason: ChoiceReason = "auto-mse";
  private current: Transport | null = null;
  private readonly failed: Failure[] = [];
  private readonly timer: number;
  private closed = false;

  constructor(
    private readonly video: HTMLVideoElement,
    private readonly options: PlayerOptions,
  ) {
    this.timer = window.setInterval(() => this.tell(), STATS_MS);
    this.next("");
  }

  close(): void {
    this.closed = true;
    window.clearInterval(this.timer);
    this.current?.close();
    this.current = null;
  }

  seekLive(): void {
    this.current?.seekLive();
  }

  get details() {
    return this.current?.details ?? NO_DETAILS;
  }

  private tell(): void {
    if (this.current) {
      this.options.onStats?.(this.current.stats);
    }
  }

  // message: why the one before it cannot play, to be shown when nothing is left.
  private next(message: string): void {
    this.current?.close();
    this.current = null;
    const { path, transport: wish, query = new URLSearchParams(location.search) } = this.options;
    const found = choose(wish, abilities(this.video), this.failed);
    if (!found) {
      const why = this.failed[this.failed.length - 1]?.why ?? listChoices(abilities(this.video)).find((c) => c.name === wish)?.reason;
      this.transport = wish === "auto" ? this.transport : wish;
      this.options.onState({ phase: "failed", transport: this.transport, reason: why ?? "unsupported", ...(message && { message }) });
      return;
    }
    this.transport = found.name;
    this.reason = found.reason;
    this.options.onState({ phase: "connecting", transport: found.name, reason: found.reason });
    this.current = new TRANSPORTS[found.name](this.video, path, query, this.events(found.name));
  }

  private events(name: TransportName): TransportEvents {
    const mine = () => !this.closed && this.transport === name && !this.failed.some((f) => f.name === name);
    return {
      state: (phase, why, message) => {
        if (mine()) {
          this.options.onState({ phase, transport: name, reason: why ?? this.reason, ...(message && { message }) });
        }
      },
      unusable: (why, message) => {
        if (mine()) {
          this.failed.push({ name, why });
          window.setTimeout(() => this.closed || this.next(message)); // its constructor may still run
        }
      },
    };
  }
}

export function openPlayer(video: HTMLVideoElement, options: PlayerOptions): OpenPlayer {
  return new Opened(video, options);
}
