import type { Chunk } from '../../../lib/engine/completion.js';
import { Generation } from '../../../lib/engine/generation.js';
import { StepLoop } from '../../../lib/engine/step-loop.js';
import { generationConfigOf } from '../../../lib/options/generation-config.js';
import { resolveGenerateOptions } from '../../../lib/options/resolve.js';
import type { GenerateOptions } from '../../../lib/options/schema.js';
import { Tokenizer } from '../../../lib/text/tokenizer.js';
import { smallModel } from '../text/tokenizer-cases.js';
import { FakeModel, type FakeOptions } from './fake-model.js';

export const eosId = 2;
export const tokenizer = await Tokenizer.load(smallModel);

/** A model that writes `text` after any prompt, and then [EOS]. */
export function writing(text: string, options: FakeOptions = {}) {
  const ids = tokenizer.encode(text);
  return setUp({ ...options, script: (index) => ids[index] ?? eosId });
}

/** Makes generations over a fake model. */
export function setUp(fakeOptions: FakeOptions = {}, withTokenizer = true) {
  const model = new FakeModel(fakeOptions);
  const loop = new StepLoop(model);
  const { vocabSize } = model.inspection.config;
  const generation = generationConfigOf(model.inspection);
  const host = {
    loop,
    tokenizer: withTokenizer ? tokenizer : undefined,
    vocabSize,
    contextSize: model.contextSize,
    generation,
  };
  const generate = (prompt: string | readonly number[], options: GenerateOptions = {}) =>
    new Generation(host, prompt, resolveGenerateOptions(options, { vocabSize, generation }));
  return { model, loop, generate };
}

export async function readAll(generation: Generation): Promise<Chunk[]> {
  const chunks: Chunk[] = [];
  for await (const chunk of generation) chunks.push(chunk);
  return chunks;
}
