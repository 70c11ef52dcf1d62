import { describe, expect, it } from 'vitest';
import { BENCH_REPORT, grokError, invoke } from '../fake-host.js';

const rate = (median: number) => ({ min: median, median, max: median });

describe('grok-run bench', () => {
  it('refuses a shape beside a model, wherever that stands', async () => {
    for (const args of [
      ['bench', '--shape', 'tiny', '-m', './a'],
      ['-m', './a', 'bench', '--shape', 'tiny'],
    ]) {
      const { exitCode, stderr, calls } = await invoke(args);
      expect(exitCode).toBe(2);
      expect(stderr).toContain('Expected --shape or --model, found both');
      expect(calls).toEqual([]);
    }
  });

  it('refuses what is no list of numbers', async () => {
    for (const text of ['1,,2', 'x', '1.5', '']) {
      const { exitCode, stderr } = await invoke(['bench', '--prefill', text]);
      expect(exitCode, text).toBe(2);
      expect(stderr).toContain('--prefill');
    }
  });

  it('passes on what the library says', async () => {
    const benchmark = () => Promise.reject(grokError('GROK_OUT_OF_MEMORY', 'the model needs 318 GB'));
    const { exitCode, stderr } = await invoke(['bench', '--shape', 'grok1'], { library: { benchmark } });
    expect(exitCode).toBe(1);
    expect(stderr).toBe('grok-run: GROK_OUT_OF_MEMORY: the model needs 318 GB\n');
  });

  it('requests only the embedded model without flags', async () => {
    expect((await invoke(['bench'])).calls).toEqual([{ name: 'benchmark', args: [{}] }]);
  });

  it('requests what the flags name', async () => {
    const words =
      'bench --shape slice --layers 1 --threads 1,2 -d cpu --kv-cache-type int8 --weights packed --memory-limit 1GiB --prefill 16,32 --decode 4 --reps 3 --keep-disturbed';
    expect((await invoke(words.split(' '))).calls).toEqual([
      {
        name: 'benchmark',
        args: [
          {
            shape: 'slice',
            layers: 1,
            threads: [1, 2],
            kvCacheType: 'int8',
            weights: 'packed',
            device: 'cpu',
            memoryLimit: 2 ** 30,
            prefill: [16, 32],
            decode: 4,
            reps: 3,
            keepDisturbed: true,
          },
        ],
      },
    ]);
  });

  it('takes model and threads from before its name, and a shape rather than a model of the environment', async () => {
    const asked = async (...args: string[]) => (await invoke(args)).calls[0]?.args[0];
    expect(await asked('-m', './a', '--threads', '2', 'bench')).toEqual({ source: './a', threads: 2 });
    process.env.GROK_RUN_MODEL = '/env';
    try {
      expect(await asked('bench')).toEqual({ source: '/env' });
      expect(await asked('bench', '--shape', 'tiny')).toEqual({ shape: 'tiny' });
    } finally {
      delete process.env.GROK_RUN_MODEL;
    }
  });

  it('prints rates, what limits them and what other processes did', async () => {
    const { exitCode, stdout, stderr } = await invoke(['bench']);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
    expect(stdout.split('\n')).toEqual([
      'tiny: 10.0M parameters, synthetic weights',
      '10.0 MiB of weights in memory, packed; 4.0 MiB read for a token',
      'Fake CPU, 4 CPU threads, 16.0 GiB; grok-run 1.2.3',
      '',
      'cpu (fake, 2 threads): loaded in 1.50 s, peak memory 64.0 MiB',
      '               tokens/s    min  max  first token          at  share of the limit',
      '  prefill 128       100  90.00  111       1.28 s  4.0 GMAC/s  20 % of s16 x s16   3 disturbed repeats left out',
      '  decode 32       12.35  90.00  111        40 ms    7.0 GB/s  70 % of reading     2 of 3 repeats disturbed',
      '',
      'Limits of this machine (avx2):',
      '  threads  reading, GB/s  f32, GMAC/s  s16 x s16, GMAC/s',
      '        1           10.0         10.0               20.0  disturbed',
      '        2           10.0         10.0               20.0',
      '',
    ]);
  });

  it('prints what a GPU can do without threads, and with copying', async () => {
    const limits = {
      isa: 'Fake GPU',
      threads: 1,
      read: rate(3000),
      copy: rate(2900),
      multiplyAdds: [],
      disturbed: false,
    };
    const runs = BENCH_REPORT.runs.map((run) => ({ ...run, limits, threads: 1 }));
    const library = { benchmark: async () => ({ ...BENCH_REPORT, runs, oneThreadLimits: limits }) };
    expect((await invoke(['bench'], { library })).stdout.split('\n').slice(-4)).toEqual([
      'Limits of this machine (Fake GPU):',
      '  reading, GB/s  copying, GB/s',
      '         3000.0         2900.0',
      '',
    ]);
  });

  it('prints the whole report as one JSON object', async () => {
    expect(JSON.parse((await invoke(['bench', '--json'])).stdout)).toEqual(BENCH_REPORT);
  });

  it('says what it measures on a terminal, unless it is quiet', async () => {
    expect((await invoke(['bench'], { terminals: ['stderr'] })).stderr).toBe('grok-run: loading\n');
    for (const flag of ['--quiet', '--no-progress']) {
      expect((await invoke(['bench', flag], { terminals: ['stderr'] })).stderr).toBe('');
    }
  });
});
