/** Random numbers that are the same in every run. */
export interface Random {
  /** An integer in [0, limit). */
  below(limit: number): number;
  pick<T>(values: readonly T[]): T;
}

export function makeRandom(seed: number): Random {
  let state = seed >>> 0;
  const below = (limit: number) => {
    // Constants of Numerical Recipes; the high bits are the good ones.
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * limit);
  };
  return { below, pick: (values) => values[below(values.length)] as (typeof values)[number] };
}
