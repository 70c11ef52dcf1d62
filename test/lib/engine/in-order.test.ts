import { describe, expect, it } from 'vitest';
import { Abort } from '../../../lib/abort.js';
import { inOrder } from '../../../lib/engine/in-order.js';
import { turn } from './fake-model.js';

describe('tasks in order', () => {
  it('run so many at once, and give their results in the order of the items', async () => {
    let running = 0;
    let most = 0;
    const results = await inOrder([5, 1, 4, 0, 3], 2, undefined, async (turns, index) => {
      most = Math.max(most, ++running);
      for (let count = 0; count < turns; count++) await turn();
      running--;
      return index;
    });
    expect({ results, most }).toEqual({ results: [0, 1, 2, 3, 4], most: 2 });
  });

  it('end with the first failure, which aborts those that run and keeps the rest from starting', async () => {
    const started: number[] = [];
    const aborted: number[] = [];
    const failing = inOrder([0, 1, 2, 3], 2, undefined, async (item, _, signal) => {
      started.push(item);
      if (item === 1) throw new Error('mine');
      await new Promise<void>((_resolve, reject) => signal.listen(reject)).finally(() => aborted.push(item));
    });
    await expect(failing).rejects.toThrow('mine');
    await turn();
    expect({ started, aborted }).toEqual({ started: [0, 1], aborted: [0] });
  });

  it('end with the reason of the signal', async () => {
    const controller = new AbortController();
    const waiting = inOrder([0], 1, Abort.of(controller.signal), async (_item, _index, signal) => {
      await new Promise((_resolve, reject) => signal.listen(reject));
    });
    controller.abort('enough');
    await expect(waiting).rejects.toBe('enough');
    await expect(inOrder([0], 1, Abort.of(controller.signal), async () => 1)).rejects.toBe('enough');
  });
});
