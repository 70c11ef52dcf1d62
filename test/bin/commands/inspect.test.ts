import { describe, expect, it } from 'vitest';
import { grokError, INSPECTION, invoke, PLAN } from '../fake-host.js';

describe('grok-run inspect', () => {
  it('refuses two paths', async () => {
    const { exitCode, stderr } = await invoke(['inspect', './a', '-m', './b']);
    expect(exitCode).toBe(2);
    expect(stderr).toContain('Expected a path or --model, found both');
  });

  it('passes on what is wrong with a checkpoint', async () => {
    const inspect = () => Promise.reject(grokError('GROK_BAD_CHECKPOINT', 'tensor00003_000 is 12 bytes short'));
    const { exitCode, stdout, stderr } = await invoke(['inspect', './a'], { library: { inspect } });
    expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: '' });
    expect(stderr).toBe('grok-run: GROK_BAD_CHECKPOINT: tensor00003_000 is 12 bytes short\n');
  });

  it('says by how much a model does not fit', async () => {
    const memory = { ...INSPECTION.memory, available: 8 * 2 ** 20 };
    const { exitCode, stdout } = await invoke(['inspect'], {
      library: { inspect: async () => ({ ...INSPECTION, memory }) },
    });
    expect(exitCode).toBe(0);
    expect(stdout).toContain('it does not fit: 10.0 MiB are missing');
  });

  it('says what a GPU would need on a machine without one', async () => {
    const memory = { ...INSPECTION.memory, reserve: 2 ** 29, total: 530 * 2 ** 20, available: null };
    const { exitCode, stdout } = await invoke(['inspect', '-d', 'cuda'], {
      library: { inspect: async () => ({ ...INSPECTION, memory, device: 'cuda' }) },
    });
    expect(exitCode).toBe(0);
    expect(stdout).toContain('Memory to run it on a GPU');
    expect(stdout).toMatch(/to stay free +512\.0 MiB/);
    expect(stdout).toMatch(/available +no GPU here\n +it needs a GPU with 530\.0 MiB free/);
  });

  it('says so when the system does not tell', async () => {
    const memory = { ...INSPECTION.memory, available: null };
    const { stdout } = await invoke(['inspect'], { library: { inspect: async () => ({ ...INSPECTION, memory }) } });
    expect(stdout).toContain('Memory to run it here');
    expect(stdout).toMatch(/available +unknown\n +it needs 18\.0 MiB free/);
  });

  it('plans for a model that is not downloaded yet', async () => {
    const library = { inspect: async () => ({ ...INSPECTION, isPlan: true }) };
    const { stdout, calls } = await invoke(['inspect', 'grok-1', '-c', '64'], { library });
    expect(calls).toEqual([{ name: 'plan', args: ['grok-1', { contextSize: 64, maxSequences: 1 }] }]);
    expect(stdout).not.toContain('tokenizer');
    const plan = stdout.slice(stdout.indexOf('\nPlan\n')).split('\n').slice(2, -1);
    expect(plan.map((line) => line.trim())).toEqual([
      'weights  cache     needs  here              tokens/s at most',
      'packed   f32    18.0 MiB  10.0 MiB missing                 -',
      'mapped   int8    3.0 MiB  fits                          0.12',
      'memory: reads 10 GB/s, measured now; with enough of it, at most 23 tokens/s',
      'disk of /data: 1.0 MiB free, 14.0 MiB too little for the files',
      'loading: at least 1 min 30 s at 1.5 GB/s, measured now with a temporary file',
    ]);
    const json = await invoke(['inspect', 'grok-1', '--json'], { library });
    expect(JSON.parse(json.stdout)).toMatchObject({ isPlan: true, plan: { disk: PLAN.disk } });
  });

  it('says whether there is a manifest, and whether names and sizes match it', async () => {
    const shown = async (manifest: object | null) =>
      (await invoke(['inspect'], { library: { inspect: async () => ({ ...INSPECTION, manifest }) } })).stdout;
    expect(await shown(null)).toContain('none: create one from files that you trust with grok-run verify --write');
    expect(await shown({ path: '/m/SHA256SUMS', problems: [] })).toContain('/m/SHA256SUMS, names and sizes match');
    expect(await shown({ path: '/m/SHA256SUMS', problems: ['a: missing', 'b: missing', 'c: missing'] })).toContain(
      '/m/SHA256SUMS does not match: a: missing, and 2 more',
    );
  });

  it('requests the memory that the flags name', async () => {
    const { calls } = await invoke([
      'inspect',
      './a',
      '-c',
      '128',
      '--memory-limit',
      '1GiB',
      '--threads',
      '2',
      '-d',
      'cpu',
    ]);
    expect(calls).toEqual([
      {
        name: 'inspect',
        args: ['./a', { contextSize: 128, memoryLimit: 2 ** 30, threads: 2, device: 'cpu', maxSequences: 1 }],
      },
    ]);
  });

  it('shows checkpoint, configuration, tensors and memory', async () => {
    const { stdout } = await invoke(['inspect', './a']);
    expect(stdout).toContain('parameters     11.7M, 4.6M used per token');
    expect(stdout).toContain('num_kv_heads  2');
    expect(stdout).toMatch(/temperature +0\.6\n +eos_ids +2,7\n/);
    expect(stdout).toMatch(/weights, packed +16\.0 MiB/);
    expect(stdout).toMatch(/key-value cache, f32 +1\.0 MiB/);
    expect(stdout).toMatch(/needed +18\.0 MiB/);
    expect(stdout).toContain('it fits');
    expect(stdout).not.toContain('\u001b');
  });

  it('says of mapped weights that they stay in the files, and whether memory holds them', async () => {
    const shown = async (available: number) => {
      const memory = { ...INSPECTION.memory, weights: 2 ** 20, weightStorage: 'mapped', total: 3 * 2 ** 20, available };
      return (await invoke(['inspect'], { library: { inspect: async () => ({ ...INSPECTION, memory }) } })).stdout;
    };
    const ample = await shown(2 ** 30);
    expect(ample).toMatch(/weights, mapped +1\.0 MiB/);
    expect(ample).toContain('stay in the files, 15.0 MiB: the system keeps them in memory');
    expect(await shown(4 * 2 ** 20)).toContain('read from disk repeatedly');
  });

  it('counts tensors that differ in their layer alone, and lists each with --tensors', async () => {
    const row = 'i8  8 x 256 x 512';
    expect((await invoke(['inspect'])).stdout).toContain(
      `2  transformer/decoder_layer_*/moe/linear/w  ${row}  2.0 MiB`,
    );
    const { stdout } = await invoke(['inspect', '--tensors']);
    for (const layer of [0, 1]) expect(stdout).toContain(`1  transformer/decoder_layer_${layer}/moe/linear/w  ${row}`);
  });

  it('prints everything as one JSON object', async () => {
    expect(JSON.parse((await invoke(['inspect', '--json'])).stdout)).toEqual(INSPECTION);
  });

  it('has colours on a terminal, unless they are turned off', async () => {
    expect((await invoke(['inspect'], { terminals: ['stdout'] })).stdout).toContain('\u001b[32mit fits');
    expect((await invoke(['inspect'], { env: { FORCE_COLOR: '1' } })).stdout).toContain('\u001b[');
    expect((await invoke(['inspect', '--no-color'], { terminals: ['stdout'] })).stdout).not.toContain('\u001b');
    expect((await invoke(['inspect'], { terminals: ['stdout'], env: { NO_COLOR: '1' } })).stdout).not.toContain(
      '\u001b',
    );
  });
});
