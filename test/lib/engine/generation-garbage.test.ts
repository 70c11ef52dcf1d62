import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import type { Chunk } from '../../../lib/engine/completion.js';
import type { GenerateOptions } from '../../../lib/options/schema.js';
import { setUp } from './fake-generations.js';
import { turn, until } from './fake-model.js';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** Makes generations that run one at a time. */
function setUpOne() {
  const { model, generate } = setUp({ maxSequences: 1, contextSize: 4096 }, false);
  return { model, generate: (options: GenerateOptions = {}) => generate([300], { maxTokens: 700, ...options }) };
}

/** Finalizers run in turns of their own. */
async function collect(): Promise<void> {
  for (let count = 0; count < 10; count++) {
    collectGarbage();
    await turn();
  }
}

function makeError(this: unknown): Error {
  return new Error('the client left');
}

describe('a generation whose object is garbage', () => {
  it('leaves the engine, so that the next one runs', async () => {
    const { model, generate } = setUpOne();
    await generate()[Symbol.asyncIterator]().next();
    await collect();
    expect(model.numSequences).toBe(0);
    expect((await generate().result).tokenIds).toHaveLength(700);
  });

  it('leaves the engine though a signal that lives on could abort it', async () => {
    const { model, generate } = setUpOne();
    const { signal } = new AbortController();
    await generate({ signal })[Symbol.asyncIterator]().next();
    await collect();
    expect(model.numSequences).toBe(0);
    expect(signal.aborted).toBe(false);
  });

  it('is collected though the reason of its abort refers to it', async () => {
    const { generate } = setUpOne();
    const abortOne = async () => {
      const controller = new AbortController();
      const generation = generate({ signal: controller.signal });
      const iterator = generation[Symbol.asyncIterator]();
      await iterator.next();
      // Until its stack is read, an error refers to the objects of the calls that made it.
      const reason = makeError.call(generation);
      controller.abort(reason);
      const failure = await iterator.next().catch((error: unknown) => error);
      if (failure !== reason) throw failure;
      return new WeakRef(generation);
    };
    const aborted = await abortOne();
    await collect();
    expect(aborted.deref()).toBeUndefined();
  });

  it('runs to its end when its result was read', async () => {
    const { generate } = setUpOne();
    const { result } = generate();
    await turn();
    await collect();
    expect(await result).toMatchObject({ finishReason: 'length' });
  });

  it('goes on while its iterator is held, and while a read waits', async () => {
    const { model, generate } = setUpOne();
    const iterator = generate()[Symbol.asyncIterator]();
    await iterator.next();
    await collect();
    expect(model.numSequences).toBe(1);

    const open = model.hold();
    const read = generate()[Symbol.asyncIterator]().next();
    await collect();
    await iterator.return?.();
    open();
    let chunk: IteratorResult<Chunk, undefined> | undefined;
    void read.then((answer) => {
      chunk = answer;
    });
    await until(() => chunk !== undefined);
    expect(chunk).toMatchObject({ done: false, value: { tokenIds: [300] } });
  });
});
