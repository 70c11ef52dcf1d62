import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { Grok } from '../../../lib/index.js';
import { canRun, trained } from './trained-model.js';

describe.skipIf(!canRun)('a reader that pauses while another request waits', () => {
  it.each([true, false])('gives its place up, and reads the same text later (prefixCache: %s)', async (prefixCache) => {
    await using grok = await Grok.load(trained, { maxSequences: 1, readTimeout: 100, prefixCache });
    const options = { maxTokens: 400, seed: 5, ignoreEos: true };
    const { text } = await grok.complete('Once upon a time', options);

    let read = '';
    let others = 0;
    for await (const chunk of grok.generate('Once upon a time', options)) {
      if (read.length < 200 && (read + chunk.text).length >= 200) {
        while (grok.stats().tokens.generated < 500) await sleep(10); // it works ahead
        others = (await grok.complete('The other', { maxTokens: 5, ignoreEos: true })).usage.completionTokens;
      }
      read += chunk.text;
    }
    expect(others).toBe(5);
    expect(read).toBe(text);
  });
});
