// SPDX-License-Identifier: Apache-2.0
// MSE over WebSocket as a transport: says in the words of the contract what the player says in its own.

import type { Phase, PlaybackStats, PlayerDetails, Transport, TransportEvents, WaitReason } from "./contract.js";
import { Player, type PlayerState } from "./player.js";

const STATES: Record<PlayerState, [Phase, WaitReason?]> = {
  connecting: ["connecting"],
  buffering: ["waiting", "buffering"],
  playing: ["playing"],
  stalled: ["waiting", "buffering"],
  waiting: ["waiting", "publisher-away"],
  ended: ["ended", "off-air"],
  reconnecting: ["waiting", "reconnecting"],
  refused: ["failed", "refused"],
  paused: ["waiting", "paused"],
  blocked: ["waiting", "blocked"],
  unsupported: ["failed", "unsupported"],
};

export class MseTransport implements Transport {
  private readonly player: Player;
  private said = "";

  constructor(
    private readonly video: HTMLVideoElement,
    path: string,
    query: URLSearchParams,
    private readonly events: TransportEvents,
  ) {
    this.player = new Player({
      video,
      path,
      query,
      changed: () => this.changed(),
      noUpgrade: () => this.events.unusable("upgrade-refused", ""),
    });
    this.player.start();
  }

  close(): void {
    this.player.close();
  }

  seekLive(): void {
    this.player.seekLive();
  }

  get details(): PlayerDetails {
    return this.player;
  }

  get stats(): PlaybackStats {
    const p = this.player;
    const v = this.video;
    return {
      delay: p.latency,
      buffered: p.latency ?? 0,
      bitrate: p.bitrateBps,
      dropped: v.getVideoPlaybackQuality().droppedVideoFrames,
      width: v.videoWidth,
      height: v.videoHeight,
    };
  }

  private changed(): void {
    const p = this.player as Player | undefined;
    if (!p || this.said === `${p.state} ${p.detail}`) {
      return; // the player tells of its first change while it is being made
    }
    this.said = `${p.state} ${p.detail}`;
    if (p.state === "unsupported") {
      this.events.unusable("codec", p.detail);
      return;
    }
    let [phase, why] = STATES[p.state];
    if (p.firstFrameMs === null) {
      // Nothing was seen here yet.
      phase = p.state === "buffering" ? "connecting" : phase;
      why = p.state === "buffering" ? undefined : p.state === "waiting" ? "nobody-yet" : why;
    }
    this.events.state(phase, why, p.detail || undefined);
  }
}
