import { Abort, type AbortSignalLike } from './abort.js';
import { GrokError, invalidArgument } from './errors.js';
import { nearestName } from './nearest-name.js';
import type { GenerateOptions } from './options.js';

/** One check for each kind of value. Each gives the value back, or refuses it by the name of its option. */

/** A misspelt option would otherwise be one that silently does nothing. */
export function rejectUnknownOptions<T extends object>(options: T | undefined, known: readonly string[]): T {
  if (options === undefined) return {} as T;
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw invalidArgument('options', 'an object', options);
  }
  for (const name of Object.keys(options)) {
    if (known.includes(name)) continue;
    const meant = nearestName(name, known);
    throw new GrokError(`Unknown option \`${name}\``, {
      code: 'GROK_INVALID_ARGUMENT',
      hint: meant ? `Did you mean \`${meant}\`?` : `The options are ${known.join(', ')}.`,
      details: { name },
    });
  }
  return options;
}

/** Ids of a prompt, checked. */
export function tokenIds(name: string, ids: unknown, vocabSize: number): number[] {
  if (!Array.isArray(ids) && !(ids instanceof Int32Array) && !(ids instanceof Uint32Array)) {
    throw invalidArgument(name, name === 'prompt' ? 'a text or an array of token ids' : 'an array of token ids', ids);
  }
  if (ids.length === 0) throw emptyPrompt(name);
  return Array.from<number, number>(ids, (id, index) => {
    if (!Number.isInteger(id) || id < 0 || id >= vocabSize) {
      throw invalidArgument(`${name}[${index}]`, `an integer from 0 to ${vocabSize - 1}, the vocabulary`, id);
    }
    return id;
  });
}

export function emptyPrompt(name: string): GrokError {
  return invalidArgument(name, 'at least one token', 'none', 'To start from nothing, pass [grok.info.config.bosId].');
}

export function number(name: string, value: unknown, lowest: number, highest?: number): number | undefined {
  if (value === undefined) return undefined;
  const inRange =
    typeof value === 'number' && Number.isFinite(value) && value >= lowest && value <= (highest ?? Infinity);
  if (inRange) return value;
  const range = highest === undefined ? `≥ ${lowest}` : `from ${lowest} to ${highest}`;
  throw invalidArgument(name, `a number ${range}`, value);
}

export function positive(name: string, value: unknown): number | undefined {
  if (value === undefined) return undefined;
  if (typeof value === 'number' && Number.isFinite(value) && value > 0) return value;
  throw invalidArgument(name, 'a number > 0', value);
}

export function integer(name: string, value: unknown, lowest: number, highest: number): number | undefined {
  if (value === undefined) return undefined;
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= lowest && value <= highest) return value;
  throw invalidArgument(name, `an integer from ${lowest} to ${highest}`, value);
}

export function integers(
  name: string,
  values: unknown,
  lowest: number,
  highest: number,
): readonly number[] | undefined {
  if (values === undefined) return undefined;
  if (!Array.isArray(values) || values.length === 0) throw invalidArgument(name, 'an array of numbers', values);
  return values.map((value, index) => integer(`${name}[${index}]`, value ?? null, lowest, highest) ?? lowest);
}

export function boolean(name: string, value: unknown): boolean | undefined {
  if (value === undefined || typeof value === 'boolean') return value;
  throw invalidArgument(name, 'true or false', value);
}

export function stopTexts(value: GenerateOptions['stop']): readonly string[] {
  const texts = value === undefined ? [] : typeof value === 'string' ? [value] : value;
  if (!Array.isArray(texts)) throw invalidArgument('stop', 'a text or an array of texts', value);
  texts.forEach((text, index) => {
    if (typeof text !== 'string' || text === '')
      throw invalidArgument(`stop[${index}]`, 'a text that is not empty', text);
  });
  return [...texts];
}

export function logitBias(value: GenerateOptions['logitBias'], vocabSize: number): ReadonlyMap<number, number> {
  const biases = new Map<number, number>();
  if (value === undefined) return biases;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw invalidArgument('logitBias', 'an object of token ids and numbers', value);
  }
  for (const [key, bias] of Object.entries(value)) {
    const id = /^\d+$/.test(key) ? Number(key) : -1;
    if (id < 0 || id >= vocabSize) {
      throw invalidArgument('logitBias', `an object with token ids from 0 to ${vocabSize - 1}`, key);
    }
    if (typeof bias !== 'number' || !Number.isFinite(bias)) throw invalidArgument(`logitBias[${id}]`, 'a number', bias);
    biases.set(id, bias);
  }
  return biases;
}

const signalMembers = { aborted: 'boolean', addEventListener: 'function', removeEventListener: 'function' } as const;

/** Any object that behaves like one: signals may come from another realm. */
export function abortSignal(value: unknown): Abort | undefined {
  if (value === undefined) return undefined;
  if (typeof value !== 'object' || value === null) throw invalidArgument('signal', 'an AbortSignal', value);
  for (const [name, type] of Object.entries(signalMembers)) {
    const member = (value as Record<string, unknown>)[name];
    if (typeof member !== type)
      throw invalidArgument('signal', `an AbortSignal, whose \`${name}\` is a ${type}`, value);
  }
  return Abort.of(value as AbortSignalLike);
}
