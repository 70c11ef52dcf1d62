/** The part of an AbortSignal that is used. Polyfills and signals of other realms have it, too. */
export interface AbortSignalLike {
  readonly aborted: boolean;
  /** An abort rejects with it. Default: an AbortError. */
  readonly reason?: unknown;
  addEventListener(type: 'abort', listener: () => void): void;
  removeEventListener(type: 'abort', listener: () => void): void;
}

/** A caller's signal, for any number of operations that share one listener. */
export class Abort {
  static readonly #known = new WeakMap<AbortSignalLike, Abort>();

  readonly signal: AbortSignalLike;
  readonly #callbacks = new Set<(reason: unknown) => void>();
  #ownReason: DOMException | undefined;

  private constructor(signal: AbortSignalLike) {
    this.signal = signal;
  }

  static of(signal: AbortSignalLike): Abort {
    const abort = Abort.#known.get(signal) ?? new Abort(signal);
    Abort.#known.set(signal, abort);
    return abort;
  }

  get aborted(): boolean {
    return this.signal.aborted;
  }

  /** Never undefined once the signal has aborted. */
  get reason(): unknown {
    const { reason } = this.signal;
    if (reason !== undefined) return reason;
    this.#ownReason ??= new DOMException('This operation was aborted', 'AbortError');
    return this.#ownReason;
  }

  throwIfAborted(): void {
    if (this.aborted) throw this.reason;
  }

  /** Calls back at the abort, unless the function that this returns was called before. Callbacks must not throw. */
  listen(callback: (reason: unknown) => void): () => void {
    if (this.#callbacks.size === 0) this.signal.addEventListener('abort', this.#onAbort);
    this.#callbacks.add(callback);
    return () => {
      if (this.#callbacks.delete(callback) && this.#callbacks.size === 0) this.#stopListening();
    };
  }

  readonly #onAbort = () => {
    const callbacks = [...this.#callbacks];
    this.#callbacks.clear();
    this.#stopListening();
    for (const callback of callbacks) callback(this.reason);
  };

  #stopListening(): void {
    try {
      this.signal.removeEventListener('abort', this.#onAbort);
    } catch {
      // The operation is over. An abort that is still heard finds no callback.
    }
  }
}
