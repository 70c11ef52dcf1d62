import type { Abort, AbortSignalLike } from '../abort.js';
import type { VerifyProgress } from '../checkpoint/verify.js';
import type { Grok } from '../engine/grok.js';
import { invalidArgument } from '../errors.js';
import { abortSignal, type LogitBias, logitBias, stopTexts, stopTokenIds, type TokenIds } from './checks.js';
import {
  type AnyOption,
  boolean,
  callback,
  checked,
  choice,
  type DefaultsOf,
  defaultsOf,
  integer,
  integers,
  integersIn,
  number,
  type OptionsOf,
  type ResolvedOf,
  text,
} from './option.js';

// The one table of options. Types, checks, defaults, flags, help and docs/API.md come from it. A comment says what an
// option does, and its default if the engine or the model chooses it.

/** Progress of loading. */
export interface LoadProgress {
  /** Bytes of the checkpoint's files read so far. */
  readonly loadedBytes: number;
  readonly totalBytes: number;
  /** The last tensor loaded. */
  readonly tensor: string;
}

/** A model whose weights are not loaded yet. */
export type OpenedModel = Pick<Grok, 'info' | 'tokenizer' | 'check'>;

const signal = checked<AbortSignalLike, Abort>({
  kind: 'function',
  expectation: 'an AbortSignal',
  check: (_, value) => abortSignal(value),
});

/** The maximum of a timer: a longer one would end at once. */
const mostTime = 2 ** 31 - 1;
const timeRange = `Infinity or a number from 0 to ${mostTime}`;

/** The device and its memory. */
export const placementOptions = {
  /**
   * Device that runs the model. `'auto'` is a GPU if there is one, the model has 1 GiB or more, and it fits. Otherwise
   * `info.whyCpu` gives the reason. Default: `'auto'`.
   */
  device: choice(['auto', 'cpu', 'cuda'], {
    default: 'auto',
    short: '-d',
    env: 'GROK_RUN_DEVICE',
    help: 'device that runs the model',
  }),
  /** Maximum bytes of the device's memory; a larger model is refused before it is read. Default: the free memory. */
  memoryLimit: integer({
    kind: 'bytes',
    from: 1,
    to: Number.MAX_SAFE_INTEGER,
    otherwise: 'the free memory',
    formerFlag: '--max-ram',
    help: "limit of the device's memory, such as 70GiB",
  }),
  /**
   * Storage of the weights. `'packed'` copies them into memory, in the order that products read fastest. `'mapped'`
   * leaves them in the checkpoint's files: it loads at once, runs models larger than memory, and generates more slowly.
   * Both give the same numbers. Default: `'packed'`.
   */
  weights: choice(['packed', 'mapped'], {
    default: 'packed',
    placeholder: '<how>',
    help: 'copied into memory or left in the files',
  }),
  /**
   * Element type of the cache of keys and values. `'bf16'` takes half the memory of `'f32'` and `'int8'` about a
   * quarter; both change the logits by some thousandths. Default: `'f32'`.
   */
  kvCacheType: choice(['f32', 'bf16', 'int8'], { default: 'f32', help: 'element type of the key-value cache' }),
};

/** Options of loading for one text at a time. */
export const oneTextOptions = {
  ...placementOptions,
  /** CPU threads, 1 to 1024. Default: one for each physical core that the process may use. */
  threads: integer({ from: 1, to: 1024, otherwise: 'one per core', env: 'GROK_RUN_THREADS', help: 'CPU threads' }),
  /**
   * Maximum tokens of a prompt and its continuation together, from 1 to the model's own maximum. Default: that maximum.
   */
  contextSize: integer({
    from: 1,
    otherwise: "the model's",
    short: '-c',
    placeholder: '<tokens>',
    help: 'prompt and continuation together',
  }),
  /** Maximum prompt tokens of one step, 1 to 65536. Default: 512. */
  prefillChunk: integer({
    from: 1,
    to: 65536,
    otherwise: '512',
    placeholder: '<tokens>',
    help: 'prompt tokens of one step',
  }),
  /** Path of a tokenizer.model. Default: the one beside the checkpoint. */
  tokenizer: text('the path of a tokenizer.model', {
    otherwise: 'beside the checkpoint',
    env: 'GROK_RUN_TOKENIZER',
    placeholder: '<file>',
    help: 'tokenizer.model',
  }),
};

export const inspectOptions = {
  ...oneTextOptions,
  /** Maximum generations that run at once, 1 to 1024; others wait. Default: 4. */
  maxSequences: integer({ from: 1, to: 1024, otherwise: '4' }),
};

export const loadOptions = {
  ...inspectOptions,
  /**
   * Maximum requests that wait beside the `maxSequences` that run, 0 to 1048576. One more is refused with GROK_BUSY.
   * Default: 1024.
   */
  maxQueue: integer({ from: 0, to: 2 ** 20, default: 1024 }),
  /**
   * Requests whose prompts begin with the same tokens compute these once, at the same time or later. No result changes.
   * The time of an answer tells whether another prompt began alike: false hides that. Default: true.
   */
  prefixCache: boolean({ default: true }),
  /**
   * Milliseconds that a reader may leave text unread while other requests wait for the place of its generation. Then
   * the generation gives its cache up, and goes on with the same tokens when its reader reads again. It fails with
   * GROK_READ_TIMEOUT only if the queue is full by then. Each read restarts the time. 0 and Infinity are off. Default: 5000.
   */
  readTimeout: checked<number, number, 5000>({
    kind: 'number',
    expectation: timeRange,
    default: 5000,
    check: (name, value) => {
      if (value === Infinity) return 0;
      if (typeof value === 'number' && value >= 0 && value <= mostTime) return value;
      throw invalidArgument(name, timeRange, value);
    },
  }),
  /** Aborts loading; `load` then rejects with the signal's reason. */
  signal,
  /**
   * Called after headers and tokenizer are read, before any weight. An error that it throws ends the load. Call
   * {@link Grok.check} here, so that an invalid request is refused before weights are read.
   */
  onOpened: callback<(opened: OpenedModel) => void | Promise<void>>(),
  /** Called after each tensor. */
  onProgress: callback<(progress: LoadProgress) => void>(),
};

/**
 * The addon has these under the same names. The value `neutral` has no effect; if absent, the default has no effect.
 */
export const samplingOptions = {
  /** Divides the logits; 0 or more. 0 takes the likeliest token each time. Default: 0.7. */
  temperature: number({ from: 0, default: 0.7, neutral: 0, short: '-t', help: '0 always takes the likeliest token' }),
  /** Draws from the likeliest tokens that together make up this probability, 0 to 1. 1 is off. Default: 0.9. */
  topP: number({
    from: 0,
    to: 1,
    default: 0.9,
    neutral: 1,
    help: 'choose among the likeliest tokens of total probability x; 1 is off',
  }),
  /** Draws from this many of the likeliest tokens. 0 is off. Default: 0. */
  topK: integer({ default: 0, help: 'choose among the n likeliest; 0 is off' }),
  /** Drops tokens less likely than this share of the likeliest one, 0 to 1. 0 is off. Default: 0. */
  minP: number({ from: 0, to: 1, default: 0, help: 'drop tokens less likely than x times the most likely one' }),
  /**
   * Above 1, makes tokens of the prompt and of the generated text less likely; below 1, likelier. 1 is off. Default: 1.
   */
  repetitionPenalty: number({
    default: 1,
    formerFlag: '--repeat-penalty',
    help: 'make repeated tokens less likely; 1 is off',
  }),
  /** Subtracted once from the logit of each generated token, -2 to 2. Default: 0. */
  presencePenalty: number({ from: -2, to: 2, default: 0, help: 'subtract x once from generated tokens; 0 is off' }),
  /** Subtracted from a token's logit for each time it was generated, -2 to 2. Default: 0. */
  frequencyPenalty: number({
    from: -2,
    to: 2,
    default: 0,
    help: 'subtract x for each time it was generated; 0 is off',
  }),
};

/** A value for each sampling option. */
export type Sampling = ResolvedOf<typeof samplingOptions>;

/** Takes the likeliest token. */
export const neutralSampling = Object.fromEntries(
  Object.entries<AnyOption>(samplingOptions).map(([name, option]) => [name, option.neutral ?? option.default]),
) as Sampling;

export const generateOptions = {
  /** Maximum tokens to generate, 0 or more. Default: 256, or fewer if the context has no room for them. */
  maxTokens: integer({ default: 256, short: '-n', help: 'tokens to generate at most' }),
  // For a base model: a temperature below 1 keeps a story coherent, and tokens beyond top_p 0.9 are mostly noise.
  ...samplingOptions,
  /** Added to the logits of these token ids, 8192 at most; -Infinity bans a token. Default: none. */
  logitBias: checked<LogitBias, ReadonlyMap<number, number>>({
    kind: 'biases',
    expectation: 'an object or a Map of token ids and numbers',
    otherwise: 'none',
    help: 'add x to the logit of a token; may be given again',
    check: (_, value, { vocabSize }) => logitBias(value, vocabSize),
  }),
  /** Same seed, prompt, options, device and build: same tokens. An integer, 0 to 2^53 - 1. Default: random. */
  seed: integer({ to: Number.MAX_SAFE_INTEGER, otherwise: 'random', help: 'same seed, same text; --verbose shows it' }),
  /** Ends before the first of these texts: at most 256 texts of at most 1024 characters. Default: none. */
  stop: checked<string | readonly string[], readonly string[]>({
    kind: 'texts',
    expectation: 'a text or an array of texts',
    otherwise: 'none',
    help: 'stop before this text; may be given again',
    check: (_, value) => stopTexts(value),
  }),
  /**
   * Ends at the first of these tokens, at most 256. That token is neither in the text nor in tokenIds. Default: [EOS]
   * alone.
   */
  stopTokenIds: checked<TokenIds, readonly number[]>({
    kind: 'integers',
    expectation: 'an array of token ids',
    otherwise: '[EOS] alone',
    placeholder: '<id,...>',
    help: 'stop at any of these tokens, too',
    check: (_, value, { vocabSize }) => stopTokenIds(value, vocabSize),
  }),
  /** Reports the log-probability of each token and of this many of the likeliest, 0 to 20. Default: none. */
  logprobs: integer({
    to: 20,
    otherwise: 'none',
    help: 'log-probabilities of the token and the n likeliest; needs --json or --jsonl',
  }),
  /** Returns the prompt first, as the beginning of text, tokenIds and logprobs. Default: false. */
  echo: boolean({ default: false, help: 'print the prompt first (default: on a terminal)' }),
  /** Continues after the [EOS] token, unless `stopTokenIds` has it. Default: false. */
  ignoreEos: boolean({ default: false, help: 'continue after the [EOS] token' }),
  /** Aborts: iterator and `result` reject with the signal's reason. */
  signal,
};

export const chatOptions = {
  ...generateOptions,
  /** Form in which the model reads the conversation; {@link ModelInfo.chat} lists those of a model. Default: `'transcript'`. */
  template: choice(['transcript', 'separator', 'urial'], { default: 'transcript' }),
};

export const scoreOptions = {
  /** Reports this many of the likeliest tokens at each position, 0 to 20. Default: 0. */
  logprobs: integer({ to: 20, default: 0 }),
  /** Aborts; `score` then rejects with the signal's reason. */
  signal,
};

export const logitsOptions = {
  /** Aborts; `logits` then rejects with the signal's reason. */
  signal,
};

export const tokenizerOptions = {
  /** Aborts; `Tokenizer.load` then rejects with the signal's reason. */
  signal,
};

export const encodeOptions = {
  /** Puts the [BOS] token first. Default: false, as xAI's own code does. */
  bos: boolean({ default: false }),
  /**
   * The meaning of text such as `<|separator|>`. true: the control token of that name, as in xAI's tokenizer. false: the
   * characters themselves, for text from people you do not trust. Default: true.
   */
  allowControl: boolean({ default: true }),
};

export const encodeAsyncOptions = {
  ...encodeOptions,
  /** Aborts; `encodeAsync` then rejects with the signal's reason. */
  signal,
};

export const benchOptions = {
  /** A checkpoint, as for loading. Default: the embedded model, unless there is a `shape`. */
  source: text('the path of a checkpoint', {}),
  /**
   * Uses synthetic weights of this shape instead: `'tiny'`, `'mid'`, `'slice'`, `'grok1'`, or the path of a
   * config.json.
   */
  shape: text("'tiny', 'mid', 'slice', 'grok1' or the path of a config.json", {
    placeholder: '<name>',
    help: 'synthetic weights: tiny, mid, slice, grok1, or a config.json',
  }),
  /** Layers of the shape, 1 to 1024. Default: the shape's own. */
  layers: integer({ from: 1, to: 1024, otherwise: 'its own', help: 'layers of the shape' }),
  ...placementOptions,
  /** CPU threads, 1 to 1024; several numbers are measured in turn. Default: as for loading. */
  threads: checked<number | readonly number[], readonly number[]>({
    kind: 'integers',
    expectation: 'an integer from 1 to 1024, or an array of them',
    otherwise: 'one per core',
    env: 'GROK_RUN_THREADS',
    help: 'CPU threads, one number or several',
    check: (name, value) => integersIn(name, typeof value === 'number' ? [value] : value, 1, 1024),
  }),
  /** Sizes of prompts to read, in tokens. Default: 128 and 512, if the context has room for them. */
  prefill: integers({ from: 1, to: 2 ** 20, default: [128, 512], help: 'prompt sizes in tokens, if they fit' }),
  /** Tokens to generate one by one after the first. Default: 32. */
  decode: integer({ to: 2 ** 20, from: 1, default: 32, help: 'tokens to generate one by one' }),
  /** Repeats of each measurement, 1 to 1000. Default: 5. */
  reps: integer({ from: 1, to: 1000, default: 5, help: 'repeats of each' }),
  /** Counts repeats that other processes disturbed. Default: false, so that they are done again. */
  keepDisturbed: boolean({ default: false, help: 'count disturbed repeats, too' }),
  /** Aborts; `benchmark` then rejects with the signal's reason. */
  signal,
  /** Called with a description of the current measurement. */
  onProgress: callback<(what: string) => void>(),
};

export const verifyOptions = {
  /** Writes the manifest from the present files, instead of comparing. Default: false. */
  write: boolean({ default: false, help: 'write the list from the present files' }),
  /** Replaces an existing manifest. Default: false. */
  force: boolean({ default: false, help: 'with --write: replace an existing list' }),
  /** Aborts; `verify` then rejects with the signal's reason. */
  signal,
  /** Called after each part of a file. */
  onProgress: callback<(progress: VerifyProgress) => void>(),
};

export const reportOptions = {
  ...oneTextOptions,
  /** Hashes all files, even if there is no manifest to compare with. Default: only with a manifest. */
  verify: boolean({ help: 'hash all files, even without SHA256SUMS' }),
  /** Maximum seconds of each of the eight measured sections: all end within ten minutes. Default: 60. */
  sectionSeconds: number({ from: 0, to: 3600, default: 60 }),
  /** Aborts; `report` then rejects with the signal's reason. */
  signal,
  /** Called with a description of the current work. */
  onProgress: callback<(what: string) => void>(),
};

/** Every option, by the function that takes it. */
export const optionSchema = {
  inspect: inspectOptions,
  load: loadOptions,
  generate: generateOptions,
  chat: chatOptions,
  score: scoreOptions,
  logits: logitsOptions,
  loadTokenizer: tokenizerOptions,
  encode: encodeOptions,
  encodeAsync: encodeAsyncOptions,
  benchmark: benchOptions,
  verify: verifyOptions,
  report: reportOptions,
} as const;

/**
 * Defaults of options. Other options have no value, or the engine chooses it. A generation_config.json replaces the
 * defaults of `generate` for its model.
 */
export const defaults: {
  readonly load: DefaultsOf<typeof loadOptions>;
  readonly generate: DefaultsOf<typeof generateOptions>;
  readonly bench: DefaultsOf<typeof benchOptions>;
} = {
  load: defaultsOf(loadOptions),
  generate: defaultsOf(generateOptions),
  bench: defaultsOf(benchOptions),
};

/** Options of {@link inspect}: the options of loading that affect memory. */
export interface InspectOptions extends OptionsOf<typeof inspectOptions> {}
export interface LoadOptions extends OptionsOf<typeof loadOptions> {}
export interface GenerateOptions extends OptionsOf<typeof generateOptions> {}
export interface ChatOptions extends OptionsOf<typeof chatOptions> {}
export interface ScoreOptions extends OptionsOf<typeof scoreOptions> {}
export interface LogitsOptions extends OptionsOf<typeof logitsOptions> {}
export interface EncodeOptions extends OptionsOf<typeof encodeOptions> {}
/** Options of {@link benchmark}. */
export interface BenchOptions extends OptionsOf<typeof benchOptions> {}
/** Options of {@link verify}. */
export interface VerifyOptions extends OptionsOf<typeof verifyOptions> {}
/** Options of {@link report}. */
export interface ReportOptions extends OptionsOf<typeof reportOptions> {}
