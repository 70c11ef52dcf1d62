import { callNative, closedError, fromNative, type GrokError } from './errors.js';
import type { NativeModel, NativeOutput, NativeRequest } from './native.js';

/** Someone a sequence runs for. */
export interface StepListener {
  /** false: leave the sequence out of the next steps, until {@link StepLoop.wake}. */
  wantsTokens(): boolean;
  /** What a step brought. One that throws fails with what it threw. */
  accept(output: NativeOutput, stepStartedAt: number): void;
  /** The sequence is gone. */
  fail(error: unknown): void;
}

interface StepInFlight {
  readonly outputs: Promise<NativeOutput[]>;
  readonly calledAt: number;
  /** How often something had changed by then. */
  readonly numChanges: number;
}

/**
 * Drives one engine: step by step, for all sequences that want tokens, as long as there is one. While one step runs the next
 * waits for it, so that the engine does not wait for JavaScript: what that makes of a step's tokens, it makes during the next.
 */
export class StepLoop {
  static readonly #mostInFlight = 2;
  readonly #model: NativeModel;
  readonly #listeners = new Map<number, StepListener>();
  readonly #inFlight: StepInFlight[] = []; // first the one that runs
  /** What the model was told last. */
  #runnable: readonly number[] = [];
  #running = false;
  #numChanges = 0;
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
    this.#numChanges++;
    if (!this.#running) void this.#run();
    else
      try {
        this.#tellRunnable();
      } catch {
        // The loop tells the model before the next step, and answers for what fails then.
      }
  }

  /** Ends every sequence with GROK_CLOSED, and refuses new ones. The model is the caller's to close. */
  close(): void {
    this.#closed = closedError();
    for (const sequence of [...this.#listeners.keys()]) this.#fail(sequence, this.#closed);
  }

  async #run(): Promise<void> {
    this.#running = true;
    let isStuck = false;
    let lastEndedAt = 0;
    while (!this.#closed) {
      try {
        this.#tellRunnable();
        while (this.#runnable.length > 0 && !isStuck && this.#inFlight.length < StepLoop.#mostInFlight)
          this.#callForStep();
        const [step] = this.#inFlight;
        if (!step) break;
        const outputs = await step.outputs.finally(() => this.#inFlight.shift());
        const startedAt = Math.max(step.calledAt, lastEndedAt);
        lastEndedAt = performance.now();
        for (const output of outputs) this.#deliver(output, startedAt);
        // All that want tokens wait for cache which others hold: only a change can help.
        isStuck = outputs.length === 0 && step.numChanges === this.#numChanges;
      } catch (thrown) {
        const error = fromNative(thrown);
        for (const sequence of this.#endedBy(error)) this.#fail(sequence, error);
      }
    }
    this.#running = false;
  }

  #callForStep(): void {
    const outputs = callNative(() => this.#model.step());
    outputs.catch(() => {}); // met when its turn comes, unless the loop is closed by then
    const calledAt = performance.now();
    this.#inFlight.push({ outputs, calledAt, numChanges: this.#numChanges });
  }

  #tellRunnable(): void {
    if (this.#closed) return;
    const runnable = [...this.#listeners]
      .filter(([, listener]) => listener.wantsTokens())
      .map(([sequence]) => sequence);
    const isKnown =
      runnable.length === this.#runnable.length && runnable.every((id, index) => id === this.#runnable[index]);
    if (isKnown) return;
    this.#runnable = []; // if the model cannot be told
    this.#model.setRunnable(Int32Array.from(runnable));
    this.#runnable = runnable;
  }

  #deliver(output: NativeOutput, stepStartedAt: number): void {
    const listener = this.#listeners.get(output.sequence);
    if (output.finish !== 'no') this.#listeners.delete(output.sequence); // the engine has released it
    try {
      listener?.accept(output, stepStartedAt);
    } catch (error) {
      this.#fail(output.sequence, error, listener);
    }
  }

  /** The sequences that a failed step ends: those that were in it, which the addon names. */
  #endedBy(error: unknown): Iterable<number> {
    const { sequences } = ((error as Error).cause ?? {}) as { sequences?: Int32Array };
    const all = [...this.#listeners.keys()];
    if (!sequences) return all;
    // A step that never began costs the oldest, or the loop could call for it for ever.
    return sequences.length > 0 ? sequences : all.slice(0, 1);
  }

  #fail(sequence: number, error: unknown, listener = this.#listeners.get(sequence)): void {
    if (!listener) return;
    this.#listeners.delete(sequence);
    this.#release(sequence);
    try {
      listener.fail(error);
    } catch {
      // The others must hear of theirs.
    }
  }

  #release(sequence: number): void {
    // Rejects only on a closed model, which has nothing left to release.
    if (!this.#closed) callNative(() => this.#model.release(sequence)).catch(() => {});
  }
}
