import { callNative, fromNative } from '../addon/calls.js';
import type { NativeModel, NativeOutput, NativeRequest } from '../addon/types.js';
import { closedError, GrokError, notFiniteError } from '../errors.js';
import { defaults } from '../options/schema.js';

/** The receiver of a sequence's outputs. */
export interface StepListener {
  /** false: leave the sequence out of the next steps, until {@link StepLoop.wake}. */
  wantsTokens(): boolean;
  /** Time, as `performance.now()`, since which its reader has left text unread. undefined: nothing is unread. */
  unreadSince(): number | undefined;
  /** Takes the output of a step. A listener that throws fails with its own error. */
  accept(output: NativeOutput, stepStartedAt: number): void;
  /** The sequence has ended. */
  fail(error: unknown): void;
}

/** A listener's place: first its request is made, then it waits in the queue, then the engine has it. */
interface Place {
  readonly listener: StepListener;
  request: NativeRequest | undefined;
  /** Id in the engine. */
  sequence: number | undefined;
  /** A step has processed part of it. */
  hasStarted: boolean;
  /** It needs no tokens now. */
  isPaused: boolean;
  /** It gave its cache up: `unreadSince` of its listener at that time. Another value means that its reader reads again. */
  suspendedSince: number | undefined;
}

interface StepInFlight {
  readonly outputs: Promise<NativeOutput[]>;
  readonly calledAt: number;
  /** Value of the loop's change counter at the call. */
  readonly numChanges: number;
}

// Requests in the engine for each that can run: enough for two steps in flight, however short they are.
const submittedPerSequence = 4;

// A request that has waited less than this may still get a free place by itself.
const shortWaitMs = 50;

/**
 * Drives one engine step by step while a sequence needs tokens. Keeps two steps in flight, so that JavaScript processes
 * one step's tokens while the engine runs the next.
 *
 * The engine holds a few more requests than it can run. The others wait here, because each step visits every request of
 * the engine.
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
  #numSuspended = 0;
  readonly #inFlight: StepInFlight[] = []; // the running one first
  /** The runnable sequences that the model was given last. */
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

  /** Requests that steps process, and requests that wait for their first step. */
  get numRequests(): { running: number; waiting: number } {
    return { running: this.#numStarted, waiting: this.#places.size - this.#numStarted };
  }

  /**
   * Reserves a place for a request that follows.
   * @throws {GrokError} GROK_BUSY, GROK_CLOSED
   */
  add(listener: StepListener): void {
    if (this.#closed) throw this.#closed;
    if (this.#places.size >= this.#model.maxSequences + this.#maxQueue) {
      const abandoned = this.#longestUnread(({ suspendedSince }) => suspendedSince !== undefined);
      if (!abandoned) throw this.#busyError();
      this.#fail(abandoned.place, readTimeoutError(this.#readTimeout));
    }
    const none = { request: undefined, sequence: undefined, suspendedSince: undefined };
    this.#places.set(listener, { listener, hasStarted: false, isPaused: false, ...none });
  }

  /** Queues the request of a listener that has a place. Fails the listener if the request cannot run. */
  submit(listener: StepListener, request: NativeRequest): void {
    const place = this.#places.get(listener);
    if (!place) return;
    place.request = request;
    this.#queue.add(place);
    this.#submitNext();
  }

  /** Frees a listener's place; output of steps in flight for it is dropped. */
  remove(listener: StepListener): void {
    const place = this.#places.get(listener);
    if (!place) return;
    this.#forget(place);
    this.#release(place);
    this.#submitNext();
    this.#change(); // another request may wait for its cache
  }

  /** A listener needs tokens again. */
  wake(listener: StepListener): void {
    if (this.#places.get(listener)?.isPaused) this.#change();
  }

  /** Ends every sequence with GROK_CLOSED, and refuses new ones. The caller closes the model. */
  close(): void {
    this.#closed = closedError();
    clearTimeout(this.#readerWatch);
    for (const place of [...this.#places.values()]) this.#fail(place, this.#closed);
  }

  #submitNext(): void {
    const mostSubmitted = submittedPerSequence * this.#model.maxSequences;
    for (const place of this.#queue) {
      if (this.#submitted.size - this.#numSuspended + this.#numSubmitting >= mostSubmitted) return;
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
        // All sequences that need tokens wait for cache that others hold, so only a change can help.
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
    outputs.catch(() => {}); // handled when its turn comes, unless the loop is closed by then
    const calledAt = performance.now();
    this.#inFlight.push({ outputs, calledAt, numChanges: this.#numChanges });
  }

  /** Tells the model of changes, once for all changes of the same turn. */
  #change(): void {
    this.#numChanges++;
    if (!this.#running) void this.#run();
    else if (!this.#tellsSoon) {
      this.#tellsSoon = true;
      queueMicrotask(() => {
        try {
          this.#tellRunnable();
        } catch {
          // The loop tells the model before the next step, and handles an error there.
        }
      });
    }
  }

  #tellRunnable(): void {
    this.#tellsSoon = false;
    if (this.#closed) return;
    const runnable: number[] = [];
    let numWaiting = this.#queue.size;
    for (const [sequence, place] of this.#submitted) {
      if (place.suspendedSince !== undefined && place.listener.unreadSince() !== place.suspendedSince)
        this.#resume(place);
      place.isPaused = place.suspendedSince !== undefined || !place.listener.wantsTokens();
      if (place.isPaused) continue;
      runnable.push(sequence);
      if (!place.hasStarted) numWaiting++;
    }
    this.#watchReaders(numWaiting);
    const isKnown =
      runnable.length === this.#runnable.length && runnable.every((id, index) => id === this.#runnable[index]);
    if (isKnown) return;
    this.#runnable = []; // in case the model cannot be told
    this.#model.setRunnable(Float64Array.from(runnable));
    this.#runnable = runnable;
  }

  /** While requests wait: suspends the one whose reader has paused longest, after `readTimeout`. */
  #watchReaders(numWaiting: number): void {
    const holdsCache = ({ hasStarted }: Place) => hasStarted;
    const oldest = numWaiting > 0 && this.#readTimeout > 0 ? this.#longestUnread(holdsCache) : undefined;
    if (!oldest) {
      clearTimeout(this.#readerWatch);
      this.#readerWatch = undefined;
      return;
    }
    const msLeft = oldest.since + this.#readTimeout - performance.now();
    this.#readerWatch ??= setTimeout(
      () => {
        this.#readerWatch = undefined;
        const unread = this.#longestUnread(holdsCache);
        if (unread && performance.now() - unread.since >= this.#readTimeout) this.#suspend(unread.place, unread.since);
        this.#change();
      },
      Math.max(shortWaitMs, msLeft),
    );
  }

  /** The sequence gives its cache to those that wait. It waits for a place again when its reader goes on. */
  #suspend(place: Place, unreadSince: number): void {
    if (place.sequence === undefined) return;
    place.suspendedSince = unreadSince;
    this.#numSuspended++;
    place.hasStarted = false;
    this.#numStarted--;
    try {
      this.#tellRunnable(); // first, so that no step gives it a place again
      this.#model.suspend(place.sequence);
    } catch {
      this.#resume(place); // it kept its place, and is suspended later if others still wait
    }
  }

  #resume(place: Place): void {
    if (place.suspendedSince === undefined) return;
    place.suspendedSince = undefined;
    this.#numSuspended--;
  }

  /** The longest pause among the readers of some places. */
  #longestUnread(isOfThem: (place: Place) => boolean): { place: Place; since: number } | undefined {
    let longest: { place: Place; since: number } | undefined;
    for (const place of this.#submitted.values()) {
      const since = isOfThem(place) ? place.listener.unreadSince() : undefined;
      if (since !== undefined && since < (longest?.since ?? Infinity)) longest = { place, since };
    }
    return longest;
  }

  #deliver(output: NativeOutput, stepStartedAt: number): void {
    const place = this.#submitted.get(output.sequence);
    if (!place) return;
    if (!place.hasStarted && place.suspendedSince === undefined) {
      this.#numStarted++;
      place.hasStarted = true;
    }
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

  /** The sequences that a failed step ends: those that it ran, which the addon names. */
  #endedBy(error: unknown): Iterable<number> {
    const { sequences } = ((error as Error).cause ?? {}) as { sequences?: Float64Array };
    const all = [...this.#submitted.keys()];
    if (!sequences) return all;
    // A step that could not begin fails the oldest sequence. Otherwise the loop could retry it forever.
    return sequences.length > 0 ? sequences : all.slice(0, 1);
  }

  #fail(place: Place, error: unknown): void {
    this.#forget(place);
    this.#release(place);
    try {
      place.listener.fail(error);
    } catch {
      // The other listeners must still receive theirs.
    }
  }

  #forget(place: Place): void {
    if (!this.#places.delete(place.listener)) return;
    this.#queue.delete(place);
    if (place.sequence !== undefined) this.#submitted.delete(place.sequence);
    if (place.hasStarted) this.#numStarted--;
    this.#resume(place);
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

/** Checked options of {@link LoadOptions}. */
export interface QueueLimits {
  readonly maxQueue: number;
  /** Milliseconds; 0: no limit. */
  readonly readTimeout: number;
}

function readTimeoutError(readTimeout: number): GrokError {
  return new GrokError(`Nobody read this generation for ${readTimeout} ms, and another request needed its place`, {
    code: 'GROK_READ_TIMEOUT',
    hint: 'Read without long pauses, access `result` before reading, or load the model with a larger `readTimeout`.',
    details: { readTimeout },
  });
}
