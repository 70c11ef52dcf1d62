import { describe, expect, it } from 'vitest';
import type { Generation } from '../../../lib/engine/generation.js';
import { readAll, setUp } from './fake-generations.js';
import { turn, until } from './fake-model.js';

describe('a reader that falls behind', () => {
  it('holds its generation up, and no other', async () => {
    const { model, generate } = setUp();
    const slow = generate([300], { maxTokens: 700 });
    const iterator = slow[Symbol.asyncIterator]();
    await iterator.next();
    const other = await generate([301], { maxTokens: 600 }).result;
    expect(other.tokenIds.length).toBe(600);
    const steps = model.steps.length;
    for (let count = 0; count < 10; count++) await turn();
    expect(model.steps.length).toBe(steps);
    const ofSlow = model.steps.filter((ids) => ids.includes(1)).length;
    expect(ofSlow).toBeGreaterThan(200);
    expect(ofSlow).toBeLessThan(300);

    let read = 1;
    while (!(await iterator.next()).done) read++;
    expect(read).toBe(700);
  });

  it('does not hold up a generation whose result was read', async () => {
    const { generate } = setUp();
    const generation = generate([300], { maxTokens: 700 });
    const iterator = generation[Symbol.asyncIterator]();
    await iterator.next();
    expect((await generation.result).tokenIds.length).toBe(700);
    let left = 0;
    while (!(await iterator.next()).done) left++;
    expect(left).toBe(699);
  });
});

describe('the iterator', () => {
  it('is for one reader: a second is refused, though the first has left', async () => {
    const { generate } = setUp();
    const generation = generate([300], { maxTokens: 500 });
    for await (const _ of generation) break;
    const refusal = { code: 'GROK_ALREADY_READ', hint: expect.stringContaining('`result`') };
    await expect(readAll(generation)).rejects.toMatchObject(refusal);
    expect(() => generation[Symbol.asyncIterator]()).toThrow(expect.objectContaining(refusal));
    expect((await generation.result).finishReason).toBe('abort');
  });

  it('answers calls of next in their order, though none was awaited', async () => {
    const { generate } = setUp();
    const iterator = generate([300], { maxTokens: 3 })[Symbol.asyncIterator]();
    const results = await Promise.all(Array.from({ length: 5 }, () => iterator.next()));
    expect(results.map(({ value }) => value?.tokenIds)).toEqual([[300], [301], [302], undefined, undefined]);
    expect(results.map(({ done }) => done)).toEqual([false, false, false, true, true]);
  });

  it('ends its generation by return and by throw, as a generator does', async () => {
    const { model, generate } = setUp();
    const returned = generate([300], { maxTokens: 500 });
    const first = returned[Symbol.asyncIterator]();
    await first.next();
    expect(await first.return?.('last' as never)).toEqual({ done: true, value: 'last' });
    expect(await first.next()).toEqual({ done: true, value: undefined });

    const thrown = generate([300], { maxTokens: 500 });
    const second = thrown[Symbol.asyncIterator]();
    const pending = second.next();
    const mine = new Error('mine');
    await expect(second.throw?.(mine)).rejects.toBe(mine);
    expect(await pending).toEqual({ done: true, value: undefined });
    for (const generation of [returned, thrown]) expect((await generation.result).finishReason).toBe('abort');
    await until(() => model.numSequences === 0);
  });

  it('may be read as a ReadableStream, whose cancel ends the generation', async () => {
    const { generate } = setUp();
    const whole = ReadableStream.from(generate([300], { maxTokens: 3 }));
    expect(await readAll(whole as never)).toHaveLength(3);
    const generation = generate([300], { maxTokens: 500 });
    const reader = ReadableStream.from(generation).getReader();
    await reader.read();
    await reader.cancel('enough');
    expect((await generation.result).finishReason).toBe('abort');
  });

  it('leaves the engine at the end of an `await using`, failed or not', async () => {
    const { model, generate } = setUp();
    let left: Generation | undefined;
    {
      await using generation = generate([300], { maxTokens: 500 });
      left = generation;
      await generation[Symbol.asyncIterator]().next();
    }
    expect((await left.result).finishReason).toBe('abort');
    {
      await using failed = generate([300], { signal: AbortSignal.abort('no') });
      await expect(failed.result).rejects.toBe('no');
    }
    await until(() => model.numSequences === 0);
  });
});
