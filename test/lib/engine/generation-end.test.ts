import { describe, expect, it } from 'vitest';
import { readAll, setUp, tokenizer } from './fake-generations.js';
import { turn, until } from './fake-model.js';

describe('ending early', () => {
  it('takes effect at once on abort, within a step', async () => {
    const { model, generate } = setUp();
    const controller = new AbortController();
    const reason = new Error('enough');
    const generation = generate([300], { maxTokens: 500, signal: controller.signal });
    const iterator = generation[Symbol.asyncIterator]();
    await iterator.next();
    model.hold(); // the step in flight never ends
    await turn();
    await turn();
    controller.abort(reason);
    await expect(generation.result).rejects.toBe(reason);
    await expect(iterator.next()).rejects.toBe(reason);
    expect(model.numSequences).toBe(0);
  });

  it('takes effect while a prompt is encoded', async () => {
    const { model, generate } = setUp({ contextSize: 100_000 });
    const controller = new AbortController();
    const generation = generate('a fox. '.repeat(5000), { signal: controller.signal });
    const { result } = generation;
    await turn();
    controller.abort('no more');
    await expect(result).rejects.toBe('no more');
    expect(model.requests).toEqual([]);
  });

  it('listens once to a signal that 100 generations share, and leaves no listener', async () => {
    const { generate } = setUp({ maxSequences: 100 });
    const { signal } = new AbortController();
    const warnings: Error[] = [];
    process.on('warning', (warning) => warnings.push(warning));
    let listeners = 0;
    let most = 0;
    const add = signal.addEventListener.bind(signal);
    const remove = signal.removeEventListener.bind(signal);
    signal.addEventListener = (...args: Parameters<typeof add>) => {
      most = Math.max(most, ++listeners);
      add(...args);
    };
    signal.removeEventListener = (...args: Parameters<typeof remove>) => {
      listeners--;
      remove(...args);
    };
    await Promise.all(Array.from({ length: 100 }, () => generate([300], { maxTokens: 2, signal }).result));
    expect({ listeners, most, warnings }).toEqual({ listeners: 0, most: 1, warnings: [] });
  });

  it('fails a generation whose signal cannot be listened to, and no other', async () => {
    const { generate } = setUp();
    const signal = {
      aborted: false,
      addEventListener() {
        throw new Error('deaf');
      },
      removeEventListener() {},
    };
    const other = generate([300], { maxTokens: 3 }).result;
    await expect(generate([300], { signal }).result).rejects.toThrow('deaf');
    expect((await other).tokenIds).toHaveLength(3);
  });

  it('ends quietly on break, and the result has what there is', async () => {
    const { model, generate } = setUp();
    const generation = generate([300], { maxTokens: 500 });
    let read = 0;
    for await (const _ of generation) if (++read === 5) break;
    const completion = await generation.result;
    expect(completion.finishReason).toBe('abort');
    expect(completion.tokenIds.length).toBeGreaterThanOrEqual(5);
    expect(completion.usage.completionTokens).toBe(completion.tokenIds.length);
    expect(completion.text).toBe(tokenizer.decode([300, ...completion.tokenIds]).slice(tokenizer.decode([300]).length));
    await turn();
    expect(model.numSequences).toBe(0);
  });

  it('ends quietly on cancel, before it started, while it waits and twice', async () => {
    const { model, generate } = setUp();
    const early = generate([300]);
    early.cancel();
    early.cancel();
    expect(await early.result).toMatchObject({ text: '', tokenIds: [], finishReason: 'abort' });
    expect(await readAll(early)).toEqual([]);
    expect(model.requests).toEqual([]);

    const submitting = generate([300], { maxTokens: 500 });
    const iterator = submitting[Symbol.asyncIterator]();
    const next = iterator.next();
    submitting.cancel();
    expect(await next).toEqual({ done: true, value: undefined });
    await until(() => model.released.length === 1 || model.requests.length === 0);
    await turn();
    await turn();
    expect(model.numSequences).toBe(0);
  });

  it('does nothing once it has ended', async () => {
    const { generate } = setUp();
    const generation = generate([300], { maxTokens: 2 });
    const completion = await generation.result;
    generation.cancel();
    expect(await generation.result).toBe(completion);
    expect(completion.finishReason).toBe('length');
  });

  it('ends with GROK_CLOSED when the model is closed', async () => {
    const { loop, generate } = setUp();
    const generation = generate([300], { maxTokens: 500 });
    const iterator = generation[Symbol.asyncIterator]();
    await iterator.next();
    loop.close();
    await expect(iterator.next()).rejects.toMatchObject({ code: 'GROK_CLOSED' });
    await expect(generation.result).rejects.toMatchObject({ code: 'GROK_CLOSED' });
  });
});
