import { describe, expect, it } from 'vitest';
import { int8Word, matrixScales, startOf, tensorsOf, vectorValues } from '../../../bench/peers/network.mjs';
import { shapeOf, toBfloat16 } from '../../../bench/peers/shapes.mjs';

const SEED = 1;

describe('shapes', () => {
  it('names the known ones for an unknown name', () => {
    expect(() => shapeOf('large')).toThrow('Expected a shape: tiny, mid, slice1, slice or a .json file, found large');
  });

  it('rounds to bfloat16 with ties to even, as xAI rounds its multipliers', () => {
    expect(toBfloat16(Math.sqrt(6144))).toBe(78.5);
    expect(toBfloat16(1 / Math.sqrt(3))).toBe(0.578125);
    expect(toBfloat16(1 + 2 ** -8)).toBe(1); // half way: to the even neighbour below
    expect(toBfloat16(1 + 3 * 2 ** -8)).toBe(1 + 2 ** -6); // and above
  });

  it('keeps the proportions of Grok-1 in mid and its widths in slice', () => {
    const { numQHeads, numKvHeads, dModel, dFf } = shapeOf('mid');
    expect([numQHeads / numKvHeads, dModel * 4, dFf * 4]).toEqual([6, 6144, 32768]);
    expect(shapeOf('slice')).toMatchObject({ dModel: 6144, dFf: 32768, numLayers: 2, kvWidth: 1024 });
  });
});

describe('the random network', () => {
  it('has every weight from -127 to 127 and never -128', () => {
    const words = Int32Array.from({ length: 50_000 }, (_, i) => int8Word(startOf('some tensor', SEED), i));
    const counts = new Map<number, number>();
    for (const weight of new Int8Array(words.buffer)) counts.set(weight, (counts.get(weight) ?? 0) + 1);
    expect([...counts.keys()].sort((a, b) => a - b)).toEqual(Array.from({ length: 255 }, (_, i) => i - 127));
    // -127 also takes the share of -128; 200,000 draws of 256 values, so 781 each, with a deviation of 28.
    expect(counts.get(-127)).toBeGreaterThan(1562 - 200);
    expect(counts.get(0)).toBeLessThan(781 + 200);
  });

  it('has scales that neither bfloat16 nor binary16 rounds, in all shapes', () => {
    for (const name of ['tiny', 'mid', 'slice']) {
      for (const tensor of tensorsOf(shapeOf(name)).filter((each) => each.kind === 'matrix' && each.dOut <= 8192)) {
        const scales = matrixScales(tensor, SEED);
        expect(scales.every((scale) => toBfloat16(scale) === scale && scale >= 2 ** -14 && scale < 2)).toBe(true);
      }
    }
  });

  it('differs from tensor to tensor and from seed to seed', () => {
    const values = (name: string, seed: number): Float32Array => {
      const tensor = tensorsOf(shapeOf('tiny')).find(({ theirs }) => theirs === `blk.0.${name}.weight`);
      return vectorValues(tensor as unknown as Parameters<typeof vectorValues>[0], seed);
    };
    expect(values('ffn_gate_inp', SEED)).not.toEqual(values('ffn_gate_inp', SEED + 1));
    expect(values('ffn_norm', SEED)).not.toEqual(values('attn_norm', SEED));
    expect(values('ffn_norm', SEED).every((value) => value >= 0.5 && value < 1.5)).toBe(true);
    expect(int8Word(startOf('a', SEED), 0)).not.toBe(int8Word(startOf('b', SEED), 0));
  });
});
