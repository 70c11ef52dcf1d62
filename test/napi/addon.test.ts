import { execFile } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import { diagnose } from '../../lib/addon/diagnosis.js';
import { loadNative } from '../../lib/addon/loader.js';
import type { NativeModel, NativeOpenOptions, NativeRequest } from '../../lib/addon/types.js';
import { neutralSampling } from '../../lib/options/schema.js';

const addon = loadNative();
const checkpoint = 'test/fixtures/golden/ref-small';
const defaults: NativeOpenOptions = {
  device: 'auto',
  threads: 1,
  isa: '',
  contextSize: 0,
  maxSequences: 0,
  prefillChunk: 0,
  kvCacheType: 'f32',
  weights: 'packed',
  memoryLimit: 0,
};

const requestFor = (prompt: number[], changes: Partial<NativeRequest> = {}): NativeRequest => ({
  prompt: Int32Array.from(prompt),
  maxTokens: 4,
  promptOutputs: 'none',
  ...neutralSampling,
  numLogprobs: 0,
  biasTokens: new Int32Array(),
  biasValues: new Float32Array(),
  seed: 0,
  stopTokens: new Int32Array(),
  ...changes,
});

async function openLoaded(changes: Partial<NativeOpenOptions> = {}): Promise<NativeModel> {
  const model = await addon.open(checkpoint, { ...defaults, ...changes });
  while (!(await model.loadNext()).done);
  return model;
}

function stepOf(model: NativeModel, ...sequences: number[]) {
  model.setRunnable(Float64Array.from(sequences));
  return model.step();
}

const numThreads = () => Number(/Threads:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]);

/** A value of any type, as JavaScript may pass it. */
const untyped = (value: unknown) => value as never;

describe('misuse', () => {
  it('is a TypeError that names the argument', async () => {
    const model = await addon.open(checkpoint, defaults);
    const misuses: [RegExp, () => unknown][] = [
      [/`path`.*a string, found 5/, () => addon.open(untyped(5), defaults)],
      [/`options`.*an object, found undefined/, () => addon.inspect(checkpoint, untyped(undefined))],
      [/`threads`.*32-bit integer, found 1.5/, () => addon.open(checkpoint, { ...defaults, threads: 1.5 })],
      [
        /`threads`.*32-bit integer, found 4294967297/,
        () => addon.open(checkpoint, { ...defaults, threads: 2 ** 32 + 1 }),
      ],
      [/`memoryLimit`.*2\^53.*, found -1/, () => addon.open(checkpoint, { ...defaults, memoryLimit: -1 })],
      [/`request`.*an object/, () => model.submit(untyped(null))],
      [/`prompt`.*an Int32Array, found 1,2/, () => model.submit({ ...requestFor([]), prompt: untyped([1, 2]) })],
      [/`seed`.*2\^53.*, found NaN/, () => model.submit(requestFor([1], { seed: Number.NaN }))],
      [/`topP`.*a number, found 1/, () => model.submit(requestFor([1], { topP: untyped('1') }))],
      [/`promptOutputs`.*'logits', found all/, () => model.submit(requestFor([1], { promptOutputs: untyped('all') }))],
      [/`biasValues`.*as long as/, () => model.submit(requestFor([1], { biasTokens: Int32Array.of(1) }))],
      [/`sequences`.*a Float64Array/, () => model.setRunnable(untyped([1]))],
      [/`sequence`.*2\^53/, () => model.release(untyped(undefined))],
    ];
    for (const [message, misuse] of misuses) {
      expect(misuse, String(message)).toThrow(TypeError);
      expect(misuse).toThrow(message);
    }
    await model.close();
  });

  it('rejects with a code and a hint where the engine finds it', async () => {
    await expect(addon.open('nowhere', defaults)).rejects.toMatchObject({
      code: 'GROK_NOT_FOUND',
      message: expect.stringContaining('nowhere'),
      hint: expect.stringMatching(/./),
    });
    await expect(addon.open(checkpoint, { ...defaults, memoryLimit: 1_000_000 })).rejects.toMatchObject({
      code: 'GROK_OUT_OF_MEMORY',
    });
    await expect(addon.inspect(checkpoint, { ...defaults, contextSize: 129 })).rejects.toMatchObject({
      code: 'GROK_INVALID_ARGUMENT',
    });
    const model = await openLoaded();
    await expect(model.submit(requestFor([512]))).rejects.toMatchObject({ code: 'GROK_INVALID_ARGUMENT' });
    await expect(model.submit(requestFor([1], { maxTokens: 128 }))).rejects.toMatchObject({
      code: 'GROK_CONTEXT_OVERFLOW',
    });
    await model.close();
  });

  it('finds its methods usable without their object', async () => {
    const { submit, setRunnable, step, close } = await openLoaded();
    setRunnable.call(untyped('no model'), Float64Array.of(await submit(requestFor([1, 2]))));
    expect(await step.call(untyped('no model'))).toHaveLength(1);
    await close();
  });
});

describe('close', () => {
  it('rejects what waits and what comes later, and may be called again', async () => {
    const model = await openLoaded();
    const sequence = await model.submit(requestFor([1, 2], { maxTokens: 100 }));
    // Far more than the engine can take before close() reaches it.
    model.setRunnable(Float64Array.of(sequence));
    const steps = Array.from({ length: 90 }, () => model.step().then(String, (error) => error.code));
    const closing = model.close();
    expect(await Promise.all([closing, model.close()])).toEqual([undefined, undefined]);
    expect((await Promise.all(steps)).at(-1)).toBe('GROK_CLOSED');
    for (const late of [
      () => model.step(),
      () => model.submit(requestFor([1])),
      () => model.release(sequence),
      () => model.loadNext(),
    ])
      await expect(late()).rejects.toMatchObject({ code: 'GROK_CLOSED' });
  });

  it('leaves what the model says of itself readable', async () => {
    const model = await openLoaded();
    await model.close();
    expect(model.inspection.config.vocabSize).toBe(512);
    expect(model.device).toContain('cpu');
    expect(model.inspection.whyCpu).not.toBe('');
  });

  it('ends every thread, while loading as well as after', async () => {
    await (await openLoaded({ threads: 2 })).close();
    const before = numThreads();
    const kept: NativeModel[] = [];
    for (let round = 0; round < 10; ++round) {
      const loading = await addon.open(checkpoint, { ...defaults, threads: 2 });
      const progress = loading.loadNext().catch((error) => error);
      kept.push(loading, await openLoaded({ threads: 2 }));
      await Promise.all([...kept.slice(-2).map((model) => model.close()), progress]);
    }
    await expect.poll(numThreads).toBeLessThanOrEqual(before);
  });
});

describe('the end of a process or a worker', () => {
  // Endless steps; the first message says that they have begun.
  const program = `
    const { workerData, parentPort } = require('node:worker_threads');
    const { binary, checkpoint, options, request } = workerData ?? JSON.parse(process.argv[1]);
    const addon = require(binary);
    const typed = { ...request, prompt: Int32Array.from({ length: 100 }, (_, i) => i), maxTokens: 20,
      biasTokens: new Int32Array(), biasValues: new Float32Array(), stopTokens: new Int32Array() };
    (async () => {
      const model = await addon.open(checkpoint, options);
      while (!(await model.loadNext()).done);
      parentPort?.postMessage('stepping');
      if (!parentPort && process.argv[2] === 'exit') setTimeout(() => process.exit(7), 20);
      if (!parentPort && process.argv[2] === 'throw') setTimeout(() => { throw new Error('on purpose'); }, 20);
      do {
        const sequence = Float64Array.of(await model.submit(typed));
        model.setRunnable(sequence);
        while ((await model.step())[0].finish === 'no');
      } while (process.argv[2] !== 'once');
    })();`;
  const setup = {
    binary: diagnose().binary,
    checkpoint,
    options: { ...defaults, threads: 2 },
    request: requestFor([]),
  };
  const run = (mode: string) =>
    new Promise<unknown>((resolve) => {
      execFile(process.execPath, ['-e', program, JSON.stringify(setup), mode], { timeout: 30_000 }, (error) =>
        resolve(error ? (error.code ?? error.signal) : 0),
      );
    });

  it('keeps the exit code when process.exit() meets a step', async () => {
    for (let round = 0; round < 5; ++round) expect(await run('exit')).toBe(7);
  });

  it('keeps the exit code of an uncaught error', async () => {
    expect(await run('throw')).toBe(1);
  });

  it('comes by itself when nothing is left to do, with a model still open', async () => {
    expect(await run('once')).toBe(0);
  });

  it('stops the steps of terminated workers and ends their threads', async () => {
    const before = numThreads();
    for (let round = 0; round < 5; ++round) {
      const workers = [1, 2].map(() => new Worker(program, { eval: true, workerData: setup }));
      await Promise.all(workers.map((worker) => new Promise((resolve) => worker.once('message', resolve))));
      await new Promise((resolve) => setTimeout(resolve, round * 5));
      await Promise.all(workers.map((worker) => worker.terminate()));
    }
    await expect.poll(numThreads).toBeLessThanOrEqual(before);
  });
});

describe('a synthetic model', () => {
  it('is a model like any other', async () => {
    const model = await addon.openSynthetic({ name: 'tiny', layers: 1 }, defaults);
    expect(model.inspection).toMatchObject({ path: 'synthetic', format: 'synthetic (seed 1)', tokenizer: '' });
    expect(model.inspection.config.numLayers).toBe(1);
    while (!(await model.loadNext()).done);
    const sequence = await model.submit(requestFor([1, 2], { maxTokens: 1 }));
    const [output] = await stepOf(model, sequence);
    expect(output).toMatchObject({ promptTokensDone: 2, finish: 'length' });
    await model.close();
  });

  it('names the argument that is wrong', () => {
    const misuses: [RegExp, () => unknown][] = [
      [/`shape`.*an object, found 5/, () => addon.openSynthetic(untyped(5), defaults)],
      [/`name`.*a string/, () => addon.openSynthetic(untyped({ layers: 0 }), defaults)],
      [/`layers`.*32-bit integer/, () => addon.openSynthetic({ name: 'tiny', layers: 0.5 }, defaults)],
    ];
    for (const [message, misuse] of misuses) expect(misuse).toThrow(message);
  });
});

describe('the probe', () => {
  it('refuses what makes no sense', async () => {
    expect(() => addon.probe(untyped('1'), '')).toThrow(/`threads`.*32-bit integer/);
    expect(() => addon.probe(1, untyped(undefined))).toThrow(/`isa`.*a string/);
    await expect(addon.probe(-1, '')).rejects.toMatchObject({ code: 'GROK_INVALID_ARGUMENT' });
    await expect(addon.probe(1, 'mmx')).rejects.toMatchObject({
      code: 'GROK_INVALID_ARGUMENT',
      message: expect.stringContaining('portable'),
    });
  });

  it('says of a GPU why there is none', async () => {
    const why = addon.cudaUnavailable();
    if (why === '') return console.log('SKIPPED: there is a CUDA device');
    await expect(addon.probeCuda()).rejects.toMatchObject({ code: 'GROK_CUDA_UNAVAILABLE', message: why });
  });

  it('does not hold up the event loop, and ends with the worker that wanted it', async () => {
    let turns = 0;
    const timer = setInterval(() => turns++, 10);
    const startedAt = performance.now();
    const { threads, multiplyAdds, read } = await addon.probe(1, '');
    const fullMs = performance.now() - startedAt;
    clearInterval(timer);
    expect(threads).toBe(1);
    expect(read.median).toBeGreaterThan(0);
    expect(multiplyAdds[0]?.name).toBe('f32');
    expect(turns).toBeGreaterThan(5);

    const program = `
      const { parentPort, workerData } = require('node:worker_threads');
      require(workerData).probe(1, '').catch(() => {});
      parentPort.postMessage('probing');`;
    const worker = new Worker(program, { eval: true, workerData: diagnose().binary });
    await new Promise((resolve) => worker.once('message', resolve));
    const terminatedAt = performance.now();
    await worker.terminate();
    expect(performance.now() - terminatedAt).toBeLessThan(fullMs / 2);
  });
});

describe('the addon', () => {
  it('exports what lib/addon/types.ts declares, and nothing else', () => {
    expect(Object.keys(addon).sort()).toEqual([
      'cpuIsas',
      'cpuThreads',
      'cudaUnavailable',
      'errorCodes',
      'inspect',
      'open',
      'openSynthetic',
      'probe',
      'probeCuda',
      'probeDisk',
      'readTokenizer',
    ]);
  });

  it('lists the codes that its errors carry', () => {
    expect(addon.errorCodes()).toContain('GROK_CLOSED');
    expect(addon.cpuIsas().at(-1)).toBe('portable');
  });

  it('inspects what it opens', async () => {
    const inspection = await addon.inspect(checkpoint, defaults);
    const model = await addon.open(checkpoint, defaults);
    expect({ ...model.inspection, memory: undefined }).toEqual({ ...inspection, memory: undefined });
    expect(inspection).toMatchObject({
      format: 'ckpt-0 (38 files)',
      configFrom: 'config.json',
      config: { vocabSize: 512, numLayers: 3, eosId: 2 },
      generation: { eosIds: [] },
      numParameters: 1_288_512,
    });
    const { weights, kvCache, workspace, reserve, total } = inspection.memory;
    expect(total).toBe(weights + kvCache + workspace + reserve);
    await model.close();
  });

  it('plans for a GPU whether there is one or not, where the build has the backend for it', async (context) => {
    const { cudaUnavailable } = diagnose();
    if (cudaUnavailable === 'this build has no CUDA backend') {
      await expect(addon.inspect(checkpoint, { ...defaults, device: 'cuda' })).rejects.toMatchObject({
        code: 'GROK_CUDA_UNAVAILABLE',
      });
      context.skip('SKIPPED: this build has no CUDA backend');
      return;
    }
    const { memory } = await addon.inspect(checkpoint, { ...defaults, device: 'cuda' });
    expect(memory.reserve).toBeGreaterThan(0);
    expect(memory.total).toBe(memory.weights + memory.kvCache + memory.workspace + memory.reserve);
    if (cudaUnavailable) expect(memory.available).toBeNull();
    else expect(memory.available).toBeGreaterThan(0);
    // The plan for a GPU of that size.
    const limited = await addon.inspect(checkpoint, { ...defaults, device: 'cuda', memoryLimit: 1_000_000 });
    expect(limited.memory).toEqual({ ...memory, available: 1_000_000 });
    await expect(addon.inspect(checkpoint, { ...defaults, device: 'cuda', weights: 'mapped' })).rejects.toMatchObject({
      code: 'GROK_INVALID_ARGUMENT',
    });
  });

  it('refuses what does not fit with the numbers and the nearest that would', async () => {
    const sized = { ...defaults, maxSequences: 1, contextSize: 128, prefillChunk: 64 };
    const { memory } = await addon.inspect(checkpoint, sized);
    const open = addon.open(checkpoint, { ...sized, memoryLimit: memory.total - 1 });
    await expect(open).rejects.toMatchObject({
      code: 'GROK_OUT_OF_MEMORY',
      message: expect.stringMatching(
        /^the model needs \d.* of memory \(weights .*, workspace .*, cache for one sequence/,
      ),
      fits: expect.arrayContaining([{ kvCacheType: 'bf16' }, { contextSize: 64 }, { memoryLimit: memory.total }]),
      neededBytes: memory.total,
      availableBytes: memory.total - 1,
      memory: 'memory',
      hint: '',
    });
    for (const change of [{ kvCacheType: 'bf16' }, { contextSize: 64 }] as const) {
      const model = await addon.open(checkpoint, { ...sized, ...change, memoryLimit: memory.total - 1 });
      await model.close();
    }
    const synthetic = addon.openSynthetic({ name: 'mid', layers: 6 }, { ...defaults, memoryLimit: 1_500_000_000 });
    await expect(synthetic).rejects.toMatchObject({
      code: 'GROK_OUT_OF_MEMORY',
      fits: expect.arrayContaining([{ layers: expect.any(Number) }]),
    });
  });

  it('counts the key-value cache in the requested type, and refuses any other', async () => {
    const cacheOf = async (kvCacheType: NativeOpenOptions['kvCacheType']) => {
      const { memory } = await addon.inspect(checkpoint, { ...defaults, kvCacheType });
      expect(memory.kvCacheType).toBe(kvCacheType);
      return memory.kvCache;
    };
    const f32 = await cacheOf('f32');
    expect(await cacheOf('bf16')).toBe(f32 / 2);
    // Heads of 8 lie in vectors of 16; each int8 one has a scale of 4 bytes beside its 16.
    expect(await cacheOf('int8')).toBe((f32 / 64) * 20);
    await expect(addon.open(checkpoint, { ...defaults, kvCacheType: untyped('fp8') })).rejects.toMatchObject({
      code: 'GROK_INVALID_ARGUMENT',
      message: 'expected kv_cache_type to be "f32", "bf16" or "int8", found "fp8"',
    });
  });

  it('generates with every type of key-value cache', async () => {
    const logitsOf = async (kvCacheType: NativeOpenOptions['kvCacheType']) => {
      const model = await openLoaded({ kvCacheType });
      const sequence = await model.submit(requestFor([1, 2, 3, 4, 5], { maxTokens: 0, promptOutputs: 'logits' }));
      const [output] = await stepOf(model, sequence);
      await model.close();
      return Array.from(output?.logits ?? []);
    };
    const f32 = await logitsOf('f32');
    const most = Math.max(...f32.map(Math.abs));
    for (const kvCacheType of ['bf16', 'int8'] as const) {
      const found = await logitsOf(kvCacheType);
      const furthest = Math.max(...f32.map((logit, index) => Math.abs(logit - (found[index] ?? Number.NaN))));
      expect(furthest).toBeGreaterThan(0); // otherwise the type was not used
      expect(furthest).toBeLessThan(0.03 * most);
    }
  });

  it('counts, for mapped weights, the bytes kept in memory and the bytes read for a token', async () => {
    const packed = await addon.inspect(checkpoint, defaults);
    const mapped = await addon.inspect(checkpoint, { ...defaults, weights: 'mapped' });
    expect(packed.memory.weightStorage).toBe('packed');
    expect(mapped.memory.weightStorage).toBe('mapped');
    expect(mapped.memory.weights).toBeLessThan(packed.memory.weights / 2);
    expect(mapped.weightBytesPerToken).toBeGreaterThan(packed.weightBytesPerToken * 0.9);
    expect(mapped.weightBytesPerToken).toBeLessThan(packed.weightBytesPerToken * 1.1);
    await expect(addon.open(checkpoint, { ...defaults, weights: untyped('paged') })).rejects.toMatchObject({
      code: 'GROK_INVALID_ARGUMENT',
      message: 'expected weights to be "packed" or "mapped", found "paged"',
    });
  });

  it('opens with mapped weights what does not fit packed, and says so', async () => {
    const alone = { ...defaults, maxSequences: 1 };
    const { memory } = await addon.inspect(checkpoint, { ...alone, weights: 'mapped' });
    const memoryLimit = memory.total;
    await expect(addon.open(checkpoint, { ...alone, memoryLimit })).rejects.toMatchObject({
      code: 'GROK_OUT_OF_MEMORY',
    });
    const model = await openLoaded({ maxSequences: 1, memoryLimit, weights: 'mapped' });
    await model.submit(requestFor([1, 2, 3]));
    expect(await stepOf(model, 1)).toHaveLength(1);
    await model.close();
  });

  it('refuses to map synthetic weights', async () => {
    await expect(
      addon.openSynthetic({ name: 'tiny', layers: 1 }, { ...defaults, weights: 'mapped' }),
    ).rejects.toMatchObject({
      code: 'GROK_INVALID_ARGUMENT',
      message: 'expected weights to be "packed": synthetic weights have no file to map',
    });
  });

  it('fails the sequences of a step whose mapped files shrink, and goes on once they are back', async () => {
    const directory = mkdtempSync(path.join(tmpdir(), 'grok-run-'));
    cpSync(checkpoint, directory, { recursive: true });
    const tensors = path.join(directory, 'ckpt-0');
    const files = readdirSync(tensors).map((name) => path.join(tensors, name));
    const contents = files.map((file) => readFileSync(file));
    for (const threads of [1, 3]) {
      const model = await addon.open(directory, { ...defaults, threads, maxSequences: 1, weights: 'mapped' });
      while (!(await model.loadNext()).done);
      const submit = () => model.submit(requestFor([1, 2, 3, 4, 5], { maxTokens: 1 }));
      const next = async () => {
        const sequence = await submit();
        return (await stepOf(model, sequence))[0]?.token?.token;
      };
      const expected = await next();
      expect(expected).toBeTypeOf('number');

      for (const file of files) truncateSync(file, 0);
      for (let attempt = 0; attempt < 3; attempt++) {
        await expect(next()).rejects.toMatchObject({
          code: 'GROK_IO',
          message: expect.stringMatching(/tensor\d+_000: could not read .* found 0 now/),
        });
      }
      const [running, waiting] = [await submit(), await submit()];
      await expect(stepOf(model, running, waiting)).rejects.toMatchObject({ sequences: Float64Array.of(running) });
      files.forEach((file, index) => {
        writeFileSync(file, contents[index] ?? '');
      });
      expect((await stepOf(model, running, waiting)).map(({ sequence }) => sequence)).toEqual([waiting]);
      expect(await next()).toBe(expected);
      await model.close();
    }
    rmSync(directory, { recursive: true });
  });

  it('reports loading tensor by tensor, up to all bytes', async () => {
    const model = await addon.open(checkpoint, defaults);
    const tensors: string[] = [];
    for (let done = false; !done; ) {
      const progress = await model.loadNext();
      tensors.push(progress.tensor);
      done = progress.done;
      expect(progress.loadedBytes === progress.totalBytes).toBe(done);
    }
    expect(tensors).toEqual(model.inspection.tensors.map((tensor) => tensor.name));
    await model.close();
  });

  it('hands over logits, log-probabilities and tokens of one sequence and the same numbers in company', async () => {
    const model = await openLoaded({ prefillChunk: 3 });
    const scored = await model.submit(requestFor([1, 5, 7, 9], { promptOutputs: 'logprobs', numLogprobs: 2 }));
    const whole = await model.submit(requestFor([1, 5, 7, 9], { promptOutputs: 'logits', maxTokens: 0 }));
    const rows: Float32Array[] = [];
    const prompt: { token: number; logprob: number }[] = [];
    const finished = new Map<number, string>();
    while (finished.size < 2)
      for (const output of await stepOf(model, scored, whole)) {
        if (output.finish !== 'no') finished.set(output.sequence, output.finish);
        if (output.logits) rows.push(output.logits);
        prompt.push(...output.prompt);
        if (output.token) expect(output.token.topTokens).toHaveLength(2);
        if (output.sequence === scored && output.token) expect(output.token.token).toBe(output.token.topTokens[0]);
      }
    expect(finished.get(whole)).toBe('length');
    const logits = Float32Array.from(rows.flatMap((part) => [...part]));
    expect(logits).toHaveLength(4 * 512);
    expect(prompt.map(({ token }) => token)).toEqual([5, 7, 9]);
    prompt.forEach(({ token, logprob }, position) => {
      const row = logits.subarray(position * 512, (position + 1) * 512);
      const sum = row.reduce((total, value) => total + Math.exp(value), 0);
      expect(logprob).toBeCloseTo((row[token] ?? Number.NaN) - Math.log(sum), 4); // single precision of values near 20
    });
    await model.close();
  });

  it('runs in a step the sequences that are runnable when it begins, not when it was called', async () => {
    const model = await openLoaded();
    const [first, second] = [await model.submit(requestFor([1, 2])), await model.submit(requestFor([3, 4]))];
    const [running, waiting] = [stepOf(model, first), model.step()];
    model.setRunnable(Float64Array.of(second));
    const last = model.step();
    expect((await running).length).toBe(1);
    const [meanwhile] = await waiting;
    expect([first, second]).toContain(meanwhile?.sequence); // it may have begun before the change
    expect(await last).toMatchObject([{ sequence: second }]);
    model.setRunnable(new Float64Array());
    expect(await model.step()).toEqual([]);
    await model.close();
  });

  it('ends a step early when its only sequence is released, and goes on with others', async () => {
    const model = await openLoaded();
    const dropped = await model.submit(requestFor([1, 2, 3]));
    const kept = await model.submit(requestFor([1, 2, 3]));
    const step = stepOf(model, dropped);
    await model.release(dropped);
    expect((await step).length).toBeLessThanOrEqual(1); // it may have finished first
    expect(await stepOf(model, dropped)).toEqual([]);
    expect(await stepOf(model, dropped, kept)).toMatchObject([{ sequence: kept, promptTokensDone: 3 }]);
    await model.close();
  });
});
