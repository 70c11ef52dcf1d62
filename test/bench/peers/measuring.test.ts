import { describe, expect, it } from 'vitest';
import {
  busySeconds,
  processSeconds,
  startBusyLoops,
  watchOtherProcesses,
} from '../../../bench/peers/cpu-contention.mjs';
import { casesOf } from '../../../bench/peers/figures.mjs';
import { alternate, compare, spreadOf } from '../../../bench/peers/statistics.mjs';
import { limitsText, tableOf } from '../../../bench/peers/table.mjs';
import { FIRST_ORDINARY_ID, spreadIds } from '../../../bench/peers/workload.mjs';

/** Sides that record their turns; `disturbed` names the disturbed turns, counted from 0. */
function sides(turns: string[], disturbed: number[] = []) {
  const side = (name: string, speed: number) => async () => {
    turns.push(name);
    return { speed, disturbed: disturbed.includes(turns.length - 1) };
  };
  return { grokRun: side('A', 3), llamaCpp: side('B', 2) };
}

describe('taking turns', () => {
  it('gives up after the maximum number of attempts, and invents no figure', async () => {
    const turns: string[] = [];
    const { kept, thrown } = await alternate(sides(turns, [0, 1, 2]), { wanted: 1, bound: 3, keepDisturbed: false });
    expect({ kept, thrown, turns: turns.join('') }).toEqual({ kept: [], thrown: 3, turns: 'AAA' });
  });

  it('discards a pair when either half was disturbed, and starts it again', async () => {
    const turns: string[] = [];
    const { kept, thrown } = await alternate(sides(turns, [0, 2]), { wanted: 2, bound: 6, keepDisturbed: false });
    expect(turns.join('')).toBe('A' + 'AB' + 'AB' + 'AB');
    expect([kept.length, thrown]).toEqual([2, 2]);
  });

  it('keeps disturbed pairs on request, and marks them', async () => {
    const { kept } = await alternate(sides([], [1]), { wanted: 1, bound: 3, keepDisturbed: true });
    expect(kept).toMatchObject([{ grokRun: { disturbed: false }, llamaCpp: { disturbed: true } }]);
  });
});

describe('figures', () => {
  it('have the middle of an even number as their median', () => {
    expect(spreadOf([4, 1, 2, 10])).toEqual({ min: 1, median: 3, max: 10 });
    expect(spreadOf([7])).toEqual({ min: 7, median: 7, max: 7 });
  });

  it('are ahead above 1 whether more or less is better, pair by pair', () => {
    const pairs = [
      { grokRun: 10, llamaCpp: 5 },
      { grokRun: 2, llamaCpp: 8 },
    ];
    expect(compare(pairs, { higherIsBetter: true }).ahead).toEqual({ min: 0.25, median: 1.125, max: 2 });
    expect(compare(pairs, { higherIsBetter: false }).ahead).toEqual({ min: 0.5, median: 2.25, max: 4 });
  });

  it('are taken at every number of threads, memory after the longest prompt', () => {
    const cases = casesOf({
      figures: ['decode', 'prefill', 'load-cold'],
      threads: [1, 2],
      prefill: [128, 512],
      decode: 8,
    });
    const named = (each: { threads: number; figures: { figure: string }[] }) =>
      `${each.threads}: ${each.figures.map(({ figure }) => figure).join(' + ')}`;
    expect(cases.map(named)).toEqual([
      '1: decode',
      '2: decode',
      '1: prefill 128',
      '1: prefill 512 + peak memory',
      '2: prefill 128',
      '2: prefill 512 + peak memory',
      '2: load, cold page cache + load to first token, cold',
    ]);
  });

  it('come from other tokens in each repeat, none of them a control piece', () => {
    const [first, second] = [0, 1].map((repeat) => spreadIds(512, repeat, 1024));
    expect(first).not.toEqual(second);
    for (const id of [...(first ?? []), ...(second ?? [])]) {
      expect(id).toBeGreaterThanOrEqual(FIRST_ORDINARY_ID);
      expect(id).toBeLessThan(1024);
    }
  });
});

describe('other processes', () => {
  it('are read from /proc as proc(5) has it', () => {
    expect(busySeconds('cpu  100 20 300 9999 5 6 7 8 0 0\ncpu0 1 2 3 4')).toBeCloseTo(4.41);
    const stat = '42 (a (b) c) R 1 1 1 0 -1 0 0 0 0 0 100 20 3 4 20 0 1 0';
    expect(processSeconds(stat)).toBeCloseTo(1.27);
  });

  it('count unless they are known to be busy', { timeout: 20_000 }, async () => {
    const loops = startBusyLoops(1);
    try {
      const [withIt, without] = [watchOtherProcesses(), watchOtherProcesses(loops.pids)];
      await new Promise((resolve) => setTimeout(resolve, 1000));
      // The loop had part of a core, however busy the machine is; two ticks of 10 ms may lie between the readings.
      expect(withIt() - without()).toBeGreaterThan(0.05);
    } finally {
      loops.stop();
    }
  });
});

describe('the table', () => {
  const spread = { min: 1, median: 2, max: 1234.5 };
  const circumstances = {
    date: '2026-01-02T03:04:05Z',
    machine: { cpu: 'Some CPU', threads: 4 },
    peer: { nodeLlamaCpp: '1.2.3', llamaCpp: 'v9' },
    options: { busy: 1, type: 'q8_0' },
  };
  const row = {
    figure: 'decode',
    unit: 'tokens/s',
    threads: 1,
    kept: 3,
    disturbed: 0,
    thrown: 2,
    devices: { grokRun: 'cpu (avx2, 1 thread)', llamaCpp: 'CPU : AVX2' },
  };

  it('has a dash if no pair was quiet', () => {
    const text = tableOf('mid', [{ ...row, kept: 0, grokRun: null, llamaCpp: null, ahead: null }], circumstances);
    expect(text.split('\n').at(-1)?.replace(/ +/g, ' ')).toBe('| decode, tokens/s | 1 | - | - | - | 0 | 2 |');
    expect(text).toContain('1 busy process\n');
  });

  it('has the least, the middle and the most', () => {
    const text = tableOf('mid', [{ ...row, grokRun: spread, llamaCpp: spread, ahead: spread }], circumstances);
    expect(text).toContain('1.00 / 2.00 / 1235');
    expect(text).toContain('grok-run on cpu (avx2); llama.cpp on CPU : AVX2\n');
  });

  it('tells how many of its pairs were disturbed and kept anyway', () => {
    const results = [{ ...row, disturbed: 1, grokRun: spread, llamaCpp: spread, ahead: spread }];
    expect(tableOf('mid', results, circumstances)).toContain('| 3, 1 disturbed |');
  });

  it('tells how much of the bandwidth decoding took', () => {
    const limits = [{ threads: 1, isa: 'avx2', read: { median: 20 }, multiplyAdds: [{ name: 'f32', median: 50 }] }];
    const bytesPerToken = { grokRun: 5e9, llamaCpp: 6e9 };
    const text = limitsText({ limits, bytesPerToken }, [{ ...row, grokRun: spread, llamaCpp: spread, ahead: spread }]);
    expect(text).toContain('Limits, 1 threads: read 20.0 GB/s; f32 50.0 GMAC/s (avx2)');
    expect(text).toContain('grokRun: 5000 MB a token, 10.0 GB/s, 0.500 of reading');
  });
});
