import { createContext, runInContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { Abort, type AbortSignalLike } from '../../lib/abort.js';
import { greedyRequest } from '../../lib/engine/native-request.js';
import { runToEnd } from '../../lib/engine/run-to-end.js';
import { StepLoop } from '../../lib/engine/step-loop.js';
import { abortSignal } from '../../lib/options/checks.js';
import { resolveGenerateOptions, resolveLoadOptions } from '../../lib/options/resolve.js';
import { FakeModel } from './engine/fake-model.js';

/** As in polyfills of old: no `reason`, no `throwIfAborted`, listeners without options. */
class PolyfillSignal implements AbortSignalLike {
  aborted = false;
  readonly listeners: (() => void)[] = [];

  addEventListener(_: 'abort', listener: () => void): void {
    this.listeners.push(listener);
  }

  removeEventListener(_: 'abort', listener: () => void): void {
    this.listeners.splice(this.listeners.indexOf(listener), 1);
  }

  abort(): void {
    this.aborted = true;
    for (const listener of [...this.listeners]) listener();
  }
}

const numWarnings = async (body: () => Promise<void>): Promise<number> => {
  const warnings: Error[] = [];
  const onWarning = (warning: Error) => warnings.push(warning);
  process.on('warning', onWarning);
  await body();
  await new Promise((resolve) => setImmediate(resolve));
  process.off('warning', onWarning);
  return warnings.length;
};

describe('a signal', () => {
  it.each([
    ['`aborted` is a boolean', { addEventListener() {}, removeEventListener() {} }],
    ['`aborted` is a boolean', { aborted: 'no', addEventListener() {}, removeEventListener() {} }],
    ['`addEventListener` is a function', { aborted: false }],
    ['`addEventListener` is a function', { aborted: false, on() {}, off() {} }],
    ['`removeEventListener` is a function', { aborted: false, addEventListener() {} }],
  ])('is refused by name unless %s', (lack, signal) => {
    const refusal = expect.objectContaining({
      code: 'GROK_INVALID_ARGUMENT',
      message: expect.stringContaining(`Expected \`signal\` to be an AbortSignal, whose ${lack}`),
    });
    expect(() => resolveGenerateOptions({ signal } as never, { vocabSize: 8 })).toThrow(refusal);
    expect(() => resolveLoadOptions({ signal } as never)).toThrow(refusal);
  });

  it('may be a polyfill: its abort rejects with an AbortError', () => {
    const signal = new PolyfillSignal();
    const abort = abortSignal(signal);
    const reasons: unknown[] = [];
    abort?.listen((reason) => reasons.push(reason));
    signal.abort();
    signal.abort();
    expect(reasons).toEqual([expect.objectContaining({ name: 'AbortError', code: DOMException.ABORT_ERR })]);
    expect(() => abort?.throwIfAborted()).toThrow(reasons[0] as Error);
    expect(signal.listeners).toEqual([]);
  });

  it('may come from another realm', () => {
    const context = createContext({ EventTarget, Event });
    const signal = runInContext(
      'Object.assign(new (class Signal extends EventTarget {})(), { aborted: false, reason: { theirs: true } })',
      context,
    );
    let heard: unknown;
    abortSignal(signal)?.listen((reason) => {
      heard = reason;
    });
    signal.aborted = true;
    signal.dispatchEvent(new Event('abort'));
    expect(heard).toEqual({ theirs: true });
  });

  it.each([null, 0, '', false])('keeps its reason, be it %j', (reason) => {
    expect(Abort.of(AbortSignal.abort(reason)).reason).toBe(reason);
  });

  it('that cannot forget a listener fails no operation', () => {
    const signal = new PolyfillSignal();
    signal.removeEventListener = () => {
      throw new Error('not today');
    };
    const stopListening = Abort.of(signal).listen(() => expect.unreachable());
    expect(stopListening).not.toThrow();
    signal.abort();
  });
});

describe('one signal for many operations', () => {
  it('has one listener, and none once they are over', async () => {
    const signal = new PolyfillSignal();
    const loop = new StepLoop(new FakeModel({ maxSequences: 64 }));
    const run = () => runToEnd(loop, greedyRequest([300], 3), Abort.of(signal), () => {});
    const runs = Array.from({ length: 50 }, run);
    expect(signal.listeners).toHaveLength(1);
    await Promise.all(runs);
    expect(signal.listeners).toEqual([]);
  });

  it('warns of no leak with 1,000, and aborts each of them once', async () => {
    const controller = new AbortController();
    const reasons: unknown[] = [];
    const warnings = await numWarnings(async () => {
      for (let count = 0; count < 1000; count++) Abort.of(controller.signal).listen((reason) => reasons.push(reason));
      controller.abort('all');
    });
    expect(warnings).toBe(0);
    expect(reasons).toEqual(new Array(1000).fill('all'));
  });

  it('can be listened to by one that begins while another ends', () => {
    const signal = new PolyfillSignal();
    const heard: string[] = [];
    const first = Abort.of(signal).listen(() => heard.push('first'));
    first();
    first();
    Abort.of(signal).listen(() => heard.push('second'));
    signal.abort();
    expect(heard).toEqual(['second']);
  });

  it.each([
    ['AbortSignal.timeout', () => AbortSignal.timeout(5)],
    ['AbortSignal.any', () => AbortSignal.any([AbortSignal.timeout(5), new AbortController().signal])],
  ])('may be made by %s', async (_, make) => {
    const abort = Abort.of(make());
    const reason = await new Promise((resolve) => abort.listen(resolve));
    expect(reason).toMatchObject({ name: 'TimeoutError' });
  });
});
