import { disturbs, watchOtherProcesses } from './cpu-contention.js';

/** Maximum attempts per repeat if other processes keep disturbing. */
const ATTEMPTS_PER_REPEAT = 3;

/** Results of repeated measurements. */
export interface Repeats<T> {
  readonly values: readonly T[];
  /** Number of `values` measured while other processes used more than 5 % of a core. */
  readonly disturbed: number;
  /** Number of repeats discarded for that reason. */
  readonly discarded: number;
}

export interface RepeatOptions {
  readonly reps: number;
  /** Counts disturbed repeats like all others. */
  readonly keepDisturbed: boolean;
  /** Replaces the measurement of other processes, in tests. */
  readonly watch?: () => () => number | undefined;
}

/**
 * Measures until `reps` repeats were undisturbed, or three times as many were tried. Returns the undisturbed repeats,
 * or all if there are none.
 */
export async function repeat<T>(measure: () => Promise<T>, options: RepeatOptions): Promise<Repeats<T>> {
  const { reps, keepDisturbed, watch = watchOtherProcesses } = options;
  const calm: T[] = [];
  const disturbed: T[] = [];
  const isEnough = () => calm.length + (keepDisturbed ? disturbed.length : 0) >= reps;
  const inOrder: T[] = [];
  while (!isEnough() && inOrder.length < reps * ATTEMPTS_PER_REPEAT) {
    const secondsOfOthers = watch();
    const startedAt = performance.now();
    const value = await measure();
    const used = secondsOfOthers() ?? 0;
    inOrder.push(value);
    (disturbs(used, (performance.now() - startedAt) / 1000) ? disturbed : calm).push(value);
  }
  if (keepDisturbed || calm.length === 0) return { values: inOrder, disturbed: disturbed.length, discarded: 0 };
  return { values: calm, disturbed: 0, discarded: disturbed.length };
}

/** Figures of the repeats of one measurement. */
export interface Series {
  readonly min: number;
  readonly median: number;
  readonly max: number;
  /** In the order in which they were measured. */
  readonly values: readonly number[];
  readonly disturbed: number;
  readonly discarded: number;
}

export function seriesOf<T>({ values, disturbed, discarded }: Repeats<T>, figure: (value: T) => number): Series {
  const figures = values.map(figure);
  return { ...spreadOf(figures), values: figures, disturbed, discarded };
}

function spreadOf(figures: readonly number[]): { min: number; median: number; max: number } {
  const sorted = figures.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  const median = sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
  return { min: sorted[0] ?? Number.NaN, median, max: sorted.at(-1) ?? Number.NaN };
}
