import type { Abort, AbortSignalLike } from '../abort.js';
import type { KvCacheType, NativeLoadProgress, NativeOpenOptions, WeightStorage } from '../addon/types.js';
import type { Grok } from '../engine/grok.js';
import { invalidArgument } from '../errors.js';
import {
  abortSignal,
  boolean,
  callback,
  integer,
  logitBias,
  number,
  positive,
  rejectUnknownOptions,
  stopTexts,
  stopTokenIds,
} from './checks.js';
import type { GenerationConfig } from './generation-config.js';

/** Token ids: an array, or a typed array of integers. */
export type TokenIds = readonly number[] | Int32Array | Uint32Array;

/** How much has been loaded. */
export interface LoadProgress {
  /** Bytes of the checkpoint's files read so far. */
  readonly loadedBytes: number;
  readonly totalBytes: number;
  /** The tensor just loaded. */
  readonly tensor: string;
}

export interface LoadOptions {
  /**
   * Where to run. `'auto'` is a GPU where there is one that a model of 1 GiB or more fits; otherwise `info.whyCpu` says why
   * not. Default: `'auto'`.
   */
  device?: 'auto' | 'cpu' | 'cuda' | undefined;
  /** CPU threads, 1 to 1024. Default: as many as the process may use. */
  threads?: number | undefined;
  /** Tokens a prompt and its continuation may have together, 1 to what the model was made for. Default: that. */
  contextSize?: number | undefined;
  /** Generations that run at once, 1 to 1024; more wait their turn. Default: 4. */
  maxSequences?: number | undefined;
  /**
   * Requests that may wait beside the `maxSequences` that run, 0 to 1048576. One more is refused with GROK_BUSY.
   * Default: 1024.
   */
  maxQueue?: number | undefined;
  /**
   * Milliseconds that a reader may pause while other requests wait for the place of its generation, which then fails with
   * GROK_READ_TIMEOUT. A reader pauses when 256 chunks are unread. 0 and Infinity are off. Default: 60000.
   */
  readTimeout?: number | undefined;
  /** Prompt tokens that one step takes at most, 1 to 65536. Default: 512. */
  prefillChunk?: number | undefined;
  /**
   * How keys and values of earlier tokens are held. `'bf16'` takes half the memory of `'f32'` and `'int8'` about a
   * quarter; both move the logits by some thousandths. Default: `'f32'`.
   */
  kvCacheType?: KvCacheType | undefined;
  /**
   * Where the weights are. `'packed'` copies them into memory, in the order that is fastest to compute from. `'mapped'`
   * leaves them in the checkpoint's files: loads at once and runs what is larger than memory, and generates slower.
   * Both give the same numbers. Default: `'packed'`.
   */
  weights?: WeightStorage | undefined;
  /** Bytes of memory to stay within; a model that needs more is refused before it is read. Default: what is free. */
  memoryLimit?: number | undefined;
  /** Path of a tokenizer.model. Default: the one beside the checkpoint. */
  tokenizer?: string | undefined;
  /** Aborts loading; `load` then rejects with the signal's reason. */
  signal?: AbortSignalLike | undefined;
  /**
   * Called once headers and tokenizer are read, before any weight is. An error that it throws ends the load. Call
   * {@link Grok.check} here, so that a bad request costs no reading of weights.
   */
  onOpened?: ((opened: OpenedModel) => void | Promise<void>) | undefined;
  /** Called after each tensor. */
  onProgress?: ((progress: LoadProgress) => void) | undefined;
}

/** A model whose weights are not there yet. */
export type OpenedModel = Pick<Grok, 'info' | 'tokenizer' | 'check'>;

/** Options of {@link inspect}: those of loading that memory depends on. */
export type InspectOptions = Omit<LoadOptions, 'maxQueue' | 'readTimeout' | 'signal' | 'onOpened' | 'onProgress'>;

export interface GenerateOptions {
  /** Tokens to generate at most, from 0. Default: 256, or fewer when the context has no room for them. */
  maxTokens?: number | undefined;
  /** Divides the logits, from 0. 0 takes the likeliest token each time. Default: 0.7. */
  temperature?: number | undefined;
  /** Draws from the likeliest tokens that together make up this probability, 0 to 1. 1 is off. Default: 0.9. */
  topP?: number | undefined;
  /** Draws from this many of the likeliest tokens. 0 is off. Default: 0. */
  topK?: number | undefined;
  /** Drops tokens less likely than this share of the likeliest one, 0 to 1. 0 is off. Default: 0. */
  minP?: number | undefined;
  /** Makes tokens seen before, prompt included, less likely above 1 and likelier below, above 0. 1 is off. Default: 1. */
  repetitionPenalty?: number | undefined;
  /** Subtracted once from the logit of each token generated before, -2 to 2. Default: 0. */
  presencePenalty?: number | undefined;
  /** Subtracted from a token's logit for each time it was generated, -2 to 2. Default: 0. */
  frequencyPenalty?: number | undefined;
  /** Added to the logits of these token ids, 8192 at most; -Infinity bans a token. Default: none. */
  logitBias?: Readonly<Record<number, number>> | ReadonlyMap<number, number> | undefined;
  /** Same seed, prompt, options, device and build: same tokens. An integer, 0 to 2^53 - 1. Default: random. */
  seed?: number | undefined;
  /** Ends before the first of these texts: 256 at most, of 1024 characters at most. Default: none. */
  stop?: string | readonly string[] | undefined;
  /** Ends at the first of these tokens, 256 at most, which is neither in the text nor in tokenIds. Default: [EOS] alone. */
  stopTokenIds?: TokenIds | undefined;
  /** Reports the log-probability of each token and of this many of the likeliest, 0 to 20. Default: not at all. */
  logprobs?: number | undefined;
  /** Gives the prompt first, as the beginning of text, tokenIds and logprobs. Default: false. */
  echo?: boolean | undefined;
  /** Goes on after the [EOS] token, unless `stopTokenIds` has it. Default: false. */
  ignoreEos?: boolean | undefined;
  /** Aborts: iterator and `result` reject with the signal's reason. */
  signal?: AbortSignalLike | undefined;
}

export interface ScoreOptions {
  /** Reports this many of the likeliest tokens at each place, 0 to 20. Default: 0. */
  logprobs?: number | undefined;
  signal?: AbortSignalLike | undefined;
}

export interface LogitsOptions {
  signal?: AbortSignalLike | undefined;
}

/**
 * Defaults of options. Other options have no value, or the engine chooses it. A generation_config.json replaces those of
 * `generate` for its model.
 */
export const defaults = {
  load: { device: 'auto', kvCacheType: 'f32', weights: 'packed', maxQueue: 1024, readTimeout: 60_000 },
  // Sampling a base model: cooler than 1 keeps a story together, and the tail beyond 0.9 is mostly noise.
  generate: {
    maxTokens: 256,
    temperature: 0.7,
    topP: 0.9,
    topK: 0,
    minP: 0,
    repetitionPenalty: 1,
    presencePenalty: 0,
    frequencyPenalty: 0,
    echo: false,
    ignoreEos: false,
  },
  bench: { prefill: [128, 512], decode: 32, reps: 5 },
} as const;

export interface ResolvedLoadOptions {
  native: NativeOpenOptions;
  tokenizer: string | undefined;
  maxQueue: number;
  /** 0: off. */
  readTimeout: number;
  signal: Abort | undefined;
  onOpened: LoadOptions['onOpened'];
  onProgress: ((progress: NativeLoadProgress) => void) | undefined;
}

const openNames = [
  'device',
  'threads',
  'contextSize',
  'maxSequences',
  'prefillChunk',
  'kvCacheType',
  'weights',
  'memoryLimit',
  'tokenizer',
] as const satisfies readonly (keyof InspectOptions)[];
const loadNames = [
  ...openNames,
  'maxQueue',
  'readTimeout',
  'signal',
  'onOpened',
  'onProgress',
] as const satisfies readonly (keyof LoadOptions)[];

export function resolveLoadOptions(options: LoadOptions | undefined): ResolvedLoadOptions {
  const given = rejectUnknownOptions(options, loadNames);
  const onProgress = callback('onProgress', given.onProgress);
  return {
    ...resolveOpenOptions(given),
    maxQueue: integer('maxQueue', given.maxQueue, 0, 2 ** 20) ?? defaults.load.maxQueue,
    readTimeout: readTimeout(given.readTimeout),
    signal: abortSignal(given.signal),
    onOpened: callback('onOpened', given.onOpened),
    onProgress:
      onProgress && (({ loadedBytes, totalBytes, tensor }) => onProgress({ loadedBytes, totalBytes, tensor })),
  };
}

export function resolveInspectOptions(options: InspectOptions | undefined): NativeOpenOptions {
  return resolveOpenOptions(rejectUnknownOptions(options, openNames)).native;
}

function resolveOpenOptions(options: InspectOptions): Pick<ResolvedLoadOptions, 'native' | 'tokenizer'> {
  const {
    device = defaults.load.device,
    kvCacheType = defaults.load.kvCacheType,
    weights = defaults.load.weights,
  } = options;
  if (!['auto', 'cpu', 'cuda'].includes(device)) throw invalidArgument('device', "'auto', 'cpu' or 'cuda'", device);
  if (!['f32', 'bf16', 'int8'].includes(kvCacheType)) {
    throw invalidArgument('kvCacheType', "'f32', 'bf16' or 'int8'", kvCacheType);
  }
  if (!['packed', 'mapped'].includes(weights)) throw invalidArgument('weights', "'packed' or 'mapped'", weights);
  const { tokenizer } = options;
  if (tokenizer !== undefined && (typeof tokenizer !== 'string' || tokenizer === '')) {
    throw invalidArgument('tokenizer', 'the path of a tokenizer.model', tokenizer);
  }
  return {
    native: {
      device,
      threads: integer('threads', options.threads, 1, 1024) ?? 0,
      isa: process.env.GROK_CPU ?? '', // for tests and benchmarks: which CPU kernels to use
      contextLength: integer('contextSize', options.contextSize, 1, 2 ** 31 - 1) ?? 0,
      maxSequences: integer('maxSequences', options.maxSequences, 1, 1024) ?? 0,
      prefillChunk: integer('prefillChunk', options.prefillChunk, 1, 65536) ?? 0,
      kvCacheType,
      weights,
      memoryLimit: integer('memoryLimit', options.memoryLimit, 1, Number.MAX_SAFE_INTEGER) ?? 0,
    },
    tokenizer,
  };
}

/** {@link GenerateOptions}, checked and complete. */
export interface ResolvedGenerateOptions {
  /** undefined: {@link defaults}, as far as the context has room. */
  maxTokens: number | undefined;
  temperature: number;
  topP: number;
  topK: number;
  minP: number;
  repetitionPenalty: number;
  presencePenalty: number;
  frequencyPenalty: number;
  logitBias: ReadonlyMap<number, number>;
  seed: number;
  stop: readonly string[];
  stopTokenIds: readonly number[];
  logprobs: number | undefined;
  echo: boolean;
  ignoreEos: boolean;
  signal: Abort | undefined;
}

const generateNames = [
  'maxTokens',
  'temperature',
  'topP',
  'topK',
  'minP',
  'repetitionPenalty',
  'presencePenalty',
  'frequencyPenalty',
  'logitBias',
  'seed',
  'stop',
  'stopTokenIds',
  'logprobs',
  'echo',
  'ignoreEos',
  'signal',
] as const satisfies readonly (keyof GenerateOptions)[];

export function resolveGenerateOptions(
  options: GenerateOptions | undefined,
  { vocabSize, generation }: { vocabSize: number; generation?: GenerationConfig },
): ResolvedGenerateOptions {
  const given = rejectUnknownOptions(options, generateNames);
  const generate = { ...defaults.generate, ...generation };
  return {
    maxTokens: integer('maxTokens', given.maxTokens, 0, 2 ** 31 - 1),
    temperature: number('temperature', given.temperature, 0) ?? generate.temperature,
    topP: number('topP', given.topP, 0, 1) ?? generate.topP,
    topK: integer('topK', given.topK, 0, 2 ** 31 - 1) ?? generate.topK,
    minP: number('minP', given.minP, 0, 1) ?? generate.minP,
    repetitionPenalty: positive('repetitionPenalty', given.repetitionPenalty) ?? generate.repetitionPenalty,
    presencePenalty: number('presencePenalty', given.presencePenalty, -2, 2) ?? generate.presencePenalty,
    frequencyPenalty: number('frequencyPenalty', given.frequencyPenalty, -2, 2) ?? generate.frequencyPenalty,
    logitBias: logitBias(given.logitBias, vocabSize),
    seed: integer('seed', given.seed, 0, Number.MAX_SAFE_INTEGER) ?? randomSeed(),
    stop: stopTexts(given.stop),
    stopTokenIds: stopTokenIds(given.stopTokenIds, vocabSize),
    logprobs: integer('logprobs', given.logprobs, 0, 20),
    echo: boolean('echo', given.echo) ?? generate.echo,
    ignoreEos: boolean('ignoreEos', given.ignoreEos) ?? generate.ignoreEos,
    signal: abortSignal(given.signal),
  };
}

export function resolveScoreOptions(options: ScoreOptions | undefined): {
  logprobs: number;
  signal: Abort | undefined;
} {
  const given = rejectUnknownOptions(options, ['logprobs', 'signal']);
  return { logprobs: integer('logprobs', given.logprobs, 0, 20) ?? 0, signal: abortSignal(given.signal) };
}

export function resolveLogitsOptions(options: LogitsOptions | undefined): { signal: Abort | undefined } {
  return { signal: abortSignal(rejectUnknownOptions(options, ['signal']).signal) };
}

/** A timer takes no more than 2^31 - 1 ms: a longer one would end at once. */
function readTimeout(value: unknown): number {
  if (value === undefined) return defaults.load.readTimeout;
  if (value === Infinity) return 0;
  if (typeof value === 'number' && value >= 0 && value < 2 ** 31) return value;
  throw invalidArgument('readTimeout', `Infinity or a number from 0 to ${2 ** 31 - 1}`, value);
}

function randomSeed(): number {
  const [high = 0, low = 0] = crypto.getRandomValues(new Uint32Array(2));
  return (high % 2 ** 21) * 2 ** 32 + low; // 53 bits
}
