import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import type { Chunk } from '../../../lib/engine/completion.js';
import { Generation } from '../../../lib/engine/generation.js';
import { StepLoop } from '../../../lib/engine/step-loop.js';
import { generationConfigOf } from '../../../lib/options/generation-config.js';
import { resolveGenerateOptions } from '../../../lib/options/resolve.js';
import { FakeModel, turn, until } from './fake-model.js';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

function set() {
  const model = new FakeModel({ maxSequences: 1 });
  const loop = new StepLoop(model);
  const generation = generationConfigOf(model.inspection);
  const host = { loop, tokenizer: undefined, vocabSize: 4096, contextSize: 4096, generation };
  const generate = (options: { signal?: AbortSignal } = {}) =>
    new Generation(host, [300], resolveGenerateOptions({ maxTokens: 700, ...options }, { vocabSize: 4096 }));
  return { model, generate };
}

/** Finalizers run in turns of their own. */
async function collect(): Promise<void> {
  for (let count = 0; count < 10; count++) {
    collectGarbage();
    await turn();
  }
}

describe('a generation whose object is garbage', () => {
  it('leaves the engine, so that the next one runs', async () => {
    const { model, generate } = set();
    await generate()[Symbol.asyncIterator]().next();
    await collect();
    expect(model.numSequences).toBe(0);
    expect((await generate().result).tokenIds).toHaveLength(700);
  });

  it('leaves the engine though a signal that lives on could abort it', async () => {
    const { model, generate } = set();
    const { signal } = new AbortController();
    await generate({ signal })[Symbol.asyncIterator]().next();
    await collect();
    expect(model.numSequences).toBe(0);
    expect(signal.aborted).toBe(false);
  });

  it('runs to its end when its result was read', async () => {
    const { generate } = set();
    const { result } = generate();
    await turn();
    await collect();
    expect(await result).toMatchObject({ finishReason: 'length' });
  });

  it('goes on while its iterator is held, and while a read waits', async () => {
    const { model, generate } = set();
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
