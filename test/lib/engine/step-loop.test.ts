import { describe, expect, it } from 'vitest';
import type { NativeOutput } from '../../../lib/addon/types.js';
import { StepLoop } from '../../../lib/engine/step-loop.js';
import { FakeModel, turn, until } from './fake-model.js';
import { Listener, request, start } from './step-listener.js';

describe('StepLoop', () => {
  it('refuses a request when closed, and fails one that is closed while it is submitted', async () => {
    const model = new FakeModel();
    const loop = new StepLoop(model);
    const listener = new Listener();
    start(loop, request(1), listener);
    loop.close();
    expect(listener.error).toMatchObject({ code: 'GROK_CLOSED' });
    expect(() => loop.add(new Listener())).toThrow(expect.objectContaining({ code: 'GROK_CLOSED' }));
    await turn();
    await turn();
    expect(model.steps).toEqual([]);
  });

  it('passes on why a request cannot be run', async () => {
    const model = new FakeModel();
    const refusal = new Error('no');
    model.submit = () => {
      throw refusal; // at once, not as a rejection
    };
    const listener = new Listener();
    start(new StepLoop(model), request(1), listener);
    await until(() => listener.error !== undefined);
    expect(listener.error).toBe(refusal);
  });

  it('fails those that were in a failed step, and no other', async () => {
    const model = new FakeModel({ maxSequences: 1 });
    const loop = new StepLoop(model);
    model.failNextStep = Object.assign(new Error('disk'), { code: 'GROK_IO' });
    const listeners = Array.from({ length: 6 }, () => new Listener());
    for (const listener of listeners) start(loop, request(5), listener);
    await until(() => listeners.every(({ ended, error }) => ended || error !== undefined));
    expect(listeners.map(({ error }) => error)).toEqual([
      expect.objectContaining({ code: 'GROK_IO', message: 'disk' }),
      ...new Array<undefined>(5).fill(undefined),
    ]);
    expect(model.numSequences).toBe(0);
  });

  it('fails the oldest when steps cannot even begin, until they can', async () => {
    const model = new FakeModel();
    const loop = new StepLoop(model);
    const step = model.step.bind(model);
    let failures = 3;
    model.step = () => {
      if (failures-- <= 0) return step();
      throw Object.assign(new Error('no memory'), { code: 'GROK_OUT_OF_MEMORY', sequences: new Float64Array() });
    };
    const listeners = Array.from({ length: 4 }, () => new Listener());
    for (const listener of listeners) start(loop, request(2), listener);
    await until(() => listeners.every(({ ended, error }) => ended || error !== undefined));
    const ended = listeners.map((listener) => listener.ended);
    expect(ended).toEqual(ended.toSorted()); // the oldest failed
    expect(ended[0]).toBe(false);
    expect(ended[3]).toBe(true);
  });

  it.each(['setRunnable', 'step'] as const)(
    'fails all when %s fails for ever, and goes on when it works again',
    async (method) => {
      const model = new FakeModel();
      const loop = new StepLoop(model);
      const works = model[method];
      model[method] = () => {
        throw Object.assign(new Error('no memory'), { code: 'GROK_OUT_OF_MEMORY' });
      };
      const listeners = [new Listener(), new Listener()];
      for (const listener of listeners) start(loop, request(2), listener);
      await until(() => listeners.every(({ error }) => error !== undefined));
      model[method] = works as never;
      const next = new Listener();
      start(loop, request(2), next);
      await until(() => next.ended);
      expect(model.numSequences).toBe(0);
    },
  );

  it.each(['accept', 'fail'] as const)('fails only the listener whose %s throws', async (method) => {
    const model = new FakeModel();
    const loop = new StepLoop(model);
    const hostile = new Listener();
    const mistake = new TypeError('not a function');
    hostile[method] = () => {
      throw mistake;
    };
    const other = new Listener();
    start(loop, request(5), hostile);
    start(loop, request(5), other);
    if (method === 'fail')
      hostile.accept = () => {
        throw mistake;
      };
    await until(() => other.ended);
    expect(other.error).toBeUndefined();
    expect(hostile.error).toBe(method === 'accept' ? mistake : undefined);
    expect(model.released).toContain(1);
    expect(model.numSequences).toBe(0);
  });

  it('fails a sequence whose logits are not finite, and no other', async () => {
    const model = new FakeModel();
    const loop = new StepLoop(model);
    const overflowing = new Listener();
    const other = new Listener();
    const step = model.step.bind(model);
    model.step = async () =>
      (await step()).map((output) => ({ ...output, notFiniteAt: output.sequence === 1 ? 7 : null }));
    start(loop, request(5), overflowing);
    start(loop, request(5), other);
    await until(() => other.ended);
    expect(overflowing.error).toMatchObject({ code: 'GROK_NOT_FINITE', details: { position: 7 } });
    expect(other.error).toBeUndefined();
  });

  it('ends everything when closed', async () => {
    const model = new FakeModel();
    const loop = new StepLoop(model);
    const listener = new Listener();
    start(loop, request(1000), listener);
    await until(() => listener.outputs.length > 3);
    loop.close();
    expect(listener.error).toMatchObject({ code: 'GROK_CLOSED' });
    const before = listener.outputs.length;
    await turn();
    await turn();
    expect(listener.outputs.length).toBe(before);
  });

  it('takes no step when nobody wants tokens, and goes on when woken', async () => {
    const model = new FakeModel();
    const loop = new StepLoop(model);
    const listener = new Listener();
    listener.wanted = false;
    start(loop, request(2), listener);
    await turn();
    await turn();
    expect(model.steps).toEqual([]);
    listener.wanted = true;
    loop.wake(listener);
    await until(() => listener.ended);
    expect(listener.outputs.length).toBe(2);
  });

  it('does not spin while all that want tokens wait for those that do not', async () => {
    const model = new FakeModel({ maxSequences: 1 });
    const loop = new StepLoop(model);
    const holder = new Listener();
    const waiting = new Listener();
    start(loop, request(100), holder);
    await until(() => holder.outputs.length > 2);
    holder.wanted = false;
    start(loop, request(3), waiting);
    await until(() => model.steps.at(-1)?.[0] === 2);
    for (let count = 0; count < 10; count++) await turn();
    const steps = model.steps.length;
    for (let count = 0; count < 10; count++) await turn();
    expect(model.steps.length).toBe(steps);
    expect(waiting.outputs).toEqual([]);

    loop.remove(holder); // frees the place
    await until(() => waiting.ended);
  });

  it('has the next step waiting while one runs, with all that want tokens in it', async () => {
    const model = new FakeModel();
    const loop = new StepLoop(model);
    let inFlight = 0;
    let most = 0;
    const step = model.step.bind(model);
    model.step = async () => {
      most = Math.max(most, ++inFlight);
      try {
        return await step();
      } finally {
        inFlight--;
      }
    };
    const listeners = [new Listener(), new Listener(), new Listener()];
    for (const listener of listeners) start(loop, request(20), listener);
    await until(() => listeners.every(({ ended }) => ended));
    expect(most).toBe(2);
    expect(model.steps.filter((ids) => ids.length === 3).length).toBeGreaterThan(15);
  });

  it('has a sequence in the very next step, though that was called for before', async () => {
    const model = new FakeModel();
    const loop = new StepLoop(model);
    const open = model.hold();
    const [first, second] = [new Listener(), new Listener()];
    start(loop, request(5), first);
    await until(() => model.steps.length === 1);
    start(loop, request(5), second);
    await until(() => model.numSequences === 2);
    await turn();
    open();
    await until(() => first.ended && second.ended);
    expect(model.steps.slice(0, 2)).toEqual([[1], [1, 2]]);
  });

  it('fails one that was in a failed step, though it wants no tokens any more', async () => {
    const model = new FakeModel();
    const loop = new StepLoop(model);
    const open = model.hold();
    const [paused, other] = [new Listener(), new Listener()];
    start(loop, request(5), paused);
    await until(() => model.steps.length === 1);
    model.failNextStep = Object.assign(new Error('disk'), { code: 'GROK_IO' });
    paused.wanted = false;
    start(loop, request(5), other); // the model is told who wants tokens now
    open();
    await until(() => paused.error !== undefined);
    expect(paused.error).toMatchObject({ code: 'GROK_IO' });
    await until(() => other.ended); // it was not in the step
    expect(other.error).toBeUndefined();
    expect(model.numSequences).toBe(0);
  });

  it('measures each step from the end of the one before it', async () => {
    const model = new FakeModel();
    const loop = new StepLoop(model);
    const starts: number[] = [];
    const ends: number[] = [];
    const listener = new Listener();
    start(loop, request(6), {
      ...{ wantsTokens: listener.wantsTokens, unreadSince: listener.unreadSince, fail: listener.fail },
      accept: (output: NativeOutput, startedAt: number) => {
        starts.push(startedAt);
        ends.push(performance.now());
        listener.accept(output);
      },
    });
    await until(() => listener.ended);
    expect(starts).toHaveLength(6);
    for (let step = 1; step < starts.length; step++) {
      expect(starts[step]).toBeGreaterThan(starts[step - 1] ?? 0);
      expect(starts[step]).toBeLessThanOrEqual(ends[step - 1] ?? 0);
      expect(starts[step]).toBeLessThan(ends[step] ?? 0);
    }
  });

  it('drops what a step in flight brings for a sequence that was removed, and releases it', async () => {
    const model = new FakeModel();
    const loop = new StepLoop(model);
    const listener = new Listener();
    start(loop, request(50), listener);
    await until(() => listener.outputs.length > 0);
    const open = model.hold();
    await turn();
    await turn();
    const before = listener.outputs.length;
    expect(model.steps.length).toBe(before + 1); // one runs
    loop.remove(listener);
    loop.remove(listener); // twice is once
    open();
    await turn();
    await turn();
    expect(listener.outputs.length).toBe(before);
    expect(model.released).toEqual([1]);
    expect(model.numSequences).toBe(0);
  });
});
