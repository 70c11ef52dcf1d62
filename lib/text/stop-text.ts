/** Looks for stop texts in a stream, and holds back what could be the beginning of one. */
export class StopText {
  readonly #stops: readonly string[];
  #held = '';

  constructor(stops: readonly string[]) {
    this.#stops = stops;
  }

  /**
   * The text that is safe to show, and the stop text that was found after it. Of several, the one that is complete first
   * counts, and of those the longest: what is found does not depend on how the text was cut into pieces.
   */
  push(text: string): { text: string; found?: string } {
    this.#held += text;
    let end = Infinity;
    let found: string | undefined;
    for (const stop of this.#stops) {
      const index = this.#held.indexOf(stop);
      if (index < 0) continue;
      const stopEnd = index + stop.length;
      if (stopEnd < end || (stopEnd === end && stop.length > (found?.length ?? 0))) {
        end = stopEnd;
        found = stop;
      }
    }
    if (found !== undefined) {
      const before = this.#held.slice(0, end - found.length);
      this.#held = '';
      return { text: before, found };
    }
    const safe = this.#held.length - this.#longestBeginning();
    const shown = this.#held.slice(0, safe);
    this.#held = this.#held.slice(safe);
    return { text: shown };
  }

  /** What was held back, once nothing can follow. */
  flush(): string {
    const text = this.#held;
    this.#held = '';
    return text;
  }

  /** Length of the longest end of the held text that a stop text begins with. */
  #longestBeginning(): number {
    let longest = 0;
    for (const stop of this.#stops) {
      for (let length = Math.min(stop.length - 1, this.#held.length); length > longest; length--) {
        if (this.#held.endsWith(stop.slice(0, length))) longest = length;
      }
    }
    return longest;
  }
}
