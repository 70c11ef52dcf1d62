import type { Tokenizer } from '../lib/index.js';
import { UsageError } from './failure.js';
import type { Host } from './host.js';
import { type ModelFlags, modelOf } from './options.js';

/** The tokenizer that the flags mean, without loading the model it belongs to. */
export async function loadTokenizer(host: Host, flags: ModelFlags): Promise<Tokenizer> {
  const file = flags.tokenizer || (await host.library.inspect(modelOf(flags))).tokenizer;
  if (!file) {
    throw new UsageError(`Expected a tokenizer.model beside ${flags.model}, found none`, 'name one with --tokenizer');
  }
  return await host.library.Tokenizer.load(file);
}
