import { describe, expect, it } from 'vitest';
import { Grok } from '../../../lib/index.js';
import { canRun, trained } from './trained-model.js';

const preamble = Array.from({ length: 150 }, (_, index) => 300 + ((index * 7) % 500));
const prompts = Array.from({ length: 64 }, (_, index) =>
  index % 2 === 0 ? [...preamble, 400 + index] : [400 + index],
);

/** Greedy and drawn texts, some of them longer than a page. */
async function texts(grok: Grok, wanted: readonly (readonly number[])[]): Promise<(readonly number[])[]> {
  const completions = wanted.map((prompt) => {
    const seed = prompt.at(-1) ?? 0;
    return grok.complete(prompt, { maxTokens: 70, seed, ignoreEos: true, temperature: seed % 3 === 0 ? 0 : 0.9 });
  });
  return (await Promise.all(completions)).map(({ tokenIds }) => tokenIds);
}

describe.skipIf(!canRun)('the prefix cache', () => {
  it('changes no token, alone or beside 63 others, and stats tell what it reused', async () => {
    await using without = await Grok.load(trained, { prefixCache: false, maxSequences: 64 });
    const expected = await texts(without, prompts);
    expect(without.stats()).toMatchObject({ tokens: { reused: 0 }, pages: { prefix: 0 } });

    await using grok = await Grok.load(trained, { maxSequences: 64 });
    expect(await texts(grok, prompts)).toEqual(expected);
    const { tokens, pages } = grok.stats();
    expect(tokens.reused).toBe(31 * 128); // one of 32 computes the two whole pages
    expect(pages.used).toBe(0);
    expect(pages.prefix).toBeGreaterThan(64);
    for (const index of [0, 1, 63]) expect(await texts(grok, [prompts[index] ?? []])).toEqual([expected[index]]);
  });
});
