import { describe, expect, it } from 'vitest';
import type { Chunk } from '../../../lib/engine/completion.js';
import { defaults } from '../../../lib/options/schema.js';
import { eosId, readAll, setUp, tokenizer, writing } from './fake-generations.js';
import { turn } from './fake-model.js';

const textOf = (chunks: readonly Chunk[]) => chunks.map(({ text }) => text).join('');

describe('text', () => {
  it('continues the prompt: the first word keeps its space', async () => {
    const { generate } = writing('time there was');
    expect((await generate('Once upon a').result).text).toBe(' time there was');
  });

  it('comes in whole characters', async () => {
    const text = 'a 東🧙‍♂️é b';
    const { generate } = writing(text);
    const chunks = await readAll(generate('x'));
    expect(textOf(chunks)).toBe(` ${text}`);
    for (const { text: part } of chunks) expect(part).toBe(Buffer.from(part).toString());
    expect(chunks.every(({ text: part }) => !part.includes('\uFFFD'))).toBe(true);
    expect(chunks.flatMap(({ tokenIds }) => tokenIds)).toEqual(tokenizer.encode(text));
  });

  it('ends with U+FFFD for each byte of a character that was never completed', async () => {
    const { generate } = writing('東');
    const first = tokenizer.encode('東').length;
    expect(first).toBeGreaterThan(3); // the space before it, and three bytes
    expect((await generate('x', { maxTokens: first - 1 }).result).text).toBe(' \uFFFD\uFFFD');
  });

  it('ends before a stop text and shows nothing of it, even when it came in several tokens', async () => {
    const { model, generate } = writing('the fox said: no more. The end');
    const generation = generate('And', { stop: ['said: no', 'end'] });
    const chunks = await readAll(generation);
    const completion = await generation.result;
    expect(textOf(chunks)).toBe(' the fox ');
    expect(completion).toMatchObject({ text: ' the fox ', finishReason: 'stop', stopSequence: 'said: no' });
    expect(chunks.flatMap(({ tokenIds }) => tokenIds)).toEqual(completion.tokenIds);
    await turn();
    expect(model.numSequences).toBe(0);
  });

  it('has nothing after a stop text, not even of bytes that came with it', async () => {
    const lead = Array.from({ length: 300 }, (_, id) => id).find((id) => tokenizer.piece(id) === '<0xE6>') ?? -1;
    const { generate } = setUp({ script: () => lead }); // each says that the one before is no character, and waits itself
    const completion = await generate([300], { stop: '\uFFFD\uFFFD' }).result;
    expect(completion).toMatchObject({ text: '', tokenIds: [lead, lead, lead], stopSequence: '\uFFFD\uFFFD' });
  });

  it('shows what looked like a stop text and was none', async () => {
    const { generate } = writing('the fox said');
    const completion = await generate('And', { stop: 'said: no' }).result;
    expect(completion).toMatchObject({ text: ' the fox said', finishReason: 'stop' });
    expect(completion).not.toHaveProperty('stopSequence');
  });

  it('samples as the model’s generation_config.json says, where options do not say otherwise', async () => {
    const sampling = { temperature: 0.5, topP: 1, topK: 20, minP: 0.25, repetitionPenalty: 1.5 };
    const { model, generate } = writing('fox', { generation: { ...sampling, maxTokens: 7, eosIds: [] } });
    await generate('A').result;
    const options = { temperature: 0, topP: 0.5, topK: 0, minP: 0, repetitionPenalty: 1, maxTokens: 9 };
    await generate('A', options).result;
    expect(model.requests).toMatchObject([{ ...sampling, maxTokens: 7 }, options]);
  });

  it('generates as the library does where the model brings no defaults', async () => {
    const { model, generate } = writing('fox', { generation: { temperature: 0, eosIds: [] } });
    await generate('A').result;
    const { maxTokens, topP, topK, minP, repetitionPenalty } = defaults.generate;
    expect(model.requests).toMatchObject([{ temperature: 0, maxTokens, topP, topK, minP, repetitionPenalty }]);
  });

  it('ends at each of several [EOS] tokens of the model', async () => {
    const [fox = 0] = tokenizer.encode('fox');
    const { model, generate } = writing('the fox', { generation: { eosIds: [3, fox] } });
    const completion = await generate('A').result;
    expect(completion).toMatchObject({ text: ' the', finishReason: 'stop' });
    expect([...(model.requests[0]?.stopTokens ?? [])]).toEqual([3, fox]);
  });

  it('ends at [EOS], which is neither in text nor in ids, unless it is ignored', async () => {
    const { model, generate } = writing('fox');
    const completion = await generate('A').result;
    expect(completion).toMatchObject({ text: ' fox', tokenIds: tokenizer.encode('fox'), finishReason: 'stop' });
    expect(completion.usage.completionTokens).toBe(completion.tokenIds.length);
    expect([...(model.requests[0]?.stopTokens ?? [])]).toEqual([eosId]);

    const on = await generate('A', { ignoreEos: true, maxTokens: 6 }).result;
    expect(on).toMatchObject({ text: ' fox', finishReason: 'length' });
    expect(on.tokenIds).toHaveLength(6);
    expect([...(model.requests[1]?.stopTokens ?? [])]).toEqual([]);
  });

  it('ends at each stop token as at [EOS], which ignoreEos leaves out and stopTokenIds can name', async () => {
    const { model, generate } = setUp();
    expect(await generate([5], { stopTokenIds: [302, 310] }).result).toMatchObject({
      ...{ tokenIds: [300, 301], finishReason: 'stop' },
      usage: { completionTokens: 2 },
    });
    const { generate: write } = writing('fox');
    const named = await write('A', { ignoreEos: true, stopTokenIds: [eosId], maxTokens: 9 }).result;
    expect(named).toMatchObject({ text: ' fox', finishReason: 'stop' });
    await generate([5], { ignoreEos: true, stopTokenIds: [302] }).result;
    expect(model.requests.map(({ stopTokens }) => [...stopTokens])).toEqual([[eosId, 302, 310], [302]]);
  });

  it('is empty without a tokenizer, one chunk a token', async () => {
    const { generate } = setUp({}, false);
    const generation = generate([300], { maxTokens: 4, logprobs: 1 });
    const chunks = await readAll(generation);
    expect(chunks.map(({ text, tokenIds }) => [text, tokenIds])).toEqual([
      ['', [300]],
      ['', [301]],
      ['', [302]],
      ['', [303]],
    ]);
    expect((await generation.result).text).toBe('');
  });

  it('has nothing for ids that the model has and the tokenizer has not', async () => {
    const { generate } = setUp({ vocabSize: 5000, script: () => 4999 });
    expect(await generate([4998], { maxTokens: 2, logprobs: 0 }).result).toMatchObject({
      text: '',
      tokenIds: [4999, 4999],
    });
  });
});
