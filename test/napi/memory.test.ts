import { describe, expect, it } from 'vitest';
import { diagnose } from '../../lib/addon/diagnosis.js';
import type { NativeOpenOptions } from '../../lib/addon/types.js';
import { addon, checkpoint, defaults, untyped } from './small_model.js';

describe('the addon', () => {
  it('plans for a GPU whether there is one or not, where the build has the backend for it', async (context) => {
    const { cudaUnavailable } = diagnose();
    if (cudaUnavailable === 'this build has no CUDA backend') {
      await expect(addon.inspect(checkpoint, { ...defaults, device: 'cuda' })).rejects.toMatchObject({
        code: 'GROK_CUDA_UNAVAILABLE',
      });
      context.skip('SKIPPED: this build has no CUDA backend');
      return;
    }
    const { memory } = await addon.inspect(checkpoint, { ...defaults, device: 'cuda' });
    expect(memory.reserve).toBeGreaterThan(0);
    expect(memory.total).toBe(memory.weights + memory.kvCache + memory.workspace + memory.reserve);
    if (cudaUnavailable) expect(memory.available).toBeNull();
    else expect(memory.available).toBeGreaterThan(0);
    // The plan for a GPU of that size.
    const limited = await addon.inspect(checkpoint, { ...defaults, device: 'cuda', memoryLimit: 1_000_000 });
    expect(limited.memory).toEqual({ ...memory, available: 1_000_000 });
    await expect(addon.inspect(checkpoint, { ...defaults, device: 'cuda', weights: 'mapped' })).rejects.toMatchObject({
      code: 'GROK_INVALID_ARGUMENT',
    });
  });

  it('refuses what does not fit with the numbers and the nearest that would', async () => {
    const sized = { ...defaults, maxSequences: 1, contextSize: 128, prefillChunk: 64 };
    const { memory } = await addon.inspect(checkpoint, sized);
    const open = addon.open(checkpoint, { ...sized, memoryLimit: memory.total - 1 });
    await expect(open).rejects.toMatchObject({
      code: 'GROK_OUT_OF_MEMORY',
      message: expect.stringMatching(
        /^the model needs \d.* of memory \(weights .*, workspace .*, cache for one sequence/,
      ),
      fits: expect.arrayContaining([{ kvCacheType: 'bf16' }, { contextSize: 64 }, { memoryLimit: memory.total }]),
      neededBytes: memory.total,
      availableBytes: memory.total - 1,
      memory: 'memory',
      hint: '',
    });
    for (const change of [{ kvCacheType: 'bf16' }, { contextSize: 64 }] as const) {
      const model = await addon.open(checkpoint, { ...sized, ...change, memoryLimit: memory.total - 1 });
      await model.close();
    }
    const synthetic = addon.openSynthetic({ name: 'mid', layers: 6 }, { ...defaults, memoryLimit: 1_500_000_000 });
    await expect(synthetic).rejects.toMatchObject({
      code: 'GROK_OUT_OF_MEMORY',
      fits: expect.arrayContaining([{ layers: expect.any(Number) }]),
    });
  });

  it('counts the key-value cache in the requested type, and refuses any other', async () => {
    const cacheOf = async (kvCacheType: NativeOpenOptions['kvCacheType']) => {
      const { memory } = await addon.inspect(checkpoint, { ...defaults, kvCacheType });
      expect(memory.kvCacheType).toBe(kvCacheType);
      return memory.kvCache;
    };
    const f32 = await cacheOf('f32');
    expect(await cacheOf('bf16')).toBe(f32 / 2);
    // Heads of 8 lie in vectors of 16; each int8 one has a scale of 4 bytes beside its 16.
    expect(await cacheOf('int8')).toBe((f32 / 64) * 20);
    await expect(addon.open(checkpoint, { ...defaults, kvCacheType: untyped('fp8') })).rejects.toMatchObject({
      code: 'GROK_INVALID_ARGUMENT',
      message: 'expected kv_cache_type to be "f32", "bf16" or "int8", found "fp8"',
    });
  });
});
