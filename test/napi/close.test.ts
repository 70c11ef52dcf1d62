import { execFile } from 'node:child_process';
import { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import { diagnose } from '../../lib/addon/diagnosis.js';
import type { NativeModel } from '../../lib/addon/types.js';
import { addon, checkpoint, defaults, numThreads, openLoaded, requestFor } from './small_model.js';

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
