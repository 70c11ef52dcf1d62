import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { readResults, results } from '../../bench/write-results.mjs';

const decoded = (tokensPerSecond: number, name = 'mid') => ({
  commit: { id: '0123456789' },
  machine: { cpu: 'Abacus' },
  model: { name },
  runs: [
    {
      threads: 1,
      device: 'cpu (avx2, 1 thread)',
      prefill: [],
      decode: { tokensPerSecond: { median: tokensPerSecond }, shareOfBandwidth: 0.5 },
    },
  ],
});

describe('bench/RESULTS.md', () => {
  it('is as the raw runs say, each of which has a figure there; `npm run docs` writes it', () => {
    const { text, unused } = results(readResults());
    expect(readFileSync('bench/RESULTS.md', 'utf8')).toBe(text);
    expect(unused).toEqual([]);
  });

  it('has the newest figure of each metric, with its share of the limit, and names raw runs that are of no use', () => {
    const files = [
      { file: '2026-02-02-new.json', raw: decoded(20) },
      { file: '2026-01-01-old.json', raw: decoded(10) },
      { file: '2026-01-01-other.json', raw: decoded(30, 'slice') },
    ];
    const { text, unused } = results(files);
    expect(unused).toEqual(['2026-01-01-old.json']);
    expect(text).toContain('| decode, mid, 1 thread | 20.0 tokens/s | 0.50 of reading |  | Abacus | 0123456 |');
    expect(text).toContain('| decode, slice, 1 thread | 30.0 tokens/s |');
    expect(text).not.toContain('10.0 tokens/s');
  });
});
