// SPDX-License-Identifier: Apache-2.0
// Keeps playback at the live edge. Pure: it sees numbers and answers what to do, so that tests drive it with made-up time.
//
// The measure is slack: the least that was buffered ahead of the play position over the last two seconds. Media arrives in
// steps (a frame, 40 ms of audio, whatever the network held back), so what is ahead right now says little, while the least
// of it says how much later a frame may come before playback stalls. Slack above the target is latency for nothing and is
// played away by a slightly higher rate, which nobody hears; far above it, or off the buffered ranges, only a seek helps. A
// stall proves the target too low and raises it; quiet minutes lower it again.

export interface Range {
  start: number; // seconds
  end: number;
}

export interface EdgeInput {
  nowMs: number;
  currentTime: number;
  ranges: readonly Range[]; // ascending, disjoint
  // The position has not moved since the last call although it should have.
  stuck: boolean;
}

export interface EdgeDecision {
  seekTo: number | null;
  rate: number;
}

export interface EdgeOptions {
  targetSlack: number; // seconds
  maxSlack: number; // what stalls may raise the target to
  startBehind: number; // where a seek lands behind the buffered end
  seekAbove: number; // slack over which catching up by rate would take too long
}

const DEFAULTS: EdgeOptions = { targetSlack: 0.2, maxSlack: 1.2, startBehind: 0.32, seekAbove: 1 };

const WINDOW_MS = 2000;
const RELAX_MS = 30000;
const STALL_STEP = 0.15;
const GAP = 0.05; // positions closer than this to a range count as inside it
const OVERRUN = 1;
const STUCK_MS = 400;

// The range that t is in. A media clock runs past the end of what is buffered before it notices, so that counts as well.
function at(ranges: readonly Range[], t: number): Range | null {
  const inside = ranges.find((r) => t >= r.start - GAP && t <= r.end);
  return inside ?? ranges.find((r) => t > r.end && t <= r.end + OVERRUN) ?? null;
}

export class EdgeController {
  private readonly options: EdgeOptions;
  private samples: { atMs: number; ahead: number }[] = [];
  private target: number;
  private relaxAtMs = 0;
  private rate = 1;
  private stuckSinceMs: number | null = null;

  constructor(options: Partial<EdgeOptions> = {}) {
    this.options = { ...DEFAULTS, ...options };
    this.target = this.options.targetSlack;
  }

  get targetSlack(): number {
    return this.target;
  }

  // Least seconds ahead in the window; null before the first measurement.
  get slack(): number | null {
    return this.samples.length > 0 ? Math.min(...this.samples.map((s) => s.ahead)) : null;
  }

  // Where playback should be when it may be anywhere: start, return of a hidden tab, jump over a gap.
  edge(ranges: readonly Range[]): number | null {
    const last = ranges[ranges.length - 1];
    if (!last) {
      return null;
    }
    const behind = this.options.startBehind + (this.target - this.options.targetSlack);
    return Math.max(last.start, last.end - behind);
  }

  // Playback ran dry although media was expected.
  stalled(nowMs: number): void {
    this.target = Math.min(this.options.maxSlack, this.target + STALL_STEP);
    this.relaxAtMs = nowMs + RELAX_MS;
    this.forget();
  }

  // After a seek or a pause: old measurements say nothing any more.
  forget(): void {
    this.samples = [];
    this.rate = 1;
    this.stuckSinceMs = null;
  }

  update(input: EdgeInput): EdgeDecision {
    const { nowMs, currentTime, ranges } = input;
    const last = ranges[ranges.length - 1];
    if (!last) {
      return { seekTo: null, rate: 1 };
    }
    const here = at(ranges, currentTime);
    if (here !== last) {
      return this.leaveGap(input, here, last);
    }
    this.relax(nowMs);
    const ahead = Math.max(0, last.end - currentTime);
    if (this.isStuck(input) && ahead > this.options.startBehind) {
      // Data is there and still nothing moves: a hole in one track that the ranges do not show. Go past it.
      return this.seek(this.edge(ranges));
    }
    this.samples.push({ atMs: nowMs, ahead });
    this.samples = this.samples.filter((s) => s.atMs > nowMs - WINDOW_MS);
    const slack = this.slack ?? ahead;
    const settled = nowMs - (this.samples[0]?.atMs ?? nowMs) > WINDOW_MS / 2;
    if (slack > this.target + this.options.seekAbove && settled) {
      return this.seek(this.edge(ranges));
    }
    return { seekTo: null, rate: this.chooseRate(slack, settled) };
  }

  // The position is in no range, or a newer range exists: what lies between will never come.
  private leaveGap(input: EdgeInput, here: Range | null, last: Range): EdgeDecision {
    const runsDry = here === null || here.end - input.currentTime < GAP || input.stuck;
    if (!runsDry && last.end - input.currentTime < this.options.seekAbove) {
      return { seekTo: null, rate: 1 };
    }
    const to = this.edge([last]);
    // Wait until the new range holds something to start with, or it would stall again at once.
    return last.end - last.start < GAP ? { seekTo: null, rate: 1 } : this.seek(to);
  }

  private seek(to: number | null): EdgeDecision {
    this.forget();
    return { seekTo: to, rate: 1 };
  }

  private isStuck(input: EdgeInput): boolean {
    if (!input.stuck) {
      this.stuckSinceMs = null;
      return false;
    }
    this.stuckSinceMs ??= input.nowMs;
    return input.nowMs - this.stuckSinceMs >= STUCK_MS;
  }

  private relax(nowMs: number): void {
    if (this.target > this.options.targetSlack && nowMs >= this.relaxAtMs) {
      this.target = Math.max(this.options.targetSlack, this.target - STALL_STEP / 3);
      this.relaxAtMs = nowMs + RELAX_MS / 3;
    }
  }

  // With hysteresis: a rate is kept until the slack is back at the target.
  private chooseRate(slack: number, settled: boolean): number {
    const excess = slack - this.target;
    if (!settled) {
      return this.rate;
    }
    if (excess > 0.6) {
      this.rate = 1.1;
    } else if (excess > 0.12) {
      this.rate = Math.max(this.rate, 1.05);
    } else if (slack < 0.03) {
      this.rate = 0.96;
    } else if (this.rate > 1 ? excess <= 0 : slack >= this.target / 2) {
      this.rate = 1;
    }
    return this.rate;
  }
}
