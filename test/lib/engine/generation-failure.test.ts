import { describe, expect, it } from 'vitest';
import { readAll, setUp } from './fake-generations.js';

const unhandled: unknown[] = [];
process.on('unhandledRejection', (error) => unhandled.push(error));

describe('a generation that cannot be', () => {
  it('is refused before any work when prompt and maxTokens exceed the context', async () => {
    const { model, generate } = setUp({ contextSize: 16 });
    const overflow = expect.objectContaining({ code: 'GROK_CONTEXT_OVERFLOW' });
    await expect(generate([300, 301], { maxTokens: 15 }).result).rejects.toEqual(overflow);
    await expect(generate(new Array<number>(16).fill(300)).result).rejects.toEqual(overflow);
    await expect(readAll(generate(new Array<number>(17).fill(300)))).rejects.toEqual(overflow);
    await expect(generate('fox '.repeat(500)).result).rejects.toEqual(overflow);
    expect(model.requests).toEqual([]);
  });

  it('is refused when the prompt has no tokens', async () => {
    const { generate } = setUp();
    await expect(generate('').result).rejects.toMatchObject({ code: 'GROK_INVALID_ARGUMENT' });
  });

  it('rejects with the reason of a signal that had aborted before', async () => {
    const { model, generate } = setUp();
    const reason = { mine: true };
    const generation = generate([300], { signal: AbortSignal.abort(reason) });
    await expect(readAll(generation)).rejects.toBe(reason);
    await expect(generation.result).rejects.toBe(reason);
    expect(model.requests).toEqual([]);
  });

  it('fails with the error of its step, iterator and result alike', async () => {
    const { model, generate } = setUp();
    model.failNextStep = Object.assign(new Error('disk'), { code: 'GROK_IO' });
    const generation = generate([300]);
    await expect(readAll(generation)).rejects.toMatchObject({ code: 'GROK_IO' });
    await expect(generation.result).rejects.toMatchObject({ code: 'GROK_IO' });
  });

  it('never becomes an unhandled rejection when nobody reads the result', async () => {
    const { model, loop, generate } = setUp();
    model.failNextStep = new Error('once');
    await expect(readAll(generate([300]))).rejects.toThrow('once');
    await expect(readAll(generate([300], { signal: AbortSignal.abort() }))).rejects.toThrow();
    const running = generate([300]);
    await running[Symbol.asyncIterator]().next();
    loop.close();
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(unhandled).toEqual([]);
  });
});
