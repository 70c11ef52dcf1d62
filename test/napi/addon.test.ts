import { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import { diagnose } from '../../lib/addon/diagnosis.js';
import { addon, checkpoint, defaults, openLoaded, requestFor, stepOf, untyped } from './small_model.js';

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
});
