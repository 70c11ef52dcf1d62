/// <reference lib="esnext.disposable" preserve="true" />
// For programs that compile without this library: it has Symbol.asyncDispose.

import { setTimeout } from 'node:timers/promises';
import type { Abort } from '../abort.js';
import { callNative, callReading } from '../addon/calls.js';
import { chosenIsa } from '../addon/isa.js';
import { loadNative } from '../addon/loader.js';
import type { KvCacheType, NativeModel, WeightStorage } from '../addon/types.js';
import type { ChatMessage } from '../chat/messages.js';
import { type ModelConfig, sourcePath } from '../checkpoint/inspection.js';
import { warnOfOldName } from '../deprecation.js';
import { closedError, GrokError, ofItem } from '../errors.js';
import { type TokenIds, tokenIds } from '../options/checks.js';
import { type GenerationConfig, generationConfigOf } from '../options/generation-config.js';
import {
  type ResolvedGenerateOptions,
  type ResolvedLoadOptions,
  resolveGenerateOptions,
  resolveLoadOptions,
  resolveOptions,
} from '../options/resolve.js';
import {
  type ChatOptions,
  type GenerateOptions,
  type LoadOptions,
  type LogitsOptions,
  logitsOptions,
  type ScoreOptions,
  scoreOptions,
} from '../options/schema.js';
import { Tokenizer } from '../text/tokenizer.js';
import { type ChatInfo, type ChatPrompt, chatInfo, chatPrompt, checkChat } from './chat.js';
import type { Completion, ScoredToken } from './completion.js';
import { Generation } from './generation.js';
import type { GenerationHost } from './generation-run.js';
import { inOrder } from './in-order.js';
import { checkPrompt, encodePrompt, fitPrompt, type Prompt, requireTokenizer } from './prompt.js';
import { computeLogits, type Logits, scoreTokens } from './scoring.js';
import { type QueueLimits, StepLoop } from './step-loop.js';

/** Maximum time that an aborted load waits for the engine to free its memory. */
const closingPatienceMs = 20;

export interface ModelInfo {
  readonly config: Readonly<ModelConfig>;
  /** Defaults of {@link GenerateOptions} for this model. */
  readonly generation: GenerationConfig;
  readonly chat: ChatInfo;
  readonly parameters: {
    readonly total: number;
    /** Parameters used for one token. */
    readonly active: number;
  };
  /** Planned memory of the model, in bytes. */
  readonly memoryBytes: {
    readonly weights: number;
    readonly kvCache: number;
    readonly workspace: number;
    readonly reserve: number;
    readonly total: number;
  };
  /** Storage of the weights. */
  readonly weightStorage: WeightStorage;
  /** Element type of the cache of keys and values. */
  readonly kvCacheType: KvCacheType;
  /** Shown to people, such as `cpu (avx2, 2 threads)`. */
  readonly device: string;
  /** Why device `'auto'` is the CPU; undefined: the device was named, or is a GPU. */
  readonly whyCpu: string | undefined;
  /** Element type of the weights. */
  readonly dtype: 'int8';
  /** Maximum tokens of a prompt and its continuation together. */
  readonly contextSize: number;
  /** @deprecated Use `contextSize`. */
  readonly contextLength: number;
  /** Directory or file of the tensors. */
  readonly source: string;
  /** Path of the tokenizer.model; undefined if there is none. */
  readonly tokenizer: string | undefined;
}

/** Current load of a model, and its counters since it was loaded. */
export interface Stats {
  /** Requests that steps process. */
  readonly running: number;
  /** Requests that wait for their first step. */
  readonly waiting: number;
  /**
   * Pages of the cache for keys and values, and the tokens that fit a page. Requests use the `used` ones. `prefix` counts
   * the pages, used or free, whose tokens later requests need not compute.
   */
  readonly pages: { readonly used: number; readonly free: number; readonly tokens: number; readonly prefix: number };
  /** Tokens of prompts that were computed, tokens that were found in the prefix cache instead, and tokens generated. */
  readonly tokens: { readonly prompt: number; readonly reused: number; readonly generated: number };
  /** Number of forward passes. */
  readonly steps: number;
}

/**
 * A loaded model.
 *
 * @example
 * await using grok = await Grok.load('./checkpoints');
 * for await (const { text } of grok.generate('The answer to life')) process.stdout.write(text);
 */
export class Grok implements AsyncDisposable {
  readonly info: ModelInfo;
  readonly #model: NativeModel;
  readonly #host: GenerationHost;
  #closing: Promise<void> | undefined;

  private constructor(model: NativeModel, tokenizer: Tokenizer | undefined, limits: QueueLimits) {
    const { inspection } = model;
    const { weights, kvCache, workspace, reserve, total } = inspection.memory;
    this.#model = model;
    this.#host = {
      loop: new StepLoop(model, limits),
      tokenizer,
      vocabSize: inspection.config.vocabSize,
      contextSize: model.contextSize,
      generation: generationConfigOf(inspection),
    };
    this.info = withFormerNames({
      config: inspection.config,
      generation: this.#host.generation,
      chat: chatInfo(tokenizer, inspection.numParameters),
      parameters: { total: inspection.numParameters, active: inspection.numActiveParameters },
      memoryBytes: { weights, kvCache, workspace, reserve, total },
      weightStorage: inspection.memory.weightStorage,
      kvCacheType: inspection.memory.kvCacheType,
      device: model.device,
      whyCpu: inspection.whyCpu || undefined,
      dtype: 'int8',
      contextSize: model.contextSize,
      source: inspection.path,
      tokenizer: tokenizer?.path,
    });
  }

  /**
   * Loads a checkpoint: xAI's ckpt-0 directory, the one above it, or safetensors. Without `source`, the small model
   * that comes with the package.
   *
   * Headers and tokenizer are checked before a weight is read. A checkpoint without a tokenizer loads, too; only text
   * as input or output needs one.
   *
   * @throws {GrokError} GROK_NO_BINARY, GROK_NOT_FOUND, GROK_IO, GROK_BAD_CHECKPOINT, GROK_BAD_TOKENIZER,
   *   GROK_UNSUPPORTED, GROK_OUT_OF_MEMORY, GROK_CUDA_UNAVAILABLE; the signal's reason when it aborts
   *
   * @example
   * await using grok = await Grok.load();
   * console.log((await grok.complete('Once upon a time')).text);
   */
  static async load(source?: string, options?: LoadOptions): Promise<Grok> {
    const path = sourcePath(source);
    const resolved = resolveLoadOptions(options);
    const { signal } = resolved;
    const model = await callReading(() => loadNative().open(path, { ...resolved.native, isa: chosenIsa() }), signal);
    try {
      const file = resolved.tokenizer ?? (model.inspection.tokenizer || undefined);
      const grok = new Grok(model, await loadTokenizer(file, model, signal), resolved);
      await resolved.onOpened?.(grok);
      await loadWeights(model, resolved);
      return grok;
    } catch (error) {
      const closing = model.close();
      // After an abort the engine may wait for a file that never responds.
      await (signal?.aborted ? Promise.race([closing, setTimeout(closingPatienceMs)]) : closing);
      throw error;
    }
  }

  /** @throws {GrokError} GROK_NO_TOKENIZER if there was none beside the checkpoint */
  get tokenizer(): Tokenizer {
    return requireTokenizer(this.#host.tokenizer, 'text');
  }

  /** Whether close() was called. */
  get closed(): boolean {
    return this.#closing !== undefined;
  }

  /**
   * Continues a prompt, as a stream. `prompt` is text, or token ids as they go into the model (no [BOS] is added).
   *
   * Invalid options throw at once. Later errors reject both the iterator and `result`.
   *
   * @throws {GrokError} GROK_INVALID_ARGUMENT, GROK_NO_TOKENIZER, GROK_CONTEXT_OVERFLOW, GROK_BUSY,
   *   GROK_READ_TIMEOUT, GROK_CLOSED
   *
   * @example
   * for await (const { text } of grok.generate('The answer to life', { maxTokens: 64 })) process.stdout.write(text);
   */
  generate(prompt: string | TokenIds, options?: GenerateOptions): Generation {
    return new Generation(this.#host, ...this.#checkRequest(prompt, options));
  }

  /**
   * Answers the last message of a conversation, as a stream. Grok-1 is a base model: a template shows it the conversation
   * as a text to continue. No content can become a turn or a control token. If the context is full, the oldest turns
   * are left out; the system message and the last message stay. The answer begins without white space, unless `echo`.
   *
   * Invalid messages and options throw at once. Later errors are those of {@link generate}.
   *
   * @throws {GrokError} GROK_INVALID_ARGUMENT, GROK_NO_TOKENIZER, GROK_UNSUPPORTED, GROK_CLOSED
   *
   * @example
   * const messages = [{ role: 'user', content: 'Which city is the capital of Peru?' }] as const;
   * for await (const { text } of grok.chat(messages)) process.stdout.write(text);
   */
  chat(messages: readonly ChatMessage[], options?: ChatOptions): Generation {
    this.#refuseWhenClosed();
    return new Generation(this.#host, ...checkChat(messages, options, this.#host));
  }

  /** The prompt that {@link chat} runs for the same arguments. Needs no weights. Rejects as `chat` throws. */
  async chatPrompt(messages: readonly ChatMessage[], options?: ChatOptions): Promise<ChatPrompt> {
    this.#refuseWhenClosed();
    return await chatPrompt(messages, options, this.#host);
  }

  /**
   * Rejects like {@link generate} and its `result` for an invalid option, tokenizer, prompt or context size. Needs no
   * weights: `onOpened` of {@link LoadOptions} can call it.
   *
   * @example
   * const onOpened = (opened) => opened.check(prompt, { maxTokens: 64 });
   * await using grok = await Grok.load('./checkpoints', { onOpened });
   */
  async check(prompt: string | TokenIds, options?: GenerateOptions): Promise<void> {
    const [checked, resolved] = this.#checkRequest(prompt, options);
    await fitPrompt(checked, this.#host, resolved);
  }

  /** Continues a prompt and returns all of it at the end. Options and errors are those of {@link generate}. */
  async complete(prompt: string | TokenIds, options?: GenerateOptions): Promise<Completion> {
    return await this.generate(prompt, options).result;
  }

  /**
   * The logits after every token of a text, each given the tokens before it: vocabSize numbers a token.
   * @throws {GrokError} GROK_INVALID_ARGUMENT if they exceed 2^31 bytes, GROK_CONTEXT_OVERFLOW, GROK_CLOSED
   */
  async logits(ids: TokenIds, options?: LogitsOptions): Promise<Logits> {
    this.#refuseWhenClosed();
    const { signal } = resolveOptions(logitsOptions, options);
    return await computeLogits(tokenIds('ids', ids, this.#host), this.#host, signal);
  }

  /**
   * The log-probability of each token of a text, given the tokens before it. An array of texts gives an array, in
   * order; `maxSequences` of them run at once.
   * @throws {GrokError} GROK_INVALID_ARGUMENT, GROK_NO_TOKENIZER, GROK_CONTEXT_OVERFLOW, GROK_CLOSED
   */
  score(prompt: string | TokenIds, options?: ScoreOptions): Promise<ScoredToken[]>;
  score(prompts: readonly (string | TokenIds)[], options?: ScoreOptions): Promise<ScoredToken[][]>;
  async score(
    given: string | TokenIds | readonly (string | TokenIds)[],
    options?: ScoreOptions,
  ): Promise<ScoredToken[] | ScoredToken[][]> {
    this.#refuseWhenClosed();
    const resolved = resolveOptions(scoreOptions, options);
    const scoreOne = async (prompt: unknown, signal: Abort | undefined) => {
      const ids = await encodePrompt(checkPrompt(prompt, this.#host), this.#host, signal);
      return await scoreTokens(ids, this.#host, { ...resolved, signal });
    };
    const isOne = !Array.isArray(given) || typeof given[0] === 'number';
    if (isOne) return await scoreOne(given, resolved.signal);
    return await inOrder(given, this.#model.maxSequences, resolved.signal, (prompt, index, signal) =>
      scoreOne(prompt, signal).catch((error) => {
        throw ofItem(`prompts[${index}]`, error);
      }),
    );
  }

  /** Counts requests, cache pages, tokens and steps. @throws {GrokError} GROK_CLOSED */
  stats(): Stats {
    this.#refuseWhenClosed();
    const stats = this.#model.stats();
    return {
      ...this.#host.loop.numRequests,
      pages: {
        used: stats.cachePages - stats.freeCachePages,
        free: stats.freeCachePages,
        tokens: stats.pageTokens,
        prefix: stats.prefixCachePages,
      },
      tokens: { prompt: stats.promptTokens, reused: stats.reusedTokens, generated: stats.generatedTokens },
      steps: stats.steps,
    };
  }

  /** Ends all requests with GROK_CLOSED and frees everything. May be called again. */
  close(): Promise<void> {
    if (!this.#closing) {
      this.#host.loop.close();
      this.#closing = callNative(() => this.#model.close());
    }
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #checkRequest(
    prompt: string | TokenIds,
    options: GenerateOptions | undefined,
  ): [prompt: Prompt, options: ResolvedGenerateOptions] {
    this.#refuseWhenClosed();
    const resolved = resolveGenerateOptions(options, this.#host);
    if (resolved.stop.length > 0) requireTokenizer(this.#host.tokenizer, '`stop`');
    return [checkPrompt(prompt, this.#host), resolved];
  }

  #refuseWhenClosed(): void {
    if (this.closed) throw closedError();
  }
}

function withFormerNames(info: Omit<ModelInfo, 'contextLength'>): ModelInfo {
  // Not enumerable, so that copying `info` does not warn.
  Object.defineProperty(info, 'contextLength', {
    get() {
      warnOfOldName('GROK_DEP_CONTEXT_LENGTH', '`info.contextLength` is now `info.contextSize`');
      return info.contextSize;
    },
  });
  return info as ModelInfo;
}

async function loadTokenizer(
  file: string | undefined,
  model: NativeModel,
  signal: Abort | undefined,
): Promise<Tokenizer | undefined> {
  if (file === undefined) return undefined;
  const tokenizer = await Tokenizer.load(file, { signal: signal?.signal });
  const { vocabSize } = model.inspection.config;
  if (tokenizer.vocabSize <= vocabSize) return tokenizer;
  throw new GrokError(
    `Expected ${file} to have at most ${vocabSize} pieces, the model's vocabulary, found ${tokenizer.vocabSize}`,
    { code: 'GROK_BAD_TOKENIZER', hint: 'Use the tokenizer.model that came with this checkpoint.' },
  );
}

/** Loads tensor by tensor. An abort interrupts the current tensor, which may have gigabytes. */
export async function loadWeights(
  model: NativeModel,
  { signal, onProgress }: Pick<ResolvedLoadOptions, 'signal' | 'onProgress'>,
): Promise<void> {
  for (;;) {
    const progress = await callReading(() => model.loadNext(), signal);
    signal?.throwIfAborted();
    onProgress?.(progress);
    if (progress.done) return;
  }
}
