import { types } from 'node:util';
import { Abort, type AbortSignalLike } from '../abort.js';
import { GrokError, invalidArgument } from '../errors.js';
import { nearestName } from './nearest-name.js';
import type { GenerateOptions, TokenIds } from './options.js';

/** One check for each kind of value. Each gives the value back, or refuses it by the name of its option. */

/** Refuses unknown names and containers such as a Map, whose options would silently do nothing. */
export function rejectUnknownOptions<T extends object>(options: T | undefined, known: readonly string[]): T {
  if (options === undefined) return {} as T;
  if (!isPlainObject(options)) throw invalidArgument('options', 'a plain object, which inherits nothing', options);
  for (const key of Reflect.ownKeys(options)) {
    const name = String(key);
    if (key === name && known.includes(name)) continue;
    const meant = nearestName(name, known);
    throw new GrokError(`Unknown option \`${name}\``, {
      code: 'GROK_INVALID_ARGUMENT',
      hint: meant ? `Did you mean \`${meant}\`?` : `The options are ${known.join(', ')}.`,
      details: { name },
    });
  }
  return options;
}

/** An object literal of any realm, or an object without a prototype. Proxies count as what they stand for. */
function isPlainObject(value: unknown): value is object {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || Object.hasOwn(prototype as object, 'isPrototypeOf');
}

/** One or more ids of a prompt. A prompt longer than the context is not looked through: its length is refused later. */
export function tokenIds(
  name: string,
  ids: unknown,
  { vocabSize, contextLength }: { vocabSize: number; contextLength: number },
): readonly number[] {
  requireIdArray(name, ids);
  if (ids.length > contextLength) return ids as readonly number[];
  const checked = idsIn(name, ids, vocabSize);
  if (checked.length === 0) throw emptyPrompt(name);
  return checked;
}

function requireIdArray(name: string, ids: unknown): asserts ids is TokenIds {
  if (Array.isArray(ids) || ids instanceof Int32Array || ids instanceof Uint32Array) return;
  throw invalidArgument(name, name === 'prompt' ? 'a text or an array of token ids' : 'an array of token ids', ids);
}

export function stopTokenIds(value: unknown, vocabSize: number): number[] {
  if (value === undefined) return [];
  requireIdArray('stopTokenIds', value);
  if (value.length > mostStops) throw invalidArgument('stopTokenIds', `at most ${mostStops} token ids`, value);
  return idsIn('stopTokenIds', value, vocabSize);
}

/** Ids of a vocabulary, or none. */
function idsIn(name: string, ids: unknown, vocabSize: number): number[] {
  requireIdArray(name, ids);
  return Array.from<number, number>(ids, (id, index) => {
    if (!Number.isInteger(id) || id < 0 || id >= vocabSize) {
      throw invalidArgument(`${name}[${index}]`, `an integer from 0 to ${vocabSize - 1}, the vocabulary`, id);
    }
    return id;
  });
}

export function emptyPrompt(name: string): GrokError {
  return new GrokError(`Expected \`${name}\` to have at least one token, found none`, {
    code: 'GROK_INVALID_ARGUMENT',
    hint: 'To start from nothing, pass [grok.info.config.bosId].',
    details: { name },
  });
}

// The engine computes in float32: beyond these, numbers become 0 or infinity.
const leastFloat = 1e-38;
const mostFloat = 3.4e38;

export function number(name: string, value: unknown, lowest: number, highest = mostFloat): number | undefined {
  if (value === undefined) return undefined;
  if (typeof value === 'number' && value >= lowest && value <= highest) return value;
  const range = highest === mostFloat ? `≥ ${lowest}, at most ${mostFloat}` : `from ${lowest} to ${highest}`;
  throw invalidArgument(name, `a number ${range}`, value);
}

export function positive(name: string, value: unknown): number | undefined {
  if (value === undefined) return undefined;
  if (typeof value === 'number' && value >= leastFloat && value <= mostFloat) return value;
  throw invalidArgument(name, `a number > 0, from ${leastFloat} to ${mostFloat}`, value);
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

export function callback<T extends (...args: never[]) => unknown>(name: string, value: T | undefined): T | undefined {
  if (value === undefined || typeof value === 'function') return value;
  throw invalidArgument(name, 'a function', value);
}

// Each token is compared with each stop: 256 texts cost some 25 µs.
const mostStops = 256;
const longestStopText = 1024;

export function stopTexts(value: GenerateOptions['stop']): readonly string[] {
  const texts = value === undefined ? [] : typeof value === 'string' ? [value] : value;
  if (!Array.isArray(texts)) throw invalidArgument('stop', 'a text or an array of texts', value);
  if (texts.length > mostStops) throw invalidArgument('stop', `at most ${mostStops} texts`, texts);
  texts.forEach((text, index) => {
    if (typeof text !== 'string' || text === '')
      throw invalidArgument(`stop[${index}]`, 'a text that is not empty', text);
    if (text.length > longestStopText)
      throw invalidArgument(
        `stop[${index}]`,
        `a text of at most ${longestStopText} characters`,
        text,
        `It has ${text.length}.`,
      );
  });
  return [...texts];
}

// A queued request holds 8 bytes for each.
const mostBiases = 8192;

/** Keys are token ids: numbers, or numbers written as texts, as JSON has them. */
export function logitBias(value: GenerateOptions['logitBias'], vocabSize: number): ReadonlyMap<number, number> {
  const biases = new Map<number, number>();
  if (value === undefined) return biases;
  if (!types.isMap(value) && !isPlainObject(value)) {
    throw invalidArgument('logitBias', 'an object or a Map of token ids and numbers', value);
  }
  const entries: Iterable<[string | number, number]> = types.isMap(value) ? value : Object.entries(value);
  for (const [key, bias] of entries) {
    const id = typeof key !== 'string' ? key : /^(0|[1-9]\d*)$/.test(key) ? Number(key) : -1;
    if (!Number.isInteger(id) || id < 0 || id >= vocabSize) {
      throw invalidArgument('logitBias', `keyed by token ids from 0 to ${vocabSize - 1}`, key);
    }
    if (biases.has(id)) throw invalidArgument('logitBias', 'keyed by each token id once', key);
    if (bias !== -Infinity && !(typeof bias === 'number' && Math.abs(bias) <= mostFloat)) {
      throw invalidArgument(`logitBias[${id}]`, `a number from ${-mostFloat} to ${mostFloat}, or -Infinity`, bias);
    }
    biases.set(id, bias);
    if (biases.size > mostBiases) {
      throw invalidArgument(
        'logitBias',
        `for at most ${mostBiases} token ids`,
        value,
        'To allow only a few tokens, raise their biases instead of lowering all others.',
      );
    }
  }
  if (biases.size === vocabSize && [...biases.values()].every((bias) => bias === -Infinity)) {
    throw invalidArgument('logitBias', 'above -Infinity for one token at least', value);
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
