import { cpSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { inspect } from '../../../lib/checkpoint/inspection.js';
import { Grok } from '../../../lib/engine/grok.js';
import { addonIsBuilt, withoutTokenizer } from '../checkpoints.js';

/** A copy of a checkpoint with one number of its embedding replaced. */
async function withEmbedding(row: number, column: number, value: number): Promise<string> {
  const path = mkdtempSync(join(tmpdir(), 'grok-not-finite-'));
  cpSync(withoutTokenizer, path, { recursive: true });
  const { vocabSize, dModel } = (await inspect(path)).config;
  const file = join(path, 'ckpt-0', 'tensor00000_000');
  const bytes = readFileSync(file);
  const size = Buffer.alloc(5, 'B'); // pickle's BINBYTES and the size of what follows
  size.writeUInt32LE(vocabSize * dModel * 4, 1);
  bytes.writeFloatLE(value, bytes.indexOf(size) + size.length + 4 * (row * dModel + column));
  writeFileSync(file, bytes);
  return path;
}

describe.skipIf(!addonIsBuilt())('a checkpoint with a number that is not finite', () => {
  it.each([
    ['NaN', Number.NaN],
    ['infinity', Number.POSITIVE_INFINITY],
    ['-infinity', Number.NEGATIVE_INFINITY],
  ])('is refused while it loads: %s, with its file and place', async (words, value) => {
    const path = await withEmbedding(7, 3, value);
    for (const weights of ['packed', 'mapped'] as const) {
      await expect(Grok.load(path, { weights })).rejects.toMatchObject({
        code: 'GROK_BAD_CHECKPOINT',
        message: expect.stringMatching(
          new RegExp(`tensor00000_000: .*/embeddings: expected finite values, found ${words} at \\[7, 3\\]$`),
        ),
      });
    }
  });

  it('fails the requests that meet an overflow, each in its own way, and none beside them', async () => {
    const { embeddingScale } = (await inspect(withoutTokenizer)).config;
    const path = await withEmbedding(7, 0, 3.5e38 / embeddingScale); // finite in the file, and times 8 as a row of the head
    await using grok = await Grok.load(path);
    const notFiniteAfter = (position: number) => ({ code: 'GROK_NOT_FINITE', details: { position } });
    const beside = grok.complete([1, 2, 3], { maxTokens: 3, temperature: 0, logprobs: 1, logitBias: { 7: -Infinity } });
    const sampled = grok.generate([1, 7, 2, 3], { seed: 1 });
    await Promise.all([
      expect(sampled[Symbol.asyncIterator]().next()).rejects.toMatchObject(notFiniteAfter(3)),
      expect(sampled.result).rejects.toMatchObject(notFiniteAfter(3)),
      expect(grok.complete([7], { temperature: 0 })).rejects.toMatchObject(notFiniteAfter(0)),
      expect(grok.score([1, 2, 7, 3])).rejects.toMatchObject(notFiniteAfter(2)),
      expect(grok.logits([1, 7, 2])).rejects.toMatchObject(notFiniteAfter(1)),
    ]);
    expect((await beside).tokenIds).toHaveLength(3);
    for (const { logprob } of (await beside).logprobs ?? []) expect(logprob).toBeLessThanOrEqual(0);
  });
});
