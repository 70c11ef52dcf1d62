import { describe, expect, it } from 'vitest';
import { repeat, seriesOf } from '../../../lib/bench/repeats.js';

/** Measures 1, 2, 3 ..; beside those in `disturbed` another process takes `seconds`. */
function scene(disturbed: readonly number[], seconds = 10) {
  let count = 0;
  return {
    measure: async () => ++count,
    watch: () => () => (disturbed.includes(count) ? seconds : 0),
  };
}

describe('repeat', () => {
  it('takes the requested number', async () => {
    const { measure, watch } = scene([]);
    expect(await repeat(measure, { reps: 3, keepDisturbed: false, watch })).toEqual({
      values: [1, 2, 3],
      disturbed: 0,
      discarded: 0,
    });
  });

  it('does disturbed ones again', async () => {
    const { measure, watch } = scene([1, 3]);
    expect(await repeat(measure, { reps: 3, keepDisturbed: false, watch })).toEqual({
      values: [2, 4, 5],
      disturbed: 0,
      discarded: 2,
    });
  });

  it('gives up after three times as many, with those that count', async () => {
    const { measure, watch } = scene([1, 2, 3, 4, 6]);
    expect(await repeat(measure, { reps: 2, keepDisturbed: false, watch })).toEqual({
      values: [5],
      disturbed: 0,
      discarded: 5,
    });
  });

  it('takes all, and says so, when none went undisturbed', async () => {
    const { measure, watch } = scene([1, 2, 3]);
    expect(await repeat(measure, { reps: 1, keepDisturbed: false, watch })).toEqual({
      values: [1, 2, 3],
      disturbed: 3,
      discarded: 0,
    });
  });

  it('keeps disturbed ones in their place on request', async () => {
    const { measure, watch } = scene([2]);
    expect(await repeat(measure, { reps: 3, keepDisturbed: true, watch })).toEqual({
      values: [1, 2, 3],
      disturbed: 1,
      discarded: 0,
    });
  });

  it('takes every repeat where the load of other processes is unknown', async () => {
    const { measure } = scene([]);
    const options = { reps: 2, keepDisturbed: false, watch: () => () => undefined };
    expect(await repeat(measure, options)).toMatchObject({ values: [1, 2], disturbed: 0 });
  });

  it('passes on what a measurement throws', async () => {
    const measure = () => Promise.reject(new Error('no'));
    await expect(repeat(measure, { reps: 2, keepDisturbed: false })).rejects.toThrow('no');
  });
});

describe('a series', () => {
  const of = (...values: number[]) => seriesOf({ values, disturbed: 0, discarded: 0 }, (value) => value);

  it('has the middle one as its median, or the mean of the middle two', () => {
    expect(of(30, 10, 20)).toMatchObject({ min: 10, median: 20, max: 30, values: [30, 10, 20] });
    expect(of(40, 10, 20, 30)).toMatchObject({ min: 10, median: 25, max: 40 });
    expect(of(7)).toMatchObject({ min: 7, median: 7, max: 7 });
  });
});
