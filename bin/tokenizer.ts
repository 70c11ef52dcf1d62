import type { Tokenizer } from '../lib/index.js';
import { UsageError } from './failure.js';
import type { Host } from './host.js';
import { type ModelFlags, modelOf } from './options.js';

/** The tokenizer that the flags select, without loading its model. */
export async function loadTokenizer(host: Host, flags: ModelFlags): Promise<Tokenizer> {
  return await host.library.Tokenizer.load(flags.tokenizer || (await tokenizerBesideModel(host, flags)));
}

async function tokenizerBesideModel(host: Host, flags: ModelFlags): Promise<string> {
  const { path, tokenizer } = await host.library.inspect(modelOf(flags));
  if (tokenizer !== '') return tokenizer;
  throw new UsageError(`Expected a tokenizer.model beside ${path}, found none`, 'name one with --tokenizer');
}
