import type { Abort } from '../abort.js';
import type { NativeLoadProgress, NativeOpenOptions } from '../addon/types.js';
import { rejectUnknownOptions } from './checks.js';
import type { GenerationConfig } from './generation-config.js';
import { defaultsOf, type OptionsOf, type ResolvedOf, type Schema, type Vocabulary } from './option.js';
import {
  type ChatOptions,
  chatOptions,
  type GenerateOptions,
  generateOptions,
  type InspectOptions,
  inspectOptions,
  type LoadOptions,
  loadOptions,
} from './schema.js';

/** Checks each given option, and fills in the others: from `defaults`, otherwise from the schema. */
export function resolveOptions<S extends Schema>(
  schema: S,
  options: OptionsOf<S> | undefined,
  { vocabulary = { vocabSize: 0 }, defaults = {} }: { vocabulary?: Vocabulary; defaults?: object } = {},
): ResolvedOf<S> {
  const given: Record<string, unknown> = rejectUnknownOptions(options, Object.keys(schema));
  const otherwise: Record<string, unknown> = { ...defaultsOf(schema), ...defaults };
  const resolved = Object.entries(schema).map(([name, option]) => {
    const value = given[name];
    return [name, value === undefined ? otherwise[name] : option.check(name, value, vocabulary)];
  });
  return Object.fromEntries(resolved) as ResolvedOf<S>;
}

/** Options of the addon, except for the instruction set, which an environment variable chooses. */
export type OpenOptions = Omit<NativeOpenOptions, 'isa'>;

export interface ResolvedLoadOptions {
  native: OpenOptions;
  tokenizer: string | undefined;
  maxQueue: number;
  /** 0: off. */
  readTimeout: number;
  signal: Abort | undefined;
  onOpened: LoadOptions['onOpened'];
  onProgress: ((progress: NativeLoadProgress) => void) | undefined;
}

export function resolveLoadOptions(options: LoadOptions | undefined): ResolvedLoadOptions {
  const { onProgress, tokenizer, maxQueue, readTimeout, signal, onOpened, ...open } = resolveOptions(
    loadOptions,
    options,
  );
  return {
    ...{ native: forAddon(open), tokenizer, maxQueue, readTimeout, signal, onOpened },
    onProgress:
      onProgress && (({ loadedBytes, totalBytes, tensor }) => onProgress({ loadedBytes, totalBytes, tensor })),
  };
}

export function resolveInspectOptions(options: InspectOptions | undefined): OpenOptions {
  return forAddon(resolveOptions(inspectOptions, options));
}

function forAddon(
  options: Omit<ResolvedOf<typeof inspectOptions>, 'tokenizer'> & { prefixCache?: boolean },
): OpenOptions {
  const { threads = 0, contextSize = 0, maxSequences = 0, prefillChunk = 0, memoryLimit = 0 } = options;
  const { device, kvCacheType, weights, prefixCache = false } = options;
  return {
    ...{ device, kvCacheType, weights, threads, maxSequences, prefillChunk, prefixCache, memoryLimit },
    contextSize,
  };
}

/** {@link GenerateOptions}, checked and complete. */
export interface ResolvedGenerateOptions extends Omit<ResolvedOf<typeof generateOptions>, 'maxTokens'> {
  /** undefined: the default, as far as the context has room. */
  maxTokens: number | undefined;
  seed: number;
  stop: readonly string[];
  stopTokenIds: readonly number[];
  logitBias: ReadonlyMap<number, number>;
}

export function resolveGenerateOptions(
  options: GenerateOptions | undefined,
  { vocabSize, generation = {} }: { vocabSize: number; generation?: Partial<GenerationConfig> },
): ResolvedGenerateOptions {
  const defaults = { ...generation, maxTokens: undefined };
  const resolved = resolveOptions(generateOptions, options, { vocabulary: { vocabSize }, defaults });
  const { seed = randomSeed(), stop = [], stopTokenIds = [], logitBias = new Map() } = resolved;
  return { ...resolved, seed, stop, stopTokenIds, logitBias };
}

/** {@link ChatOptions}, checked and complete. */
export interface ResolvedChatOptions extends ResolvedGenerateOptions {
  template: ResolvedOf<typeof chatOptions>['template'];
}

export function resolveChatOptions(
  options: ChatOptions | undefined,
  host: Parameters<typeof resolveGenerateOptions>[1],
): ResolvedChatOptions {
  const { template = chatOptions.template.default, ...generate } = rejectUnknownOptions(
    options,
    Object.keys(chatOptions),
  );
  return {
    ...resolveGenerateOptions(generate, host),
    template: chatOptions.template.check('template', template, host),
  };
}

function randomSeed(): number {
  const [high = 0, low = 0] = crypto.getRandomValues(new Uint32Array(2));
  return (high % 2 ** 21) * 2 ** 32 + low; // 53 bits
}
