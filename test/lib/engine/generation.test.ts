import { describe, expect, it } from 'vitest';
import { eosId, readAll, setUp, tokenizer, writing } from './fake-generations.js';

describe('echo and logprobs', () => {
  it('gives the prompt first', async () => {
    const { generate } = writing('time');
    const generation = generate('Once upon a', { echo: true });
    const [first] = await readAll(generation);
    expect(first).toEqual({ text: 'Once upon a', tokenIds: tokenizer.encode('Once upon a') });
    expect((await generation.result).text).toBe('Once upon a time');
    expect((await generation.result).usage).toEqual({ promptTokens: 3, completionTokens: 1, totalTokens: 4 });
  });

  it('gives one log-probability a token, the prompt included, none for its first', async () => {
    const { generate } = writing('time', { prefillChunk: 2 });
    const completion = await generate('Once upon a', { echo: true, logprobs: 2 }).result;
    expect(completion.logprobs?.map(({ id }) => id)).toEqual(completion.tokenIds);
    expect(completion.logprobs?.[0]).toEqual({ id: 1191, text: ' Once', logprob: null, top: [] });
    expect(completion.logprobs?.[1]).toMatchObject({ id: 791, text: ' upon', logprob: -0.791 });
    expect(completion.logprobs?.[1]?.top).toEqual([
      { id: 0, text: '[PAD]', logprob: 0 },
      { id: 1, text: '[BOS]', logprob: -1 },
    ]);
  });

  it('gives the log-probability of the chosen token alone for 0, and nothing without the option', async () => {
    const { generate } = setUp();
    expect((await generate([300], { maxTokens: 1, logprobs: 0 }).result).logprobs).toMatchObject([
      { id: 300, top: [] },
    ]);
    const [chunk] = await readAll(generate([300], { maxTokens: 1 }));
    expect(chunk).not.toHaveProperty('logprobs');
  });

  it('scores the prompt and generates nothing with maxTokens 0', async () => {
    const { model, generate } = setUp();
    const scored = await generate([300, 301], { maxTokens: 0, echo: true, logprobs: 0 }).result;
    expect(scored).toMatchObject({ tokenIds: [300, 301], finishReason: 'length', usage: { completionTokens: 0 } });
    expect(scored.logprobs).toHaveLength(2);
    expect(model.requests).toHaveLength(1);
    expect(await generate([300], { maxTokens: 0 }).result).toMatchObject({
      text: '',
      tokenIds: [],
      finishReason: 'length',
    });
    expect(model.requests).toHaveLength(1); // there was nothing to run
  });
});

describe('a completion', () => {
  it('takes as many tokens as the context has room for by default', async () => {
    const { model, generate } = setUp({ contextSize: 16 });
    const completion = await generate(new Array<number>(10).fill(300)).result;
    expect(model.requests[0]?.maxTokens).toBe(6);
    expect(completion).toMatchObject({
      finishReason: 'length',
      usage: { promptTokens: 10, completionTokens: 6, totalTokens: 16 },
    });
  });

  it('passes every option on', async () => {
    const { model, generate } = setUp();
    await generate([300, 301], {
      maxTokens: 3,
      temperature: 0.5,
      topP: 0.8,
      topK: 7,
      minP: 0.25,
      repetitionPenalty: 1.5,
      presencePenalty: 0.5,
      frequencyPenalty: -0.5,
      logitBias: { 9: -5 },
      seed: 2 ** 53 - 1,
      logprobs: 4,
    }).result;
    expect(model.requests[0]).toEqual({
      prompt: Int32Array.of(300, 301),
      maxTokens: 3,
      promptOutputs: 'none',
      temperature: 0.5,
      topK: 7,
      topP: 0.8,
      minP: 0.25,
      repetitionPenalty: 1.5,
      presencePenalty: 0.5,
      frequencyPenalty: -0.5,
      seed: 2 ** 53 - 1,
      numLogprobs: 4,
      biasTokens: Int32Array.of(9),
      biasValues: Float32Array.of(-5),
      stopTokens: Int32Array.of(eosId),
    });
  });

  it('reports the seed that was drawn', async () => {
    const { model, generate } = setUp();
    const { seed } = await generate([300], { maxTokens: 1 }).result;
    expect(seed).toBe(model.requests[0]?.seed);
  });

  it('says how long its parts took', async () => {
    const { generate } = setUp();
    const { timings } = await generate(new Array<number>(64).fill(300), { maxTokens: 50 }).result;
    for (const [name, value] of Object.entries(timings)) expect(value, name).toBeGreaterThanOrEqual(0);
    expect(timings.firstTokenMs).toBeCloseTo(timings.queueMs + timings.prefillMs, 6);
    expect(timings.tokensPerSecond).toBeCloseTo(49_000 / timings.decodeMs, 6);
  });

  it('is the same alone and among others', async () => {
    const { generate } = setUp({
      maxSequences: 2,
      script: (index, request) => 300 + (((request.prompt[0] ?? 0) + index) % 50),
    });
    const alone = await generate([7], { maxTokens: 40 }).result;
    const among = await Promise.all([5, 6, 7, 8, 9].map((id) => generate([id], { maxTokens: 40 }).result));
    expect(among[2]?.tokenIds).toEqual(alone.tokenIds);
  });
});
