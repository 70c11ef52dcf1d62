/// <reference lib="esnext.disposable" preserve="true" />
// For programs that compile without this library: it has Symbol.asyncDispose.

import { alreadyRead } from '../errors.js';
import type { ResolvedGenerateOptions } from '../options/resolve.js';
import type { Chunk, Completion } from './completion.js';
import { type GenerationHost, GenerationRun } from './generation-run.js';
import type { Prompt } from './prompt.js';

const abandoned = new FinalizationRegistry<GenerationRun>((run) => run.abandon());

/**
 * A text being generated. It starts when it is first read, or when {@link result} is first read.
 *
 * Read it with `for await`. A reader that falls far behind pauses it, unless {@link result} was read: then it runs to
 * its end by itself. While others wait for a place, a generation whose reader leaves text unread for `readTimeout` gives
 * its place up. It goes on with the same tokens when it is read again. It ends when its object is garbage.
 *
 * `break` and {@link cancel} end it without an error; an aborted signal rejects with the signal's reason.
 */
export class Generation implements AsyncIterable<Chunk>, AsyncDisposable {
  readonly #run: GenerationRun;
  #hasReader = false;

  /** @internal Grok.generate makes them. `prompt` and `options` are checked. */
  constructor(host: GenerationHost, prompt: Prompt, options: ResolvedGenerateOptions) {
    this.#run = new GenerationRun(host, prompt, options, (run) => abandoned.unregister(run));
    abandoned.register(this, this.#run, this.#run);
  }

  /** The whole completion, after the generation has ended. */
  get result(): Promise<Completion> {
    return this.#run.result;
  }

  /** The chunks, for one reader. @throws {GrokError} GROK_ALREADY_READ the second time */
  [Symbol.asyncIterator](): AsyncIterator<Chunk, undefined> & AsyncIterable<Chunk> {
    if (this.#hasReader) throw alreadyRead();
    this.#hasReader = true;
    const { stream } = this.#run;
    const iterator: AsyncIterableIterator<Chunk, undefined> = {
      next: () => stream.next(this),
      return: (value) => stream.return(value),
      throw: (error) => stream.throw(error),
      [Symbol.asyncIterator]: () => iterator,
    };
    return iterator;
  }

  /**
   * Ends the generation now. The reader gets the text so far, and `result` resolves with it and finishReason `'abort'`.
   */
  cancel(): void {
    this.#run.cancel();
  }

  /** Calls {@link cancel}, at the end of an `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.cancel();
  }
}
