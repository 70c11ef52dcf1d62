import type { Chunk } from '../engine/completion.js';

// A screenful of text, by which the generation may be ahead of its reader.
const unreadLimit = 256;

/** A queue of chunks from a generation to its reader. */
export class ChunkStream {
  readonly #unread: Chunk[] = [];
  readonly #readers: Reader[] = [];
  #unreadSince: number | undefined;
  #state: 'open' | 'ended' | 'failed' = 'open';
  #error: unknown;
  readonly #onRead: () => void;
  readonly #onReturn: () => void;

  /** `onRead`: a reader waits for a chunk. `onReturn`: nobody will read again. */
  constructor(hooks: { onRead: () => void; onReturn: () => void }) {
    this.#onRead = hooks.onRead;
    this.#onReturn = hooks.onReturn;
  }

  get isFull(): boolean {
    return this.#unread.length >= unreadLimit;
  }

  /** Time, as `performance.now()`, since which a chunk has been unread. Each read restarts it. */
  get unreadSince(): number | undefined {
    return this.#unread.length > 0 ? this.#unreadSince : undefined;
  }

  push(chunk: Chunk): void {
    if (this.#state !== 'open') return;
    const reader = this.#readers.shift();
    if (reader) {
      reader.resolve({ done: false, value: chunk });
      return;
    }
    if (this.#unread.length === 0) this.#unreadSince = performance.now();
    this.#unread.push(chunk);
  }

  /** Ends the stream. Unread chunks can still be read. */
  end(): void {
    if (this.#state !== 'open') return;
    this.#state = 'ended';
    for (const reader of this.#readers.splice(0)) reader.resolve({ done: true, value: undefined });
  }

  /** Fails the stream and drops unread chunks, so that an abort takes effect at once. */
  fail(error: unknown): void {
    if (this.#state !== 'open') return;
    this.#state = 'failed';
    this.#error = error;
    this.#unread.length = 0;
    for (const reader of this.#readers.splice(0)) reader.reject(error);
  }

  /** `holder` cannot become garbage while this read waits. */
  next(holder: object): Promise<IteratorResult<Chunk, undefined>> {
    const value = this.#unread.shift();
    this.#unreadSince = performance.now();
    this.#onRead();
    if (value) return Promise.resolve({ done: false, value });
    if (this.#state === 'open')
      return new Promise((resolve, reject) => this.#readers.push({ holder, resolve, reject }));
    if (this.#state === 'failed') return Promise.reject(this.#error);
    return Promise.resolve({ done: true, value: undefined });
  }

  /** Called by `break` in a `for await`. */
  async return(value?: undefined | PromiseLike<undefined>): Promise<IteratorReturnResult<undefined>> {
    this.#leave();
    return { done: true, value: await value };
  }

  /** Ends the stream like `return`, then throws the reader's error. */
  async throw(error: unknown): Promise<never> {
    this.#leave();
    throw error;
  }

  #leave(): void {
    this.#onReturn();
    this.end();
    this.#unread.length = 0;
  }
}

interface Reader {
  readonly holder: object;
  resolve(result: IteratorResult<Chunk, undefined>): void;
  reject(error: unknown): void;
}
