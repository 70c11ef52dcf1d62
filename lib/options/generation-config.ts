import type { NativeInspection } from '../addon/types.js';
import { defaults } from './schema.js';

/** Defaults of generation for one model: those of its generation_config.json, otherwise those of the library. */
export interface GenerationConfig {
  /** As far as the context has room. */
  readonly maxTokens: number;
  readonly temperature: number;
  readonly topP: number;
  readonly topK: number;
  readonly minP: number;
  readonly repetitionPenalty: number;
  /** Tokens that end a text. */
  readonly eosIds: readonly number[];
}

/** The defaults of an opened model. */
export function generationConfigOf({ config, generation }: NativeInspection): GenerationConfig {
  const { eosIds, ...given } = generation;
  const { maxTokens, temperature, topP, topK, minP, repetitionPenalty } = { ...defaults.generate, ...given };
  return {
    maxTokens,
    temperature,
    topP,
    topK,
    minP,
    repetitionPenalty,
    eosIds: eosIds.length > 0 ? eosIds : [config.eosId],
  };
}
