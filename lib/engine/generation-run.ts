import type { NativeOutput } from '../addon/types.js';
import { Conversation } from '../chat/conversation.js';
import type { ResolvedGenerateOptions } from '../options/resolve.js';
import { ChunkBuilder, toLogprob, unscored } from '../text/chunk-builder.js';
import { ChunkStream } from '../text/chunk-stream.js';
import type { Chunk, Completion, TokenLogprob } from './completion.js';
import { generationRequest } from './native-request.js';
import { fitPrompt, type Prompt, type PromptHost } from './prompt.js';
import type { StepListener, StepLoop } from './step-loop.js';
import { Stopwatch } from './stopwatch.js';

/** The parts of a loaded model that a generation uses. */
export interface GenerationHost extends PromptHost {
  readonly loop: StepLoop;
}

/**
 * Makes the text of one {@link Generation}. It never refers to that object, so the object may become garbage meanwhile.
 */
export class GenerationRun implements StepListener {
  readonly #host: GenerationHost;
  readonly #onEnd: (run: GenerationRun) => void;
  readonly #prompt: Prompt;
  readonly #options: Pick<ResolvedGenerateOptions, 'echo' | 'logprobs' | 'maxTokens' | 'seed' | 'signal'>;
  readonly #request: ReturnType<typeof generationRequest>;
  readonly #builder: ChunkBuilder;
  readonly #stream: ChunkStream;
  readonly #result: Promise<Completion>;
  #settle!: { resolve(completion: Completion): void; reject(error: unknown): void };

  #state: 'new' | 'running' | 'ended' = 'new';
  #resultWanted = false;
  #stopwatch = new Stopwatch();
  #stopListening: (() => void) | undefined;
  #promptIds: readonly number[] = [];
  /** The first chunk with `echo` and `logprobs`, emitted after the prompt is scored. */
  #promptText = '';
  #echoIsDue = false;
  readonly #promptLogprobs: TokenLogprob[] = [];
  readonly #chunks: Chunk[] = [];
  #numGenerated = 0;

  /**
   * `prompt` and `options` are checked. `onEnd` lets go of this run, whose error may refer to the object that owns it: an
   * error has the objects of the calls that made it, until its stack is read.
   */
  constructor(
    host: GenerationHost,
    prompt: Prompt,
    options: ResolvedGenerateOptions,
    onEnd: (run: GenerationRun) => void,
  ) {
    this.#host = host;
    this.#onEnd = onEnd;
    this.#prompt = prompt;
    const { echo, logprobs, maxTokens, seed, signal, stop } = options;
    this.#options = { echo, logprobs, maxTokens, seed, signal };
    this.#request = generationRequest(host.generation.eosIds, options);
    this.#builder = new ChunkBuilder(host.tokenizer, {
      stop,
      withLogprobs: logprobs !== undefined,
      trimStart: prompt instanceof Conversation && !echo,
    });
    this.#stream = new ChunkStream({ onRead: () => this.#demand(), onReturn: () => this.cancel() });
    this.#result = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    this.#result.catch(() => {}); // callers need not read it
  }

  /** The whole completion, once the generation has ended. */
  get result(): Promise<Completion> {
    this.#resultWanted = true;
    this.#demand();
    return this.#result;
  }

  get stream(): ChunkStream {
    return this.#stream;
  }

  /**
   * Ends the generation now. The reader gets the text so far, and `result` resolves with it and finishReason `'abort'`.
   */
  cancel(): void {
    if (this.#state !== 'ended') this.#finish('abort');
  }

  /** Ends a generation whose object is garbage, unless its result was read. */
  abandon(): void {
    if (!this.#resultWanted) this.cancel();
  }

  wantsTokens(): boolean {
    return this.#resultWanted || !this.#stream.isFull;
  }

  unreadSince(): number | undefined {
    return this.#resultWanted ? undefined : this.#stream.unreadSince;
  }

  accept({ prompt, promptTokensDone, token, finish }: NativeOutput, stepStartedAt: number): void {
    this.#stopwatch.working(stepStartedAt);
    for (const scored of prompt) this.#promptLogprobs.push(toLogprob(scored, this.#host.tokenizer));
    if (this.#echoIsDue && promptTokensDone === this.#promptIds.length) this.#emitScoredPrompt();
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

  fail(error: unknown): void {
    if (this.#state === 'ended') return;
    this.#end();
    this.#stream.fail(error);
    this.#settle.reject(error);
  }

  #demand(): void {
    if (this.#state === 'new') this.#start();
    else this.#host.loop.wake(this);
  }

  #start(): void {
    this.#state = 'running';
    this.#stopwatch = new Stopwatch();
    try {
      this.#options.signal?.throwIfAborted();
      this.#stopListening = this.#options.signal?.listen((reason) => this.fail(reason));
    } catch (error) {
      this.fail(error);
      return;
    }
    this.#submit().catch((error) => this.fail(error));
  }

  async #submit(): Promise<void> {
    this.#host.loop.add(this);
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

    this.#promptText = scoresPrompt ? promptText : '';
    this.#echoIsDue = scoresPrompt;
    this.#host.loop.submit(this, { ...this.#request, prompt: Int32Array.from(promptIds), maxTokens });
  }

  #emitScoredPrompt(): void {
    this.#echoIsDue = false;
    const first = unscored(this.#promptIds[0] ?? 0, this.#host.tokenizer);
    const logprobs = [first, ...this.#promptLogprobs];
    this.#emit({ text: this.#promptText, tokenIds: this.#promptIds, logprobs });
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
      // A stop text that only the final characters completed counts, too.
      last.found === undefined ? this.#completion(reason, stopSequence) : this.#completion('stop', last.found),
    );
  }

  #end(): void {
    this.#state = 'ended';
    this.#stopListening?.();
    this.#host.loop.remove(this);
    this.#onEnd(this);
  }

  /** A function, so that the compiler does not assume that the state is the same after an await. */
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
