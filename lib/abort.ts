/** The members of an AbortSignal that the library uses. Polyfills and signals of other realms have them, too. */
export interface AbortSignalLike {
  readonly aborted: boolean;
  /** The reason with which an aborted call rejects. Default: an AbortError. */
  readonly reason?: unknown;
  addEventListener(type: 'abort', listener: () => void): void;
  removeEventListener(type: 'abort', listener: () => void): void;
}

/** A caller's signal, shared by any number of operations with one listener. */
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

  /** Calls `callback` at the abort, unless the returned function was called before. Callbacks must not throw. */
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
      // The operation is over. A later abort finds no callback.
    }
  }
}
