import { describe, expect, it } from 'vitest';
import { StepLoop } from '../../../lib/engine/step-loop.js';
import { FakeModel, turn, until } from './fake-model.js';
import { Listener, request, start } from './step-listener.js';

describe('a reader that pauses', () => {
  const readTimeout = 200;

  /** As many as run at once, all of them paused. */
  async function paused(model: FakeModel, loop: StepLoop): Promise<Listener[]> {
    const readers = Array.from({ length: model.maxSequences }, () => new Listener());
    for (const reader of readers) start(loop, request(100), reader);
    await until(() => readers.every(({ outputs }) => outputs.length > 2));
    for (const reader of readers) {
      reader.wanted = false;
      reader.unread = performance.now();
    }
    for (let count = 0; count < 5; count++) await turn(); // the steps in flight end
    return readers;
  }

  it('loses its place after `readTimeout` when another request waits, and only then', async () => {
    const model = new FakeModel({ maxSequences: 3 });
    const loop = new StepLoop(model, { maxQueue: 8, readTimeout });
    const readers = await paused(model, loop);
    await new Promise((resolve) => setTimeout(resolve, readTimeout));
    expect(readers.map(({ error }) => error)).toEqual([undefined, undefined, undefined]);

    const waiting = new Listener();
    start(loop, request(3), waiting);
    await until(() => waiting.ended);
    expect(model.suspended).toHaveLength(1); // one place was enough
    expect(readers.map(({ error }) => error)).toEqual([undefined, undefined, undefined]);
    loop.close();
  });

  it('goes on with all of its tokens when it reads again', async () => {
    const model = new FakeModel({ maxSequences: 1 });
    const loop = new StepLoop(model, { maxQueue: 8, readTimeout });
    const [reader] = await paused(model, loop);
    if (!reader) return;
    const waiting = new Listener();
    start(loop, request(3), waiting);
    await until(() => waiting.ended);
    expect(loop.numRequests).toEqual({ running: 0, waiting: 1 });
    Object.assign(reader, { wanted: true, unread: undefined });
    loop.wake(reader);
    await until(() => reader.ended);
    expect(reader.outputs.filter(({ token }) => token !== null)).toHaveLength(100);
  });

  it('ends when it never reads again and the queue needs its place, and only then', async () => {
    const model = new FakeModel({ maxSequences: 2 });
    const loop = new StepLoop(model, { maxQueue: 1, readTimeout });
    const readers = await paused(model, loop);
    const waiting = new Listener();
    start(loop, request(3), waiting);
    expect(() => loop.add(new Listener())).toThrow(expect.objectContaining({ code: 'GROK_BUSY' }));
    await until(() => waiting.ended);
    for (let count = 0; count < 20; count++) {
      const next = new Listener();
      start(loop, request(3), next);
      await until(() => next.ended);
    }
    expect(readers.map(({ error }) => error)).toEqual([undefined, undefined]);
    const [first, second] = [new Listener(), new Listener()];
    start(loop, request(3), first);
    start(loop, request(3), second);
    expect(readers.filter(({ error }) => error !== undefined).map(({ error }) => error)).toEqual([
      expect.objectContaining({ code: 'GROK_READ_TIMEOUT' }),
    ]);
    await until(() => first.ended && second.ended);
    loop.close();
  });

  it('loses its place as well while the engine still works ahead of it', async () => {
    const model = new FakeModel({ maxSequences: 1 });
    const loop = new StepLoop(model, { maxQueue: 8, readTimeout });
    const reader = new Listener();
    start(loop, request(100_000), reader);
    await until(() => reader.outputs.length > 2);
    reader.unread = performance.now();
    const waiting = new Listener();
    start(loop, request(3), waiting);
    await until(() => waiting.ended);
    expect(reader.error).toBeUndefined();
    expect(model.suspended).toEqual([1]);
    expect(performance.now() - reader.unread).toBeGreaterThanOrEqual(readTimeout);
    loop.close();
  });

  it('keeps its place when it reads in time, however long others wait', async () => {
    const model = new FakeModel({ maxSequences: 1 });
    const loop = new StepLoop(model, { maxQueue: 8, readTimeout });
    const [reader] = await paused(model, loop);
    const waiting = new Listener();
    start(loop, request(3), waiting);
    for (let read = 0; read < 6; read++) {
      await new Promise((resolve) => setTimeout(resolve, readTimeout / 4));
      const before = reader?.outputs.length ?? 0;
      if (reader) reader.wanted = true;
      if (reader) loop.wake(reader);
      await until(() => (reader?.outputs.length ?? 0) > before);
      if (reader) Object.assign(reader, { wanted: false, unread: performance.now() });
    }
    expect(reader?.error).toBeUndefined();
    expect(waiting.outputs).toEqual([]);
    loop.close();
  });

  it('keeps its place for ever with a `readTimeout` of 0', async () => {
    const model = new FakeModel({ maxSequences: 1 });
    const loop = new StepLoop(model, { maxQueue: 8, readTimeout: 0 });
    const [reader] = await paused(model, loop);
    start(loop, request(3), new Listener());
    await new Promise((resolve) => setTimeout(resolve, 2 * readTimeout));
    expect(reader?.error).toBeUndefined();
    loop.close();
  });
});
