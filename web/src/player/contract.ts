// SPDX-License-Identifier: Apache-2.0
// What a page and the ways to play a stream agree on. A reason is a key that a page turns into a sentence of its language.

export type TransportName = "mse" | "hls" | "native";

export type Phase =
  | "connecting" // nothing was shown yet
  | "playing"
  | "waiting" // it goes on by itself, but for "paused" and "blocked"
  | "ended" // the publisher left; it goes on by itself should one come back
  | "failed"; // it does not go on by itself

// Why a transport plays, or cannot.
export type ChoiceReason =
  | "auto-mse" // the first choice, because it has the least delay
  | "chosen" // by the viewer
  | "no-websocket" // the browser has none
  | "upgrade-refused" // something on the way lets no WebSocket through
  | "no-mse" // the browser has no Media Source Extensions
  | "no-native" // the browser plays no HLS by itself
  | "codec"; // the transport before it has not the codecs of this stream

// Why it does not play now.
export type WaitReason =
  | "buffering"
  | "publisher-away"
  | "nobody-yet"
  | "reconnecting"
  | "paused"
  | "blocked" // the browser wants a click first
  | "off-air"
  | "refused" // the message has the server's own sentence
  | "unsupported"; // no transport is left

export type Reason = ChoiceReason | WaitReason;

// With phase "connecting" and "playing" the reason says why it is this transport, with the others why it does not play.
export interface PlaybackState {
  phase: Phase;
  transport: TransportName;
  reason: Reason;
  message?: string; // the server's or the browser's own words; with reason "codec" the codecs that are missing
}

export interface PlaybackStats {
  delay: number | null; // seconds behind the newest media that is known here
  buffered: number; // seconds ahead of the position
  bitrate: number | null; // bit/s that arrive; null where the browser does not tell
  dropped: number; // frames
  width: number;
  height: number;
}

export interface PlayerOptions {
  path: string;
  transport: TransportName | "auto";
  query?: URLSearchParams; // credentials that go on to the server; that of the page when it is not given
  onState(s: PlaybackState): void;
  onStats?(s: PlaybackStats): void; // a few times a second
}

// For tests, and for people who look into a problem with the browser's console.
export interface PlayerDetails {
  state: string;
  tracks: readonly { kind: string; codec: string }[];
  leftOut: string; // while it plays: codecs of tracks that this browser cannot play, as people read them
  firstFrameMs: number | null; // since the page was opened
  stalls: number;
  seeks: number;
  connections: number;
  rebuilds: number;
  lostSamples: number;
}

// A pause and its end are the <video>'s own: pause() ends the connection, play() begins again at the edge.
export interface OpenPlayer {
  close(): void; // the <video> is free for something else
  seekLive(): void;
  readonly transport: TransportName;
  readonly details: PlayerDetails;
}

// One way to play; made by openPlayer().
export interface Transport {
  close(): void;
  seekLive(): void;
  readonly details: PlayerDetails;
  readonly stats: PlaybackStats;
}

export interface TransportEvents {
  // why is left out where the transport plays, or begins to.
  state(phase: Phase, why?: WaitReason, message?: string): void;
  // It will never play here; another transport may.
  unusable(why: ChoiceReason, message: string): void;
}
