import { beforeAll, describe, expect, it } from 'vitest';
import { Tokenizer } from '../../../lib/text/tokenizer.js';
import { makeRandom } from '../random.js';
import { grokModel, readCases } from './tokenizer-cases.js';

describe.skipIf(!grokModel)('the tokenizer of Grok-1', () => {
  let tokenizer: Tokenizer;

  beforeAll(async () => {
    tokenizer = await Tokenizer.load(grokModel as string);
  });

  it('has the vocabulary and the special ids that xAI says', () => {
    expect(tokenizer.vocabSize).toBe(131072);
    expect([tokenizer.padId, tokenizer.bosId, tokenizer.eosId]).toEqual([0, 1, 2]);
    expect(tokenizer.longestPiece).toBe(16);
  });

  it('encodes and decodes every case as the official library does', async () => {
    const cases = await readCases<{ text: string; ids: number[]; decoded: string }>('cases');
    expect(cases.length).toBeGreaterThan(6000);
    for (const { text, ids, decoded } of cases) {
      expect(tokenizer.encode(text), JSON.stringify(text)).toEqual(ids);
      expect(tokenizer.decode(ids), JSON.stringify(text)).toBe(decoded);
    }
  });

  it('decodes arbitrary ids as the official library does', async () => {
    const cases = await readCases<{ ids: number[]; decoded: string }>('decode');
    expect(cases.length).toBeGreaterThan(200);
    for (const { ids, decoded } of cases) expect(tokenizer.decode(ids), `${ids}`).toBe(decoded);
  });

  it('shows the same text after each id, and holds back unfinished characters only', async () => {
    const cases = await readCases<{ ids: number[]; prefixes: string[]; deltas: string[]; decoded: string }>(
      'incremental',
    );
    expect(cases.length).toBeGreaterThan(500);
    for (const { ids, prefixes, deltas, decoded } of cases) {
      const decoder = tokenizer.decoder();
      const shown = ids.map((id) => decoder.push(id));
      shown.push(decoder.flush());
      expect(shown, `${ids}`).toEqual(deltas);
      expect(shown.join('')).toBe(decoded);
      ids.forEach((_, last) => {
        expect(tokenizer.decode(ids.slice(0, last + 1))).toBe(prefixes[last]);
      });
    }
  });

  it('gives the same text one id at a time as all at once, for 10,000 random sequences', () => {
    const random = makeRandom(1);
    for (let round = 0; round < 10_000; round++) {
      const ids = Array.from({ length: 1 + random.below(24) }, () =>
        // Mostly bytes and special pieces: they are where one at a time could differ.
        random.below(3) > 0 ? random.below(325) : random.below(tokenizer.vocabSize),
      );
      const decoder = tokenizer.decoder();
      const shown = ids.map((id) => decoder.push(id)).join('') + decoder.flush();
      expect(shown, `${ids}`).toBe(tokenizer.decode(ids));
    }
  });

  it('encodes long texts in parts to exactly the tokens of the whole', async () => {
    const cases = await readCases<{ text: string }>('cases');
    const random = makeRandom(2);
    for (let round = 0; round < 40; round++) {
      let text = '';
      while (text.length < 8000)
        text += cases[random.below(cases.length)]?.text.slice(0, 1500) + random.pick(['', ' ', '\n', '7']);
      expect(await tokenizer.encodeAsync(text)).toEqual(tokenizer.encode(text));
    }
  });

  it('takes a control name in a text as the token unless told otherwise', () => {
    expect(tokenizer.encode('<|control3|>')).toEqual([130089, 51]);
    const plain = tokenizer.encode('<|control3|>', { allowControl: false });
    expect(plain).not.toContain(51);
    expect(tokenizer.decode(plain)).toBe('<|control3|>');
    const text = 'a <|separator|><|mask|> b <|control20|>';
    expect(tokenizer.decode(tokenizer.encode(text, { allowControl: false }))).toBe(text);
    expect(tokenizer.encode(text, { allowControl: false }).filter((id) => id >= 47 && id <= 68)).toEqual([]);
  });
});
