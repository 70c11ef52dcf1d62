import { callNative, closedError, type GrokError } from './errors.js';
import type { NativeModel, NativeOutput, NativeRequest } from './native.js';

/** Someone a sequence runs for. */
export interface StepListener {
  /** false: leave the sequence out of the next steps, until {@link StepLoop.wake}. */
  wantsTokens(): boolean;
  /** What a step brought. Must not throw. */
  accept(output: NativeOutput, stepStartedAt: number): void;
  /** The sequence is gone. Must not throw. */
  fail(error: unknown): void;
}

/** Drives one engine: one step at a time, for all sequences that want tokens, as long as there is one. */
export class StepLoop {
  readonly #model: NativeModel;
  readonly #listeners = new Map<number, StepListener>();
  #running = false;
  /** Something changed since the last step began. */
  #woken = false;
  #closed: GrokError | undefined;

  constructor(model: NativeModel) {
    this.#model = model;
  }

  /** Submits a request. Rejects when it cannot be run. */
  async add(request: NativeRequest, listener: StepListener): Promise<number> {
    if (this.#closed) throw this.#closed;
    const sequence = await callNative(async () => this.#model.submit(request));
    if (this.#closed) throw this.#closed;
    this.#listeners.set(sequence, listener);
    this.wake();
    return sequence;
  }

  /** Forgets a sequence; what a step in flight brings for it is dropped. */
  remove(sequence: number): void {
    if (!this.#listeners.delete(sequence)) return;
    this.#release(sequence);
    this.wake(); // its place in the cache may be what another waited for
  }

  /** A listener wants tokens again. */
  wake(): void {
    this.#woken = true;
    if (!this.#running) void this.#run();
  }

  /** Ends every sequence with GROK_CLOSED, and refuses new ones. The model is the caller's to close. */
  close(): void {
    this.#closed = closedError();
    for (const sequence of [...this.#listeners.keys()]) this.#fail(sequence, this.#closed);
  }

  async #run(): Promise<void> {
    this.#running = true;
    while (!this.#closed) {
      const runnable = [...this.#listeners]
        .filter(([, listener]) => listener.wantsTokens())
        .map(([sequence]) => sequence);
      if (runnable.length === 0) break;
      this.#woken = false;
      const startedAt = performance.now();
      try {
        const outputs = await callNative(() => this.#model.step(Int32Array.from(runnable)));
        for (const output of outputs) this.#deliver(output, startedAt);
        // All that want tokens wait for cache which others hold: only a change can help.
        if (outputs.length === 0 && !this.#woken) break;
      } catch (error) {
        for (const sequence of runnable) this.#fail(sequence, error);
      }
    }
    this.#running = false;
  }

  #deliver(output: NativeOutput, stepStartedAt: number): void {
    const listener = this.#listeners.get(output.sequence);
    if (output.finish !== 'no') this.#listeners.delete(output.sequence); // the engine has released it
    listener?.accept(output, stepStartedAt);
  }

  #fail(sequence: number, error: unknown): void {
    const listener = this.#listeners.get(sequence);
    if (!listener) return;
    this.#listeners.delete(sequence);
    this.#release(sequence);
    listener.fail(error);
  }

  #release(sequence: number): void {
    // Rejects only on a closed model, which has nothing left to release.
    if (!this.#closed) this.#model.release(sequence).catch(() => {});
  }
}
