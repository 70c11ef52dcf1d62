import type { GenerateOptions } from '../../lib/index.js';
import {
  fieldOf,
  integerField,
  isEmpty,
  isFalse,
  isOne,
  isZero,
  never,
  objectField,
  refuseUnsupported,
  switchField,
  type Unsupported,
} from '../http/fields.js';
import { HttpError, invalidValue } from '../http/http-error.js';
import type { Body } from '../http/request-body.js';
import type { Limits } from '../options.js';
import { choicesOf, passedOn, samplingOptionsOf } from './sampling.js';

/** The default of OpenAI's completions. */
const defaultMaxTokens = 16;
export const mostTokens = 2 ** 31 - 1;
export const mostTopLogprobs = 20;

/** Fields of `/v1/completions` beside those of sampling. */
export const completionFields = [
  'model',
  'prompt',
  'max_tokens',
  'n',
  'stop',
  'logprobs',
  'echo',
  'stream',
  'stream_options',
  'return_tokens_as_token_ids',
  'user',
] as const;

/** Fields that neither route supports, and their values that ask for nothing. */
export const unsupportedEverywhere: Unsupported = {
  best_of: isOne,
  response_format: (value) => (value as { type?: unknown }).type === 'text',
  tools: isEmpty,
  functions: isEmpty,
  use_beam_search: isFalse,
  min_tokens: isZero,
  prompt_logprobs: never,
  guided_json: never,
  guided_regex: never,
  guided_choice: never,
  guided_grammar: never,
  structured_outputs: never,
  grammar: isEmpty,
  json_schema: never,
  logits_processors: isEmpty,
  bad_words: isEmpty,
  lora: isEmpty,
};

export const unsupportedCompletionFields: Unsupported = {
  ...unsupportedEverywhere,
  suffix: isEmpty,
  prompt_embeds: never,
};

export interface CompletionRequest {
  readonly prompts: readonly (string | readonly number[])[];
  readonly n: number;
  readonly stream: boolean;
  readonly includeUsage: boolean;
  readonly tokensAsIds: boolean;
  readonly options: GenerateOptions;
}

export function completionRequestOf(body: Body, limits: Limits): CompletionRequest {
  refuseUnsupported(body, unsupportedCompletionFields);
  const prompts = promptsOf(fieldOf(body, 'prompt'), limits);
  const maxTokens = integerField(body, 'max_tokens', 0, mostTokens) ?? defaultMaxTokens;
  const logprobs = integerField(body, 'logprobs', 0, mostTopLogprobs);
  const stream = switchField(body, 'stream');
  return {
    prompts,
    n: choicesOf(body, prompts.length, limits),
    stream,
    includeUsage: includeUsageOf(body, stream),
    tokensAsIds: switchField(body, 'return_tokens_as_token_ids'),
    options: {
      ...samplingOptionsOf(body, limits),
      maxTokens,
      echo: switchField(body, 'echo'),
      ...(logprobs !== undefined && { logprobs }),
    },
  };
}

export function includeUsageOf(body: Body, stream: boolean): boolean {
  const options = objectField(body, 'stream_options');
  if (options === undefined) return false;
  if (!stream) {
    throw new HttpError('invalid_value', 'Expected `stream_options` only beside `stream`: true.', {
      param: 'stream_options',
    });
  }
  return switchField(options, 'include_usage');
}

const promptExpectation = 'a text, an array of token ids, or an array of these';

/** One prompt or several, each a text or token ids. */
function promptsOf(value: unknown, { maxPrompts }: Limits): readonly (string | readonly number[])[] {
  if (typeof value === 'string') return [value];
  if (!Array.isArray(value) || value.length === 0) throw invalidValue('prompt', promptExpectation, value);
  if (typeof value[0] === 'number') return [value as number[]];
  if (value.length > maxPrompts) throw invalidValue('prompt', `at most ${maxPrompts} prompts`, value);
  for (const prompt of value) {
    if (typeof prompt !== 'string' && !Array.isArray(prompt)) throw invalidValue('prompt', promptExpectation, prompt);
  }
  return value as (string | number[])[];
}

/** Counts fields that have no meaning here. They are ignored, as OpenAI's servers do. */
export function numUnknownFields(body: Body, known: readonly string[], unsupported: Unsupported): number {
  return Object.keys(body).filter(
    (name) => !known.includes(name) && !Object.hasOwn(passedOn, name) && !Object.hasOwn(unsupported, name),
  ).length;
}
