/// <reference lib="esnext.disposable" preserve="true" />
// For programs that compile without this library: it has Symbol.asyncDispose.

import { ChunkBuilder, toLogprob, unscored } from './chunk-builder.js';
import { ChunkStream } from './chunk-stream.js';
import type { Chunk, Completion, TokenLogprob } from './completion.js';
import { alreadyRead } from './errors.js';
import type { NativeOutput } from './native.js';
import { generationRequest } from './native-request.js';
import type { ResolvedGenerateOptions } from './options.js';
import { fitPrompt, type Prompt, type PromptHost } from './prompt.js';
import type { StepLoop } from './step-loop.js';
import { Stopwatch } from './stopwatch.js';

/** What a generation runs on. */
export interface GenerationHost extends PromptHost {
  readonly loop: StepLoop;
  readonly eosId: number;
}

/**
 * A text in the making. It starts when it is first read, or when {@link result} is first asked for.
 *
 * Read it with `for await`. A reader that falls far behind holds it up, and it keeps its place in the engine meanwhile,
 * unless {@link result} was asked for: then it runs to its end by itself. `break` and {@link cancel} end it quietly; an aborted signal rejects with the signal's reason.
 */
export class Generation implements AsyncIterable<Chunk>, AsyncDisposable {
  readonly #host: GenerationHost;
  readonly #prompt: Prompt;
  readonly #options: ResolvedGenerateOptions;
  readonly #builder: ChunkBuilder;
  readonly #stream: ChunkStream;
  readonly #result: Promise<Completion>;
  #settle!: { resolve(completion: Completion): void; reject(error: unknown): void };

  #state: 'new' | 'running' | 'ended' = 'new';
  #resultWanted = false;
  #hasReader = false;
  #stopwatch = new Stopwatch();
  #stopListening: (() => void) | undefined;
  /** In the engine. */
  #sequence: number | undefined;
  #promptIds: readonly number[] = [];
  readonly #promptLogprobs: TokenLogprob[] = [];
  readonly #chunks: Chunk[] = [];
  #numGenerated = 0;

  /** @internal Grok.generate makes them. `prompt` and `options` are checked. */
  constructor(host: GenerationHost, prompt: Prompt, options: ResolvedGenerateOptions) {
    this.#host = host;
    this.#prompt = prompt;
    this.#options = options;
    const { stop, logprobs } = options;
    this.#builder = new ChunkBuilder(host.tokenizer, { stop, withLogprobs: logprobs !== undefined });
    this.#stream = new ChunkStream({ onRead: () => this.#demand(), onReturn: () => this.cancel() });
    this.#result = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    this.#result.catch(() => {}); // nobody has to ask for it
  }

  /** All of it, once it has ended. */
  get result(): Promise<Completion> {
    this.#resultWanted = true;
    this.#demand();
    return this.#result;
  }

  /** The chunks, for one reader. @throws {GrokError} GROK_ALREADY_READ the second time */
  [Symbol.asyncIterator](): AsyncIterator<Chunk, undefined> {
    if (this.#hasReader) throw alreadyRead();
    this.#hasReader = true;
    return this.#stream;
  }

  /** Ends it now. The reader gets what is there, and `result` resolves with it and finishReason `'abort'`. */
  cancel(): void {
    if (this.#state !== 'ended') this.#finish('abort');
  }

  /** As {@link cancel}, at the end of an `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.cancel();
  }

  #demand(): void {
    if (this.#state === 'new') this.#start();
    else if (this.#sequence !== undefined) this.#host.loop.wake();
  }

  #start(): void {
    this.#state = 'running';
    this.#stopwatch = new Stopwatch();
    try {
      this.#options.signal?.throwIfAborted();
      this.#stopListening = this.#options.signal?.listen((reason) => this.#fail(reason));
    } catch (error) {
      this.#fail(error);
      return;
    }
    this.#submit().catch((error) => this.#fail(error));
  }

  async #submit(): Promise<void> {
    const { echo, logprobs } = this.#options;
    const { ids: promptIds, maxTokens } = await fitPrompt(this.#prompt, this.#host, this.#options);
    if (this.#hasEnded()) return;

    this.#promptIds = promptIds;
    const promptText = this.#builder.readPrompt(promptIds);
    const scoresPrompt = echo && logprobs !== undefined;
    if (echo && !scoresPrompt) this.#emit({ text: promptText, tokenIds: promptIds });
    if (maxTokens === 0 && !scoresPrompt) {
      this.#finish('length');
      return;
    }

    let echoIsDue = scoresPrompt;
    const request = generationRequest(promptIds, maxTokens, this.#host.eosId, this.#options);
    const sequence = await this.#host.loop.add(request, {
      wantsTokens: () => this.#resultWanted || !this.#stream.isFull,
      accept: (output, stepStartedAt) => {
        this.#stopwatch.working(stepStartedAt);
        for (const token of output.prompt) this.#promptLogprobs.push(toLogprob(token, this.#host.tokenizer));
        if (echoIsDue && output.promptTokensDone === promptIds.length) {
          echoIsDue = false;
          const first = unscored(promptIds[0] ?? 0, this.#host.tokenizer);
          this.#emit({ text: promptText, tokenIds: promptIds, logprobs: [first, ...this.#promptLogprobs] });
        }
        this.#accept(output);
      },
      fail: (error) => this.#fail(error),
    });
    this.#sequence = sequence;
    if (this.#hasEnded()) this.#leaveEngine();
  }

  #accept({ token, finish }: NativeOutput): void {
    if (token) this.#stopwatch.token();
    if (token && finish !== 'stop') {
      this.#numGenerated++;
      const { chunk, found } = this.#builder.push(token);
      if (chunk) this.#emit(chunk);
      if (found !== undefined) {
        this.#finish('stop', found);
        return;
      }
    }
    if (finish !== 'no') this.#finish(finish);
  }

  #emit(chunk: Chunk): void {
    this.#chunks.push(chunk);
    this.#stream.push(chunk);
  }

  #finish(reason: Completion['finishReason'], stopSequence?: string): void {
    const last = this.#builder.finish();
    if (last.chunk) this.#emit(last.chunk);
    this.#end();
    this.#stream.end();
    this.#settle.resolve(
      // A stop text that only the very end completed is one all the same.
      last.found === undefined ? this.#completion(reason, stopSequence) : this.#completion('stop', last.found),
    );
  }

  #fail(error: unknown): void {
    if (this.#state === 'ended') return;
    this.#end();
    this.#stream.fail(error);
    this.#settle.reject(error);
  }

  #end(): void {
    this.#state = 'ended';
    this.#stopListening?.();
    this.#leaveEngine();
  }

  #leaveEngine(): void {
    if (this.#sequence !== undefined) this.#host.loop.remove(this.#sequence);
    this.#sequence = undefined;
  }

  /** A question the compiler must not answer from what was true before an await. */
  #hasEnded(): boolean {
    return this.#state === 'ended';
  }

  #completion(finishReason: Completion['finishReason'], stopSequence: string | undefined): Completion {
    const promptTokens = this.#promptIds.length;
    return {
      text: this.#chunks.map(({ text }) => text).join(''),
      tokenIds: this.#chunks.flatMap(({ tokenIds }) => tokenIds),
      finishReason,
      ...(stopSequence !== undefined && { stopSequence }),
      usage: { promptTokens, completionTokens: this.#numGenerated, totalTokens: promptTokens + this.#numGenerated },
      timings: this.#stopwatch.read(),
      seed: this.#options.seed,
      ...(this.#options.logprobs !== undefined && { logprobs: this.#chunks.flatMap(({ logprobs }) => logprobs ?? []) }),
    };
  }
}
