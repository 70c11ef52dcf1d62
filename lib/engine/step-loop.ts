import { callNative, fromNative } from '../addon/calls.js';
import type { NativeModel, NativeOutput, NativeRequest } from '../addon/types.js';
import { closedError, GrokError, notFiniteError } from '../errors.js';
import { defaults } from '../options/schema.js';

/** The receiver of a sequence's outputs. */
export interface StepListener {
  /** false: leave the sequence out of the next steps, until {@link StepLoop.wake}. */
  wantsTokens(): boolean;
  /** Since when its reader has left unread what there is, as `performance.now()`. undefined: nothing is unread. */
  unreadSince(): number | undefined;
  /** Takes the output of a step. A listener that throws fails with its own error. */
  accept(output: NativeOutput, stepStartedAt: number): void;
  /** The sequence is gone. */
  fail(error: unknown): void;
}

/** A listener's place: first its request is made, then it waits in the queue, then it is the engine's. */
interface Place {
  readonly listener: StepListener;
  request: NativeRequest | undefined;
  /** Id in the engine. */
  sequence: number | undefined;
  /** A step has brought something for it. */
  hasStarted: boolean;
  /** It wants no tokens now. */
  isPaused: boolean;
}

interface StepInFlight {
  readonly outputs: Promise<NativeOutput[]>;
  readonly calledAt: number;
  /** How often something had changed by then. */
  readonly numChanges: number;
}

// Requests in the engine for each that can run. Enough that two steps in flight never lack one, however short they are.
const submittedPerSequence = 4;

// A request that has waited no longer than this may yet find a free place by itself.
const shortWaitMs = 50;

/**
 * Drives one engine step by step, as long as a sequence wants tokens. Keeps two steps in flight, so that JavaScript
 * processes one step's tokens while the engine runs the next.
 *
 * The engine is given a few more requests than it can run. The others wait here, so that no step looks at them.
 */
export class StepLoop {
  static readonly #mostInFlight = 2;
  readonly #model: NativeModel;
  readonly #maxQueue: number;
  readonly #readTimeout: number;
  readonly #places = new Map<StepListener, Place>();
  /** Requests that are not in the engine yet, oldest first. */
  readonly #queue = new Set<Place>();
  readonly #submitted = new Map<number, Place>();
  #numSubmitting = 0;
  #numStarted = 0;
  readonly #inFlight: StepInFlight[] = []; // first the one that runs
  /** What the model was told last. */
  #runnable: readonly number[] = [];
  #running = false;
  #tellsSoon = false;
  #numChanges = 0;
  #readerWatch: NodeJS.Timeout | undefined;
  #closed: GrokError | undefined;

  /** `maxQueue` and `readTimeout` as in {@link LoadOptions}. */
  constructor(model: NativeModel, { maxQueue, readTimeout }: QueueLimits = defaults.load) {
    this.#model = model;
    this.#maxQueue = maxQueue;
    this.#readTimeout = readTimeout;
  }

  /** Requests that steps work on, and requests whose first step is to come. */
  get numRequests(): { running: number; waiting: number } {
    return { running: this.#numStarted, waiting: this.#places.size - this.#numStarted };
  }

  /**
   * Takes a place for a request that follows.
   * @throws {GrokError} GROK_BUSY, GROK_CLOSED
   */
  add(listener: StepListener): void {
    if (this.#closed) throw this.#closed;
    if (this.#places.size >= this.#model.maxSequences + this.#maxQueue) throw this.#busyError();
    const place = { listener, request: undefined, sequence: undefined, hasStarted: false, isPaused: false };
    this.#places.set(listener, place);
  }

  /** Queues the request of a listener that has a place. Fails the listener when the request cannot be run. */
  submit(listener: StepListener, request: NativeRequest): void {
    const place = this.#places.get(listener);
    if (!place) return;
    place.request = request;
    this.#queue.add(place);
    this.#submitNext();
  }

  /** Gives a listener's place up; what a step in flight brings for it is dropped. */
  remove(listener: StepListener): void {
    const place = this.#places.get(listener);
    if (!place) return;
    this.#forget(place);
    this.#release(place);
    this.#submitNext();
    this.#change(); // its place in the cache may be what another waited for
  }

  /** A listener wants tokens again. */
  wake(listener: StepListener): void {
    if (this.#places.get(listener)?.isPaused) this.#change();
  }

  /** Ends every sequence with GROK_CLOSED, and refuses new ones. The model is the caller's to close. */
  close(): void {
    this.#closed = closedError();
    clearTimeout(this.#readerWatch);
    for (const place of [...this.#places.values()]) this.#fail(place, this.#closed);
  }

  #submitNext(): void {
    const mostSubmitted = submittedPerSequence * this.#model.maxSequences;
    for (const place of this.#queue) {
      if (this.#submitted.size + this.#numSubmitting >= mostSubmitted) return;
      this.#queue.delete(place);
      void this.#submitToEngine(place);
    }
  }

  async #submitToEngine(place: Place): Promise<void> {
    const { request } = place;
    if (!request) return;
    place.request = undefined; // the engine has a copy
    this.#numSubmitting++;
    try {
      place.sequence = await callNative(async () => this.#model.submit(request));
      if (this.#places.has(place.listener)) this.#submitted.set(place.sequence, place);
      else this.#release(place);
    } catch (error) {
      if (this.#places.has(place.listener)) this.#fail(place, error);
    } finally {
      this.#numSubmitting--;
      this.#change();
    }
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
        for (const sequence of this.#endedBy(error)) {
          const place = this.#submitted.get(sequence);
          if (place) this.#fail(place, error);
        }
      }
      this.#submitNext();
    }
    this.#running = false;
  }

  #callForStep(): void {
    const outputs = callNative(() => this.#model.step());
    outputs.catch(() => {}); // met when its turn comes, unless the loop is closed by then
    const calledAt = performance.now();
    this.#inFlight.push({ outputs, calledAt, numChanges: this.#numChanges });
  }

  /** Tells the model of a change. Changes of the same turn are told once. */
  #change(): void {
    this.#numChanges++;
    if (!this.#running) void this.#run();
    else if (!this.#tellsSoon) {
      this.#tellsSoon = true;
      queueMicrotask(() => {
        try {
          this.#tellRunnable();
        } catch {
          // The loop tells the model before the next step, and answers for what fails then.
        }
      });
    }
  }

  #tellRunnable(): void {
    this.#tellsSoon = false;
    if (this.#closed) return;
    const runnable: number[] = [];
    for (const [sequence, place] of this.#submitted) {
      place.isPaused = !place.listener.wantsTokens();
      if (!place.isPaused) runnable.push(sequence);
    }
    this.#watchReaders();
    const isKnown =
      runnable.length === this.#runnable.length && runnable.every((id, index) => id === this.#runnable[index]);
    if (isKnown) return;
    this.#runnable = []; // if the model cannot be told
    this.#model.setRunnable(Float64Array.from(runnable));
    this.#runnable = runnable;
  }

  /** While requests wait: ends the one whose reader has paused longest, once that was for `readTimeout`. */
  #watchReaders(): void {
    const numWaiting = this.#queue.size + this.#submitted.size - this.#numStarted;
    const oldest = numWaiting > 0 && this.#readTimeout > 0 ? this.#longestUnread() : undefined;
    if (!oldest) {
      clearTimeout(this.#readerWatch);
      this.#readerWatch = undefined;
      return;
    }
    const msLeft = oldest.since + this.#readTimeout - performance.now();
    this.#readerWatch ??= setTimeout(
      () => {
        this.#readerWatch = undefined;
        const unread = this.#longestUnread();
        if (unread && performance.now() - unread.since >= this.#readTimeout)
          this.#fail(unread.place, readTimeoutError(this.#readTimeout));
        this.#change();
      },
      Math.max(shortWaitMs, msLeft),
    );
  }

  /** Of those that hold cache. */
  #longestUnread(): { place: Place; since: number } | undefined {
    let longest: { place: Place; since: number } | undefined;
    for (const place of this.#submitted.values()) {
      const since = place.hasStarted ? place.listener.unreadSince() : undefined;
      if (since !== undefined && since < (longest?.since ?? Infinity)) longest = { place, since };
    }
    return longest;
  }

  #deliver(output: NativeOutput, stepStartedAt: number): void {
    const place = this.#submitted.get(output.sequence);
    if (!place) return;
    if (!place.hasStarted) this.#numStarted++;
    place.hasStarted = true;
    if (output.notFiniteAt !== null) {
      this.#fail(place, notFiniteError(output.notFiniteAt));
      return;
    }
    if (output.finish !== 'no') this.#forget(place); // the engine has released it
    try {
      place.listener.accept(output, stepStartedAt);
    } catch (error) {
      this.#fail(place, error);
    }
  }

  /** The sequences that a failed step ends: those that were in it, which the addon names. */
  #endedBy(error: unknown): Iterable<number> {
    const { sequences } = ((error as Error).cause ?? {}) as { sequences?: Float64Array };
    const all = [...this.#submitted.keys()];
    if (!sequences) return all;
    // A step that could not begin fails the oldest, or the loop could retry it for ever.
    return sequences.length > 0 ? sequences : all.slice(0, 1);
  }

  #fail(place: Place, error: unknown): void {
    this.#forget(place);
    this.#release(place);
    try {
      place.listener.fail(error);
    } catch {
      // The others must hear of theirs.
    }
  }

  #forget(place: Place): void {
    if (!this.#places.delete(place.listener)) return;
    this.#queue.delete(place);
    if (place.sequence !== undefined) this.#submitted.delete(place.sequence);
    if (place.hasStarted) this.#numStarted--;
  }

  #release({ sequence }: Place): void {
    // Rejects only on a closed model, which has nothing left to release.
    if (sequence === undefined || this.#closed) return;
    callNative(() => this.#model.release(sequence)).catch(() => {});
  }

  #busyError(): GrokError {
    const { running, waiting } = this.numRequests;
    return new GrokError(
      `Expected at most ${this.#model.maxSequences} requests to run and ${this.#maxQueue} to wait, ` +
        `found ${running} that run and ${waiting} that wait`,
      {
        code: 'GROK_BUSY',
        hint: 'Try again when others have ended, make fewer requests at once, or load the model with a larger `maxQueue`.',
        details: { running, waiting, maxQueue: this.#maxQueue },
      },
    );
  }
}

/** Options of {@link LoadOptions} after their checks. */
export interface QueueLimits {
  readonly maxQueue: number;
  /** Milliseconds; 0: none. */
  readonly readTimeout: number;
}

function readTimeoutError(readTimeout: number): GrokError {
  return new GrokError(`Nobody read this generation for ${readTimeout} ms while other requests waited for its place`, {
    code: 'GROK_READ_TIMEOUT',
    hint: 'Read without long pauses, ask for `result` before reading, or load the model with a larger `readTimeout`.',
    details: { readTimeout },
  });
}
