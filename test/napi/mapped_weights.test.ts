import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { addon, checkpoint, defaults, openLoaded, requestFor, stepOf, untyped } from './small_model.js';

describe('the addon', () => {
  it('counts, for mapped weights, the bytes kept in memory and the bytes read for a token', async () => {
    const packed = await addon.inspect(checkpoint, defaults);
    const mapped = await addon.inspect(checkpoint, { ...defaults, weights: 'mapped' });
    expect(packed.memory.weightStorage).toBe('packed');
    expect(mapped.memory.weightStorage).toBe('mapped');
    expect(mapped.memory.weights).toBeLessThan(packed.memory.weights / 2);
    expect(mapped.weightBytesPerToken).toBeGreaterThan(packed.weightBytesPerToken * 0.9);
    expect(mapped.weightBytesPerToken).toBeLessThan(packed.weightBytesPerToken * 1.1);
    await expect(addon.open(checkpoint, { ...defaults, weights: untyped('paged') })).rejects.toMatchObject({
      code: 'GROK_INVALID_ARGUMENT',
      message: 'expected weights to be "packed" or "mapped", found "paged"',
    });
  });

  it('opens with mapped weights what does not fit packed, and says so', async () => {
    const alone = { ...defaults, maxSequences: 1 };
    const { memory } = await addon.inspect(checkpoint, { ...alone, weights: 'mapped' });
    const memoryLimit = memory.total;
    await expect(addon.open(checkpoint, { ...alone, memoryLimit })).rejects.toMatchObject({
      code: 'GROK_OUT_OF_MEMORY',
    });
    const model = await openLoaded({ maxSequences: 1, memoryLimit, weights: 'mapped' });
    await model.submit(requestFor([1, 2, 3]));
    expect(await stepOf(model, 1)).toHaveLength(1);
    await model.close();
  });

  it('refuses to map synthetic weights', async () => {
    await expect(
      addon.openSynthetic({ name: 'tiny', layers: 1 }, { ...defaults, weights: 'mapped' }),
    ).rejects.toMatchObject({
      code: 'GROK_INVALID_ARGUMENT',
      message: 'expected weights to be "packed": synthetic weights have no file to map',
    });
  });

  it('fails the sequences of a step whose mapped files shrink, and goes on once they are back', async () => {
    const directory = mkdtempSync(path.join(tmpdir(), 'grok-run-'));
    cpSync(checkpoint, directory, { recursive: true });
    const tensors = path.join(directory, 'ckpt-0');
    const files = readdirSync(tensors).map((name) => path.join(tensors, name));
    const contents = files.map((file) => readFileSync(file));
    for (const threads of [1, 3]) {
      const model = await addon.open(directory, { ...defaults, threads, maxSequences: 1, weights: 'mapped' });
      while (!(await model.loadNext()).done);
      const submit = () => model.submit(requestFor([1, 2, 3, 4, 5], { maxTokens: 1 }));
      const next = async () => {
        const sequence = await submit();
        return (await stepOf(model, sequence))[0]?.token?.token;
      };
      const expected = await next();
      expect(expected).toBeTypeOf('number');

      for (const file of files) truncateSync(file, 0);
      for (let attempt = 0; attempt < 3; attempt++) {
        await expect(next()).rejects.toMatchObject({
          code: 'GROK_IO',
          message: expect.stringMatching(/tensor\d+_000: could not read .* found 0 now/),
        });
      }
      const [running, waiting] = [await submit(), await submit()];
      await expect(stepOf(model, running, waiting)).rejects.toMatchObject({ sequences: Float64Array.of(running) });
      files.forEach((file, index) => {
        writeFileSync(file, contents[index] ?? '');
      });
      expect((await stepOf(model, running, waiting)).map(({ sequence }) => sequence)).toEqual([waiting]);
      expect(await next()).toBe(expected);
      await model.close();
    }
    rmSync(directory, { recursive: true });
  });
});
