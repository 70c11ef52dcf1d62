/** Finds stop texts in a stream, and holds back text that could be the beginning of one. */
export class StopText {
  readonly #stops: readonly string[];
  #held = '';

  constructor(stops: readonly string[]) {
    this.#stops = stops;
  }

  /**
   * Returns the text that is safe to show, and the stop text found after it. If several are found, the one that is
   * complete first wins, and among those the longest. So the result does not depend on how the text was cut into
   * pieces.
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

  /** Returns the text held back, after the last piece. */
  flush(): string {
    const text = this.#held;
    this.#held = '';
    return text;
  }

  /** Length of the longest end of the held text that is the beginning of a stop text. */
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
