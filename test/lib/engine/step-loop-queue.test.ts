import { describe, expect, it } from 'vitest';
import type { NativeOutput } from '../../../lib/addon/types.js';
import { StepLoop } from '../../../lib/engine/step-loop.js';
import { FakeModel, until } from './fake-model.js';
import { Listener, request, start } from './step-listener.js';

describe('the queue', () => {
  const limits = { maxQueue: 1024, readTimeout: 0 };

  it('refuses a request beyond those that run and those that may wait, until one has ended', async () => {
    const model = new FakeModel({ maxSequences: 2 });
    const loop = new StepLoop(model, { ...limits, maxQueue: 3 });
    const listeners = Array.from({ length: 5 }, () => new Listener());
    for (const listener of listeners) start(loop, request(3), listener);
    expect(() => loop.add(new Listener())).toThrow(
      expect.objectContaining({ code: 'GROK_BUSY', hint: expect.stringContaining('`maxQueue`') }),
    );
    await until(() => listeners[0]?.ended === true);
    start(loop, request(3), new Listener());
    await until(() => listeners.every(({ ended }) => ended));
  });

  it('counts a place whose request is still to come, and one that was given up no more', () => {
    const loop = new StepLoop(new FakeModel({ maxSequences: 1 }), { ...limits, maxQueue: 0 });
    const encoding = new Listener();
    loop.add(encoding);
    expect(() => loop.add(new Listener())).toThrow(expect.objectContaining({ code: 'GROK_BUSY' }));
    loop.remove(encoding);
    loop.add(new Listener());
  });

  it('runs all in the order in which they came, and shows each step a few at most', async () => {
    const model = new FakeModel({ maxSequences: 2 });
    const loop = new StepLoop(model, limits);
    const order: number[] = [];
    const inEngine: number[] = [];
    const submit = model.submit.bind(model);
    model.submit = async (wanted) => {
      const sequence = await submit(wanted);
      inEngine.push(model.numSequences);
      return sequence;
    };
    const listeners = Array.from({ length: 100 }, (_, index) => {
      const listener = new Listener();
      const accept = (output: NativeOutput) => {
        if (listener.outputs.length === 0) order.push(index);
        listener.accept(output);
      };
      const { wantsTokens, unreadSince, fail } = listener;
      start(loop, request(2), { wantsTokens, unreadSince, fail, accept });
      return listener;
    });
    await until(() => listeners.every(({ ended }) => ended));
    expect(order).toEqual(Array.from({ length: 100 }, (_, index) => index));
    expect(Math.max(...inEngine)).toBeLessThanOrEqual(8);
    expect(loop.numRequests).toEqual({ running: 0, waiting: 0 });
  });

  it('never runs one that was removed while it waited or while it was submitted', async () => {
    const model = new FakeModel({ maxSequences: 1 });
    const loop = new StepLoop(model, limits);
    const listeners = Array.from({ length: 10 }, () => new Listener());
    for (const listener of listeners) start(loop, request(2), listener);
    const [first, , , , ...late] = listeners;
    for (const listener of [first, ...late.slice(0, 5)]) if (listener) loop.remove(listener);
    const kept = [...listeners.slice(1, 4), ...late.slice(5)];
    await until(() => kept.every(({ ended }) => ended));
    expect(first?.outputs).toEqual([]);
    expect(late[0]?.outputs).toEqual([]);
    expect(model.requests).toHaveLength(5);
    expect(model.numSequences).toBe(0);
  });
});
