import { types } from 'node:util';
import { Abort, type AbortSignalLike } from '../abort.js';
import { GrokError, invalidArgument } from '../errors.js';
import { nearestName } from './nearest-name.js';

/** Token ids: an array, or a typed array of integers. */
export type TokenIds = readonly number[] | Int32Array | Uint32Array;

/** Added to the logits of token ids. */
export type LogitBias = Readonly<Record<number, number>> | ReadonlyMap<number, number>;

// One check for each kind of value. Each returns the value, or throws an error with the name of its option.

/** Refuses unknown names and containers such as a Map, whose options would silently have no effect. */
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

/** An object literal of any realm, or an object without a prototype. A Proxy counts as its target. */
function isPlainObject(value: unknown): value is object {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || Object.hasOwn(prototype as object, 'isPrototypeOf');
}

/**
 * One or more ids of a prompt. The ids of a prompt longer than the context are not checked: its length is refused
 * later.
 */
export function tokenIds(
  name: string,
  ids: unknown,
  { vocabSize, contextSize }: { vocabSize: number; contextSize: number },
): readonly number[] {
  requireIdArray(name, ids);
  if (ids.length > contextSize) return ids as readonly number[];
  const checked = idsIn(name, ids, vocabSize);
  if (checked.length === 0) throw emptyPrompt(name);
  return checked;
}

function requireIdArray(name: string, ids: unknown): asserts ids is TokenIds {
  if (Array.isArray(ids) || ids instanceof Int32Array || ids instanceof Uint32Array) return;
  throw invalidArgument(name, name === 'prompt' ? 'a text or an array of token ids' : 'an array of token ids', ids);
}

export function stopTokenIds(value: unknown, vocabSize: number): readonly number[] {
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

export function boolean(name: string, value: unknown): boolean {
  if (typeof value === 'boolean') return value;
  throw invalidArgument(name, 'true or false', value);
}

// Each token is compared with each stop text: 256 texts take some 25 µs.
const mostStops = 256;
const longestStopText = 1024;

export function stopTexts(value: unknown): readonly string[] {
  const texts = typeof value === 'string' ? [value] : value;
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

/** The engine computes in float32: a larger number becomes infinity. */
export const mostFloat = 3.4e38;

// A queued request holds 8 bytes for each.
const mostBiases = 8192;

/** Keys are token ids: numbers, or numbers written as text, as in JSON. */
export function logitBias(value: unknown, vocabSize: number): ReadonlyMap<number, number> {
  const biases = new Map<number, number>();
  if (!types.isMap(value) && !isPlainObject(value)) {
    throw invalidArgument('logitBias', 'an object or a Map of token ids and numbers', value);
  }
  const entries = (types.isMap(value) ? value : Object.entries(value)) as Iterable<[string | number, number]>;
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

/** Any object with the members of an AbortSignal: signals may come from another realm. */
export function abortSignal(value: unknown): Abort {
  if (typeof value !== 'object' || value === null) throw invalidArgument('signal', 'an AbortSignal', value);
  for (const [name, type] of Object.entries(signalMembers)) {
    const member = (value as Record<string, unknown>)[name];
    if (typeof member !== type)
      throw invalidArgument('signal', `an AbortSignal, whose \`${name}\` is a ${type}`, value);
  }
  return Abort.of(value as AbortSignalLike);
}
