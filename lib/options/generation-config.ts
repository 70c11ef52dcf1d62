import type { NativeInspection } from '../addon/types.js';
import { defaultsOf } from './option.js';
import { defaults, type Sampling, samplingOptions } from './schema.js';

/** Defaults of generation for one model: those of its generation_config.json, otherwise those of the library. */
export interface GenerationConfig extends Readonly<Sampling> {
  /** As far as the context has room. */
  readonly maxTokens: number;
  /** Tokens that end a text. */
  readonly eosIds: readonly number[];
}

/** The defaults of an opened model. */
export function generationConfigOf({ config, generation }: NativeInspection): GenerationConfig {
  const { eosIds, ...given } = generation;
  return {
    maxTokens: defaults.generate.maxTokens,
    ...defaultsOf(samplingOptions),
    ...given,
    eosIds: eosIds.length > 0 ? eosIds : [config.eosId],
  };
}
