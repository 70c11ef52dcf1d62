import { describe, expect, it } from 'vitest';
import { fromNative } from '../../../lib/addon/calls.js';
import type { MemoryDetails } from '../../../lib/addon/memory-fits.js';

function shortage(fits: MemoryDetails['fits']) {
  const figures = { fits, neededBytes: 9_123_456_789, availableBytes: 5e9, memory: 'GPU memory' };
  return fromNative(
    Object.assign(new Error('the model needs 9.12 GB'), { code: 'GROK_OUT_OF_MEMORY', hint: '', ...figures }),
  );
}

describe('a model that does not fit in memory', () => {
  it('says what a machine must have where no setting helps', () => {
    expect(shortage([])).toMatchObject({
      hint: 'No context fits beside the weights and the workspace. Run on a machine with 9.13 GB of GPU memory to spare.',
      details: { fits: [], neededBytes: 9_123_456_789, availableBytes: 5e9 },
    });
  });

  it('names the options that would make it fit, and keeps them as figures', () => {
    expect(
      shortage([{ maxSequences: 2 }, { kvCacheType: 'bf16' }, { contextSize: 64 }, { memoryLimit: 9_123_456_789 }]),
    ).toMatchObject({
      hint: 'It would fit with `maxSequences` 2, `kvCacheType` "bf16", `contextSize` 64 or `memoryLimit` 9123456789.',
      details: {
        fits: [{ maxSequences: 2 }, { kvCacheType: 'bf16' }, { contextSize: 64 }, { memoryLimit: 9_123_456_789 }],
      },
    });
  });

  it('names those that only help together, and the price of mapped weights', () => {
    expect(shortage([{ prefillChunk: 64, kvCacheType: 'int8', weights: 'mapped' }])).toMatchObject({
      hint:
        'It would fit with `prefillChunk` 64, `kvCacheType` "int8" and `weights` "mapped". ' +
        'Mapped weights stay in the files of the checkpoint, and decoding is slower.',
    });
  });
});
