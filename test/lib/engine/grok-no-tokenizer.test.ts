import { describe, expect, it, vi } from 'vitest';
import { Grok } from '../../../lib/index.js';
import { withoutTokenizer } from '../checkpoints.js';
import { canRun } from './trained-model.js';

describe.skipIf(!canRun)('a model without a tokenizer', () => {
  it('has its context size under the former name, too, with one warning', async () => {
    await using grok = await Grok.load(withoutTokenizer);
    const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
    try {
      expect({ ...grok.info }).not.toHaveProperty('contextLength');
      expect(warn).not.toHaveBeenCalled();
      expect([grok.info.contextLength, grok.info.contextLength]).toEqual([128, 128]);
      expect(warn.mock.calls).toEqual([[expect.stringContaining('contextSize'), expect.anything()]]);
    } finally {
      warn.mockRestore();
    }
  });

  it('takes and gives token ids, and requires a tokenizer only for text', async () => {
    await using grok = await Grok.load(withoutTokenizer);
    const missing = expect.objectContaining({ code: 'GROK_NO_TOKENIZER', hint: expect.stringContaining('tokenizer') });
    expect(() => grok.generate('text')).toThrow(missing);
    expect(() => grok.generate([5], { stop: 'x' })).toThrow(missing);
    expect(() => grok.tokenizer).toThrow(missing);
    await expect(grok.complete('text')).rejects.toEqual(missing);
    await expect(grok.score('text')).rejects.toEqual(missing);
    expect(grok.info).toMatchObject({ tokenizer: undefined, contextSize: 128, config: { vocabSize: 512 } });

    const { text, tokenIds } = await grok.complete([5, 6, 7], { maxTokens: 8, temperature: 0, ignoreEos: true });
    expect(text).toBe('');
    expect(tokenIds).toHaveLength(8);
    expect(await grok.score([5, 6])).toMatchObject([
      { id: 5, text: '', logprob: null },
      { id: 6, text: '' },
    ]);
  });
});
