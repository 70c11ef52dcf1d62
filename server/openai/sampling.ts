import type { GenerateOptions } from '../../lib/index.js';
import { fieldOf, integerField } from '../http/fields.js';
import { HttpError, invalidValue } from '../http/http-error.js';
import type { Body } from '../http/request-body.js';
import type { Limits } from '../options.js';

/** Fields that an option of the library takes as they are. The library checks them. */
export const passedOn = {
  temperature: 'temperature',
  top_p: 'topP',
  top_k: 'topK',
  min_p: 'minP',
  repetition_penalty: 'repetitionPenalty',
  presence_penalty: 'presencePenalty',
  frequency_penalty: 'frequencyPenalty',
  logit_bias: 'logitBias',
  stop_token_ids: 'stopTokenIds',
  ignore_eos: 'ignoreEos',
  seed: 'seed',
} as const satisfies Record<string, keyof GenerateOptions>;

/** The options of a generation that completions and chats share. */
export function samplingOptionsOf(body: Body, limits: Limits): GenerateOptions {
  const given = Object.entries(passedOn).flatMap(([field, option]) => {
    const value = fieldOf(body, field);
    if (value === undefined) return [];
    return [[option, field === 'top_k' && value === -1 ? 0 : value]]; // -1 is off for vLLM's clients
  });
  integerField(body, 'seed', 0, Number.MAX_SAFE_INTEGER); // the seeds of choices are computed from it
  const stop = stopsOf(body, limits);
  return { ...Object.fromEntries(given), ...(stop.length > 0 && { stop }) };
}

function stopsOf(body: Body, { maxStops, maxStopBytes }: Limits): readonly string[] {
  const value = fieldOf(body, 'stop') ?? [];
  const stops: readonly unknown[] = Array.isArray(value) ? value : [value];
  if (stops.length > maxStops) throw invalidValue('stop', `at most ${maxStops} texts`, value);
  return stops.map((stop) => {
    if (typeof stop === 'string' && stop !== '' && Buffer.byteLength(stop) <= maxStopBytes) return stop;
    throw invalidValue('stop', `texts of 1 to ${maxStopBytes} bytes`, stop);
  });
}

/** The number of choices for each prompt. */
export function choicesOf(body: Body, numPrompts: number, limits: Limits): number {
  const n = integerField(body, 'n', 1, limits.maxN) ?? 1;
  if (n * numPrompts <= limits.maxChoices) return n;
  throw new HttpError(
    'invalid_value',
    `Expected at most ${limits.maxChoices} choices in a request, found ${numPrompts} prompts with ${n} each.`,
    { param: 'n' },
  );
}

const goldenRatio = 0x9e3779b97f4a7c15n;

/** The seed of choice `index` of a prompt. The first has the request's own seed. */
export function seedOf(seed: number, index: number): number {
  return Number((BigInt(seed) + BigInt(index) * goldenRatio) % 2n ** 53n);
}
