// SPDX-License-Identifier: Apache-2.0
// How long to wait before the next connection attempt: doubling from first to max, each spread over its upper half, so
// that the viewers of a server that restarts do not all come back in the same instant.

export interface BackoffOptions {
  firstMs: number;
  maxMs: number;
  random: () => number; // 0 <= x < 1
}

const DEFAULTS: BackoffOptions = { firstMs: 250, maxMs: 8000, random: Math.random };

export class Backoff {
  private attempts = 0;
  private readonly options: BackoffOptions;

  constructor(options: Partial<BackoffOptions> = {}) {
    this.options = { ...DEFAULTS, ...options };
  }

  nextMs(): number {
    const { firstMs, maxMs, random } = this.options;
    const ceiling = Math.min(maxMs, firstMs * 2 ** Math.min(this.attempts, 30));
    this.attempts += 1;
    return ceiling / 2 + (random() * ceiling) / 2;
  }

  reset(): void {
    this.attempts = 0;
  }
}
