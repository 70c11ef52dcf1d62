import type { Chunk, Completion, GenerateOptions, Generation, Grok } from '../../lib/index.js';
import { seedOf } from './sampling.js';

/** A part of the answer of choice `index`, or its end. */
export type ChoicePart =
  | { readonly index: number; readonly chunk: Chunk }
  | { readonly index: number; readonly completion: Completion };

/** The ids of each prompt, checked together with the options before any of them starts. */
export async function promptIdsOf(
  grok: Grok,
  prompts: readonly (string | readonly number[])[],
  options: GenerateOptions,
): Promise<readonly (readonly number[])[]> {
  const encoded: (readonly number[])[] = [];
  for (const prompt of prompts) {
    const ids = typeof prompt === 'string' ? await idsOf(grok, prompt, options) : prompt;
    await grok.check(ids, options);
    encoded.push(ids);
  }
  return encoded;
}

async function idsOf(grok: Grok, prompt: string, options: GenerateOptions): Promise<readonly number[]> {
  const { tokenizer } = grok;
  // Refuses a text that cannot fit, before it is encoded.
  if (prompt.length > grok.info.contextSize * tokenizer.longestPiece) await grok.check(prompt, options);
  return await tokenizer.encodeAsync(prompt, { signal: options.signal });
}

/** `n` generations for each prompt, in the order of their choices. They start when they are read. */
export function generationsOf(
  grok: Grok,
  promptIds: readonly (readonly number[])[],
  n: number,
  options: GenerateOptions,
): Generation[] {
  const { seed } = options;
  return promptIds.flatMap((ids) =>
    Array.from({ length: n }, (_, choice) =>
      grok.generate(ids, seed === undefined ? options : { ...options, seed: seedOf(seed, choice) }),
    ),
  );
}

/** Reads several generations at once. Each is read again only after its last part was taken. */
export async function* partsOf(generations: readonly Generation[]): AsyncGenerator<ChoicePart, void> {
  const arrived: { index: number; result: IteratorResult<Chunk, undefined> }[] = [];
  let failure: { error: unknown } | undefined;
  let wake = () => {};
  const iterators = generations.map((generation) => generation[Symbol.asyncIterator]() as AsyncIterator<Chunk>);
  const read = (index: number) => {
    iterators[index]?.next().then(
      (result) => {
        arrived.push({ index, result });
        wake();
      },
      (error: unknown) => {
        failure ??= { error };
        wake();
      },
    );
  };
  for (const index of iterators.keys()) read(index);
  let numOpen = iterators.length;
  while (numOpen > 0) {
    if (failure) throw failure.error;
    const next = arrived.shift();
    if (next === undefined) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
      continue;
    }
    const { index, result } = next;
    if (!result.done) {
      yield { index, chunk: result.value };
      read(index);
      continue;
    }
    numOpen--;
    const generation = generations[index];
    // Read only now: a generation whose result is wanted no longer waits for its reader.
    if (generation) yield { index, completion: await generation.result };
  }
}
