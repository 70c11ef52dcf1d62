// Pairs of measurements, and their statistics.

/** @param values at least one */
export function spreadOf(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const median = sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  return { min: sorted[0], median, max: sorted[sorted.length - 1] };
}

/**
 * Ratio of grok-run to the other side: above 1 grok-run is better, whether more is better or less. It is computed pair
 * by pair, because the two measurements of a pair ran in the same minute.
 */
export function compare(pairs, { higherIsBetter }) {
  const ours = pairs.map((pair) => pair.grokRun);
  const theirs = pairs.map((pair) => pair.llamaCpp);
  const ahead = pairs.map(({ grokRun, llamaCpp }) => (higherIsBetter ? grokRun / llamaCpp : llamaCpp / grokRun));
  return { grokRun: spreadOf(ours), llamaCpp: spreadOf(theirs), ahead: spreadOf(ahead) };
}

/** Measures one side, then the other, until `wanted` pairs are quiet or there were `bound` attempts. */
export async function alternate(measurers, { wanted, bound, keepDisturbed }) {
  const kept = [];
  let thrown = 0;
  for (let attempt = 0; attempt < bound && kept.length < wanted; attempt++) {
    const pair = {};
    for (const [side, measure] of Object.entries(measurers)) {
      const { disturbed, ...measured } = await measure();
      if (disturbed && !keepDisturbed) break; // its counterpart would be measured in vain
      pair[side] = { ...measured, disturbed };
    }
    if (Object.keys(measurers).every((side) => side in pair)) kept.push(pair);
    else thrown++;
  }
  return { kept, thrown };
}
