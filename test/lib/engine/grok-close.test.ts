import { describe, expect, it } from 'vitest';
import { Grok } from '../../../lib/index.js';
import { withoutTokenizer } from '../checkpoints.js';
import { canRun, trained } from './trained-model.js';

describe.skipIf(!canRun)('close', () => {
  it('ends what is running with a code, refuses what comes later, and may be called again', async () => {
    const grok = await Grok.load(trained);
    expect(grok.closed).toBe(false);
    const generation = grok.generate('Once upon a time', { maxTokens: 200, ignoreEos: true });
    const iterator = generation[Symbol.asyncIterator]();
    await iterator.next();
    const scoring = grok.score('Once upon a time');
    scoring.catch(() => {}); // judged below
    const waiting = grok.generate('not started');
    const closing = grok.close();
    expect(grok.closed).toBe(true);
    const closed = expect.objectContaining({ code: 'GROK_CLOSED' });
    await expect(iterator.next()).rejects.toEqual(closed);
    await expect(generation.result).rejects.toEqual(closed);
    await expect(scoring).rejects.toEqual(closed);
    await closing;
    await grok.close();
    await expect(waiting.result).rejects.toEqual(closed);
    expect(() => grok.generate('x')).toThrow(closed);
    await expect(grok.complete('x')).rejects.toEqual(closed);
    await expect(grok.logits([5])).rejects.toEqual(closed);
    await expect(grok.score([5])).rejects.toEqual(closed);
  });

  it('comes by itself at the end of a block', async () => {
    let kept: Grok;
    {
      await using grok = await Grok.load(withoutTokenizer);
      kept = grok;
    }
    expect(kept.closed).toBe(true);
  });
});
