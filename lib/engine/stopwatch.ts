import type { Timings } from './completion.js';

/** Measures the times of one generation. All times are of `performance.now()`. */
export class Stopwatch {
  readonly #start = performance.now();
  #taken: number | undefined;
  #firstToken: number | undefined;
  #lastToken: number | undefined;
  #numTokens = 0;

  /** A step that began at `stepStartedAt` processed the prompt. */
  working(stepStartedAt: number): void {
    this.#taken ??= stepStartedAt;
  }

  token(): void {
    this.#numTokens++;
    this.#lastToken = performance.now();
    this.#firstToken ??= this.#lastToken;
  }

  read(): Timings {
    const now = performance.now();
    const taken = this.#taken ?? now;
    const firstToken = this.#firstToken ?? now;
    const decodeMs = (this.#lastToken ?? now) - firstToken;
    return {
      queueMs: taken - this.#start,
      prefillMs: firstToken - taken,
      firstTokenMs: firstToken - this.#start,
      decodeMs: Math.max(0, decodeMs),
      tokensPerSecond: decodeMs > 0 ? ((this.#numTokens - 1) * 1000) / decodeMs : 0,
    };
  }
}
