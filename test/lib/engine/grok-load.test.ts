import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  type GenerateOptions,
  Grok,
  GrokError,
  inspect,
  type LoadOptions,
  type OpenedModel,
} from '../../../lib/index.js';
import { withoutTokenizer } from '../checkpoints.js';
import { smallModel } from '../text/tokenizer-cases.js';
import { canRun, trained } from './trained-model.js';

describe.skipIf(!canRun)('Grok.load', () => {
  it('refuses what is not a path, and names a path that is not there', async () => {
    await expect(Grok.load('')).rejects.toMatchObject({ code: 'GROK_INVALID_ARGUMENT' });
    await expect(Grok.load(5 as unknown as string)).rejects.toMatchObject({ code: 'GROK_INVALID_ARGUMENT' });
    const error = await Grok.load('/nowhere/ckpt-0').catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(GrokError);
    expect(error).toMatchObject({ code: 'GROK_NOT_FOUND', message: expect.stringContaining('/nowhere/ckpt-0') });
    expect((error as Error).stack).toContain('grok.ts');
    await expect(inspect('/nowhere/ckpt-0')).rejects.toMatchObject({ code: 'GROK_NOT_FOUND' });
  });

  it('refuses a tokenizer that is none or that has more tokens than the model', async () => {
    await expect(Grok.load(trained, { tokenizer: '/nowhere/tokenizer.model' })).rejects.toMatchObject({
      code: 'GROK_NOT_FOUND',
    });
    await expect(Grok.load(trained, { tokenizer: join(trained as string, 'config.json') })).rejects.toMatchObject({
      code: 'GROK_BAD_TOKENIZER',
    });
    await expect(Grok.load(withoutTokenizer, { tokenizer: smallModel })).rejects.toMatchObject({
      code: 'GROK_BAD_TOKENIZER',
      message: expect.stringContaining('at most 512 pieces'),
    });
  });

  it('reads no weight for a tokenizer or a request that is refused', async () => {
    const tensors: string[] = [];
    const load = (source: string | undefined, options: LoadOptions) =>
      Grok.load(source, { ...options, onProgress: ({ tensor }) => tensors.push(tensor) });
    const requests: [code: string, prompt: string | number[], options?: GenerateOptions][] = [
      ['GROK_INVALID_ARGUMENT', 'a', { temperature: -1 }],
      ['GROK_INVALID_ARGUMENT', 'a', { topP: 2 }],
      ['GROK_INVALID_ARGUMENT', 'a', { logitBias: { 1000000: 1 } }],
      ['GROK_INVALID_ARGUMENT', 'a', { stop: '' }],
      ['GROK_INVALID_ARGUMENT', ''],
      ['GROK_INVALID_ARGUMENT', [1_000_000]],
      ['GROK_CONTEXT_OVERFLOW', 'a', { maxTokens: 1_000_000 }],
      ['GROK_CONTEXT_OVERFLOW', 'many words '.repeat(5000)],
    ];
    for (const [code, ...request] of requests) {
      const loading = load(trained, { onOpened: (opened) => opened.check(...request) });
      await expect(loading, code).rejects.toMatchObject({ code });
    }
    const missing = { code: 'GROK_NO_TOKENIZER' };
    const onOpened = (opened: OpenedModel) => opened.check('text');
    await expect(load(withoutTokenizer, { onOpened })).rejects.toMatchObject(missing);
    const junk = { tokenizer: join(trained as string, 'config.json') };
    await expect(load(trained, junk)).rejects.toMatchObject({ code: 'GROK_BAD_TOKENIZER' });
    expect(tensors).toEqual([]);
  });

  it('refuses an onOpened that is not a function', async () => {
    const onOpened = 5 as unknown as () => void;
    await expect(Grok.load(trained, { onOpened })).rejects.toThrow('Expected `onOpened` to be a function');
  });

  it('refuses before it reads when the memory limit is too low', async () => {
    await expect(Grok.load(trained, { memoryLimit: 1_000_000 })).rejects.toMatchObject({ code: 'GROK_OUT_OF_MEMORY' });
  });

  it('rejects with the reason of its signal, before and while it loads', async () => {
    const reason = new Error('changed my mind');
    await expect(Grok.load(trained, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    const controller = new AbortController();
    let calls = 0;
    const loading = Grok.load(trained, {
      signal: controller.signal,
      onProgress: () => {
        if (++calls === 3) controller.abort(reason);
      },
    });
    await expect(loading).rejects.toBe(reason);
    expect(calls).toBe(3);
  });

  it('rejects with what onProgress throws', async () => {
    const reason = new Error('mine');
    const onProgress = () => {
      throw reason;
    };
    await expect(Grok.load(trained, { onProgress })).rejects.toBe(reason);
  });

  it('tells how far it is, up to all bytes', async () => {
    const seen: number[] = [];
    let total = 0;
    const grok = await Grok.load(trained, {
      onProgress: ({ loadedBytes, totalBytes, tensor }) => {
        expect(tensor).not.toBe('');
        seen.push(loadedBytes);
        total = totalBytes;
      },
    });
    await grok.close();
    expect(seen.length).toBeGreaterThan(10);
    expect(seen).toEqual([...seen].sort((a, b) => a - b));
    expect(seen.at(-1)).toBe(total);
  });
});
