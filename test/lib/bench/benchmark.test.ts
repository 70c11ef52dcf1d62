import { afterEach, describe, expect, it, vi } from 'vitest';
import { loadNative } from '../../../lib/addon/loader.js';
import { type BenchReport, benchmark, prefillMacs } from '../../../lib/bench/benchmark.js';
import { resolveBenchOptions } from '../../../lib/options/bench.js';
import { addonIsBuilt, withoutTokenizer } from '../checkpoints.js';

/** A value of any type, as JavaScript may pass it. */
const untyped = (value: unknown) => value as never;

const quick = { shape: 'tiny', threads: 1, prefill: [16], decode: 4, reps: 2, keepDisturbed: true } as const;

describe('misuse of benchmark()', () => {
  it.each([
    ['an unknown option', { shap: 'tiny' }, /Unknown option `shap`/],
    ['a shape beside a source', { shape: 'tiny', source: './a' }, /`shape` to be left out beside `source`/],
    ['layers without a shape', { layers: 2 }, /`layers` to be left out without `shape`/],
    ['an empty shape', { shape: '' }, /`shape`.*config.json/],
    ['made-up weights in a file', { shape: 'tiny', weights: 'mapped' }, /`weights` to be 'packed' beside `shape`/],
    ['no threads', { threads: [] }, /`threads`.*array of numbers/],
    ['a thread number that is none', { threads: [1, 0] }, /`threads\[1\]`.*from 1 to 1024, found 0/],
    ['a hole in a list', { prefill: [undefined] }, /`prefill\[0\]`.*found undefined/],
    ['no repeats', { reps: 0 }, /`reps`.*from 1 to 1000, found 0/],
    ['nothing to decode', { decode: 0 }, /`decode`.*found 0/],
    ['a callback that is none', { onProgress: 1 }, /`onProgress`.*a function/],
  ])('is refused with a sentence: %s', async (_, options, message) => {
    await expect(benchmark(untyped(options))).rejects.toMatchObject({
      code: 'GROK_INVALID_ARGUMENT',
      message: expect.stringMatching(message),
    });
  });

  it('takes the usual sizes when none are given', () => {
    expect(resolveBenchOptions(undefined)).toMatchObject({
      threads: [0],
      prefill: [128, 512],
      prefillIsDefault: true,
      decode: 32,
      reps: 5,
      keepDisturbed: false,
      native: { kvCacheType: 'f32', weights: 'packed' },
    });
    expect(resolveBenchOptions({ kvCacheType: 'int8' }).native.kvCacheType).toBe('int8');
    expect(resolveBenchOptions({ weights: 'mapped' }).native.weights).toBe('mapped');
  });
});

describe('the multiply-adds of a prompt', () => {
  it('are counted from shapes', () => {
    const config = {
      numLayers: 1,
      numQHeads: 2,
      headDim: 4,
      vocabSize: 10,
      dModel: 8,
      numExperts: 4,
      expertsPerToken: 2,
    };
    const tensors = [
      { name: 'language_model/in_out_embed/embeddings', shape: [10, 8] }, // once, as the head
      { name: 'q', shape: [8, 8] },
      { name: 'gate', shape: [4, 8, 16] }, // two of four experts
      { name: 'norm', shape: [8] },
    ];
    // 3 tokens x (64 + 256), 2 x 8 for each of 1 + 2 + 3 positions, 80 for the head
    expect(prefillMacs({ config, tensors } as never, 3)).toBe(3 * 320 + 2 * 8 * 6 + 80);
  });
});

describe.skipIf(!addonIsBuilt())('benchmark()', () => {
  afterEach(() => vi.restoreAllMocks());

  it('says which shapes there are', async () => {
    await expect(benchmark({ shape: 'huge' })).rejects.toMatchObject({
      code: 'GROK_INVALID_ARGUMENT',
      message: expect.stringContaining('tiny, mid, slice, grok1'),
    });
  });

  it('refuses sizes that do not fit the context before anything is loaded', async () => {
    const progress: string[] = [];
    const onProgress = (what: string) => progress.push(what);
    await expect(benchmark({ ...quick, prefill: [16, 512], onProgress })).rejects.toMatchObject({
      code: 'GROK_CONTEXT_OVERFLOW',
      message: expect.stringContaining('513 tokens, and the model has 512'),
    });
    await expect(benchmark({ ...quick, decode: 504, onProgress })).rejects.toMatchObject({
      code: 'GROK_CONTEXT_OVERFLOW',
    });
    expect(progress).toEqual([]);
  });

  it('refuses Grok-1 itself where it does not fit', async () => {
    await expect(benchmark({ shape: 'grok1', memoryLimit: 1e9 })).rejects.toMatchObject({ code: 'GROK_OUT_OF_MEMORY' });
  });

  it('measures a shape, with figures that follow from each other', async () => {
    const report = await benchmark(quick);
    expect(report.model).toMatchObject({ name: 'tiny', isSynthetic: true, parameters: { total: 10_033_408 } });
    expect(report.runs).toHaveLength(1);
    const [run] = report.runs as [BenchReport['runs'][number]];
    expect(run.threads).toBe(1);
    expect(report.oneThreadLimits).toBe(run.limits);
    expect(run.loadMs).toBeGreaterThan(0);
    expect(run.peakMemoryBytes).toBeGreaterThan(report.model.weightBytes);

    const { decode } = run;
    expect(decode).toMatchObject({ promptTokens: 8, tokens: 4 });
    expect(decode.tokensPerSecond.values).toHaveLength(2);
    expect(decode.gigabytesPerSecond).toBeCloseTo(
      (report.model.weightBytesPerToken * decode.tokensPerSecond.median) / 1e9,
      10,
    );
    expect(decode.shareOfBandwidth * run.limits.read.median).toBeCloseTo(decode.gigabytesPerSecond, 10);

    const [prefill] = run.prefill;
    expect(prefill?.tokens).toBe(16);
    const [first] = prefill?.firstTokenMs.values ?? [];
    expect(prefill?.tokensPerSecond.values[0]).toBeCloseTo(16_000 / (first ?? 0), 6);
    expect(run.limits.multiplyAdds[0]?.name).toBe('f32');
    const used = run.limits.multiplyAdds.filter(({ perProduct }) => perProduct > 0);
    expect(used.map(({ name }) => name)).toEqual(Object.keys(prefill?.shareOfPeak ?? {}));
    expect(used).toHaveLength(1);
    for (const { name, median, perProduct } of used)
      expect(((prefill?.shareOfPeak[name] ?? 0) * median) / perProduct).toBeCloseTo(prefill?.gmacsPerSecond ?? 0, 8);
    expect(JSON.parse(JSON.stringify(report))).toEqual(report);
  });

  it('judges a GPU by the bandwidth of its own memory', async () => {
    const addon = loadNative();
    const rate = (median: number) => ({ min: median, median, max: median });
    const probe = { device: 'Fake GPU', bufferBytes: 2 ** 30, read: rate(3000), copy: rate(2900) };
    const open = addon.openSynthetic;
    vi.spyOn(addon, 'probeCuda').mockResolvedValue(probe);
    vi.spyOn(addon, 'openSynthetic').mockImplementation(async (shape, options) => {
      const model = await open(shape, { ...options, device: 'cpu' });
      const { inspection, contextSize, maxSequences } = model;
      return {
        ...{ inspection, contextSize, maxSequences, device: 'cuda (Fake GPU)' },
        loadNext: () => model.loadNext(),
        submit: (request) => model.submit(request),
        setRunnable: (sequences) => model.setRunnable(sequences),
        step: () => model.step(),
        release: (sequence) => model.release(sequence),
        suspend: (sequence: number) => model.suspend(sequence),
        stats: () => model.stats(),
        close: () => model.close(),
      };
    });
    const { runs, oneThreadLimits } = await benchmark({ ...quick, device: 'cuda' });
    const [{ decode, prefill, limits }] = runs as [BenchReport['runs'][number]];
    const { device, ...rates } = probe;
    expect(limits).toEqual({ isa: device, threads: 1, multiplyAdds: [], disturbed: expect.any(Boolean), ...rates });
    expect(oneThreadLimits).toBe(limits);
    expect(decode.shareOfBandwidth).toBeCloseTo(decode.gigabytesPerSecond / 3000, 10);
    expect(prefill[0]?.shareOfPeak).toEqual({});
  });

  it('measures several numbers of threads in turn, and layers of a shape', async () => {
    const { runs, model, oneThreadLimits } = await benchmark({ ...quick, layers: 1, threads: [2, 1], reps: 1 });
    expect(runs.map(({ threads }) => threads)).toEqual([2, 1]);
    expect(model.config.numLayers).toBe(1);
    expect(oneThreadLimits).toBe(runs[1]?.limits);
  });

  it('measures a checkpoint, with the usual sizes as far as they fit', async () => {
    const { runs, model } = await benchmark({ source: withoutTokenizer, threads: 1, reps: 1, keepDisturbed: true });
    expect(model).toMatchObject({ name: expect.stringContaining(withoutTokenizer), isSynthetic: false });
    expect(runs[0]?.prefill).toEqual([]); // its context is 128 tokens, and one must be left
  });

  it('rejects with the reason of an abort, at the start and in the middle of it', async () => {
    const reason = new Error('enough');
    await expect(benchmark({ ...quick, signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    for (const when of ['loading', 'prefill', 'decode', 'limits of']) {
      const controller = new AbortController();
      const onProgress = (what: string) => {
        if (what.startsWith(when)) controller.abort(reason);
      };
      await expect(benchmark({ ...quick, signal: controller.signal, onProgress }), when).rejects.toBe(reason);
    }
  });
});
