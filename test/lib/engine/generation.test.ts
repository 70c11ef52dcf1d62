import { beforeAll, describe, expect, it } from 'vitest';
import type { Chunk } from '../../../lib/engine/completion.js';
import { Generation } from '../../../lib/engine/generation.js';
import { StepLoop } from '../../../lib/engine/step-loop.js';
import { generationConfigOf } from '../../../lib/options/generation-config.js';
import { resolveGenerateOptions } from '../../../lib/options/resolve.js';
import { defaults, type GenerateOptions } from '../../../lib/options/schema.js';
import { Tokenizer } from '../../../lib/text/tokenizer.js';
import { smallModel } from '../text/tokenizer-cases.js';
import { FakeModel, type FakeOptions, turn, until } from './fake-model.js';

const eosId = 2;
let tokenizer: Tokenizer;
const unhandled: unknown[] = [];

beforeAll(async () => {
  tokenizer = await Tokenizer.load(smallModel);
  process.on('unhandledRejection', (error) => unhandled.push(error));
});

/** A model that writes `text` after any prompt, and then [EOS]. */
function writing(text: string, options: FakeOptions = {}) {
  const ids = tokenizer.encode(text);
  return set({ ...options, script: (index) => ids[index] ?? eosId });
}

function set(fakeOptions: FakeOptions = {}, withTokenizer = true) {
  const model = new FakeModel(fakeOptions);
  const loop = new StepLoop(model);
  const { vocabSize } = model.inspection.config;
  const generation = generationConfigOf(model.inspection);
  const host = {
    loop,
    tokenizer: withTokenizer ? tokenizer : undefined,
    vocabSize,
    contextSize: model.contextSize,
    generation,
  };
  const generate = (prompt: string | readonly number[], options: GenerateOptions = {}) =>
    new Generation(host, prompt, resolveGenerateOptions(options, { vocabSize, generation }));
  return { model, loop, generate };
}

async function readAll(generation: Generation): Promise<Chunk[]> {
  const chunks: Chunk[] = [];
  for await (const chunk of generation) chunks.push(chunk);
  return chunks;
}

const textOf = (chunks: readonly Chunk[]) => chunks.map(({ text }) => text).join('');

describe('a generation that cannot be', () => {
  it('is refused before any work when prompt and maxTokens exceed the context', async () => {
    const { model, generate } = set({ contextSize: 16 });
    const overflow = expect.objectContaining({ code: 'GROK_CONTEXT_OVERFLOW' });
    await expect(generate([300, 301], { maxTokens: 15 }).result).rejects.toEqual(overflow);
    await expect(generate(new Array<number>(16).fill(300)).result).rejects.toEqual(overflow);
    await expect(readAll(generate(new Array<number>(17).fill(300)))).rejects.toEqual(overflow);
    await expect(generate('fox '.repeat(500)).result).rejects.toEqual(overflow);
    expect(model.requests).toEqual([]);
  });

  it('is refused when the prompt has no tokens', async () => {
    const { generate } = set();
    await expect(generate('').result).rejects.toMatchObject({ code: 'GROK_INVALID_ARGUMENT' });
  });

  it('rejects with the reason of a signal that had aborted before', async () => {
    const { model, generate } = set();
    const reason = { mine: true };
    const generation = generate([300], { signal: AbortSignal.abort(reason) });
    await expect(readAll(generation)).rejects.toBe(reason);
    await expect(generation.result).rejects.toBe(reason);
    expect(model.requests).toEqual([]);
  });

  it('fails with the error of its step, iterator and result alike', async () => {
    const { model, generate } = set();
    model.failNextStep = Object.assign(new Error('disk'), { code: 'GROK_IO' });
    const generation = generate([300]);
    await expect(readAll(generation)).rejects.toMatchObject({ code: 'GROK_IO' });
    await expect(generation.result).rejects.toMatchObject({ code: 'GROK_IO' });
  });

  it('never becomes an unhandled rejection while nobody asks for the result', async () => {
    const { model, loop, generate } = set();
    model.failNextStep = new Error('once');
    await expect(readAll(generate([300]))).rejects.toThrow('once');
    await expect(readAll(generate([300], { signal: AbortSignal.abort() }))).rejects.toThrow();
    const running = generate([300]);
    await running[Symbol.asyncIterator]().next();
    loop.close();
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(unhandled).toEqual([]);
  });
});

describe('ending early', () => {
  it('takes effect at once on abort, within a step', async () => {
    const { model, generate } = set();
    const controller = new AbortController();
    const reason = new Error('enough');
    const generation = generate([300], { maxTokens: 500, signal: controller.signal });
    const iterator = generation[Symbol.asyncIterator]();
    await iterator.next();
    model.hold(); // the step in flight takes for ever
    await turn();
    await turn();
    controller.abort(reason);
    await expect(generation.result).rejects.toBe(reason);
    await expect(iterator.next()).rejects.toBe(reason);
    expect(model.numSequences).toBe(0);
  });

  it('takes effect while a prompt is encoded', async () => {
    const { model, generate } = set({ contextSize: 100_000 });
    const controller = new AbortController();
    const generation = generate('a fox. '.repeat(5000), { signal: controller.signal });
    const { result } = generation;
    await turn();
    controller.abort('no more');
    await expect(result).rejects.toBe('no more');
    expect(model.requests).toEqual([]);
  });

  it('asks a signal that 100 generations share for one listener, and leaves none', async () => {
    const { generate } = set({ maxSequences: 100 });
    const { signal } = new AbortController();
    const warnings: Error[] = [];
    process.on('warning', (warning) => warnings.push(warning));
    let listeners = 0;
    let most = 0;
    const add = signal.addEventListener.bind(signal);
    const remove = signal.removeEventListener.bind(signal);
    signal.addEventListener = (...args: Parameters<typeof add>) => {
      most = Math.max(most, ++listeners);
      add(...args);
    };
    signal.removeEventListener = (...args: Parameters<typeof remove>) => {
      listeners--;
      remove(...args);
    };
    await Promise.all(Array.from({ length: 100 }, () => generate([300], { maxTokens: 2, signal }).result));
    expect({ listeners, most, warnings }).toEqual({ listeners: 0, most: 1, warnings: [] });
  });

  it('fails a generation whose signal cannot be listened to, and no other', async () => {
    const { generate } = set();
    const signal = {
      aborted: false,
      addEventListener() {
        throw new Error('deaf');
      },
      removeEventListener() {},
    };
    const other = generate([300], { maxTokens: 3 }).result;
    await expect(generate([300], { signal }).result).rejects.toThrow('deaf');
    expect((await other).tokenIds).toHaveLength(3);
  });

  it('ends quietly on break, and the result has what there is', async () => {
    const { model, generate } = set();
    const generation = generate([300], { maxTokens: 500 });
    let read = 0;
    for await (const _ of generation) if (++read === 5) break;
    const completion = await generation.result;
    expect(completion.finishReason).toBe('abort');
    expect(completion.tokenIds.length).toBeGreaterThanOrEqual(5);
    expect(completion.usage.completionTokens).toBe(completion.tokenIds.length);
    expect(completion.text).toBe(tokenizer.decode([300, ...completion.tokenIds]).slice(tokenizer.decode([300]).length));
    await turn();
    expect(model.numSequences).toBe(0);
  });

  it('ends quietly on cancel, before it started, while it waits and twice', async () => {
    const { model, generate } = set();
    const early = generate([300]);
    early.cancel();
    early.cancel();
    expect(await early.result).toMatchObject({ text: '', tokenIds: [], finishReason: 'abort' });
    expect(await readAll(early)).toEqual([]);
    expect(model.requests).toEqual([]);

    const submitting = generate([300], { maxTokens: 500 });
    const iterator = submitting[Symbol.asyncIterator]();
    const next = iterator.next();
    submitting.cancel();
    expect(await next).toEqual({ done: true, value: undefined });
    await until(() => model.released.length === 1 || model.requests.length === 0);
    await turn();
    await turn();
    expect(model.numSequences).toBe(0);
  });

  it('does nothing once it has ended', async () => {
    const { generate } = set();
    const generation = generate([300], { maxTokens: 2 });
    const completion = await generation.result;
    generation.cancel();
    expect(await generation.result).toBe(completion);
    expect(completion.finishReason).toBe('length');
  });

  it('ends with GROK_CLOSED when the model is closed', async () => {
    const { loop, generate } = set();
    const generation = generate([300], { maxTokens: 500 });
    const iterator = generation[Symbol.asyncIterator]();
    await iterator.next();
    loop.close();
    await expect(iterator.next()).rejects.toMatchObject({ code: 'GROK_CLOSED' });
    await expect(generation.result).rejects.toMatchObject({ code: 'GROK_CLOSED' });
  });
});

describe('a reader that falls behind', () => {
  it('holds its generation up, and no other', async () => {
    const { model, generate } = set();
    const slow = generate([300], { maxTokens: 700 });
    const iterator = slow[Symbol.asyncIterator]();
    await iterator.next();
    const other = await generate([301], { maxTokens: 600 }).result;
    expect(other.tokenIds.length).toBe(600);
    const steps = model.steps.length;
    for (let count = 0; count < 10; count++) await turn();
    expect(model.steps.length).toBe(steps);
    const ofSlow = model.steps.filter((ids) => ids.includes(1)).length;
    expect(ofSlow).toBeGreaterThan(200);
    expect(ofSlow).toBeLessThan(300);

    let read = 1;
    while (!(await iterator.next()).done) read++;
    expect(read).toBe(700);
  });

  it('does not hold up a generation whose result was asked for', async () => {
    const { generate } = set();
    const generation = generate([300], { maxTokens: 700 });
    const iterator = generation[Symbol.asyncIterator]();
    await iterator.next();
    expect((await generation.result).tokenIds.length).toBe(700);
    let left = 0;
    while (!(await iterator.next()).done) left++;
    expect(left).toBe(699);
  });
});

describe('the iterator', () => {
  it('is for one reader: a second is refused, though the first has left', async () => {
    const { generate } = set();
    const generation = generate([300], { maxTokens: 500 });
    for await (const _ of generation) break;
    const refusal = { code: 'GROK_ALREADY_READ', hint: expect.stringContaining('`result`') };
    await expect(readAll(generation)).rejects.toMatchObject(refusal);
    expect(() => generation[Symbol.asyncIterator]()).toThrow(expect.objectContaining(refusal));
    expect((await generation.result).finishReason).toBe('abort');
  });

  it('answers calls of next in their order, though none was awaited', async () => {
    const { generate } = set();
    const iterator = generate([300], { maxTokens: 3 })[Symbol.asyncIterator]();
    const results = await Promise.all(Array.from({ length: 5 }, () => iterator.next()));
    expect(results.map(({ value }) => value?.tokenIds)).toEqual([[300], [301], [302], undefined, undefined]);
    expect(results.map(({ done }) => done)).toEqual([false, false, false, true, true]);
  });

  it('ends its generation by return and by throw, as a generator does', async () => {
    const { model, generate } = set();
    const returned = generate([300], { maxTokens: 500 });
    const first = returned[Symbol.asyncIterator]();
    await first.next();
    expect(await first.return?.('last' as never)).toEqual({ done: true, value: 'last' });
    expect(await first.next()).toEqual({ done: true, value: undefined });

    const thrown = generate([300], { maxTokens: 500 });
    const second = thrown[Symbol.asyncIterator]();
    const pending = second.next();
    const mine = new Error('mine');
    await expect(second.throw?.(mine)).rejects.toBe(mine);
    expect(await pending).toEqual({ done: true, value: undefined });
    for (const generation of [returned, thrown]) expect((await generation.result).finishReason).toBe('abort');
    await until(() => model.numSequences === 0);
  });

  it('may be read as a ReadableStream, whose cancel ends the generation', async () => {
    const { generate } = set();
    const whole = ReadableStream.from(generate([300], { maxTokens: 3 }));
    expect(await readAll(whole as never)).toHaveLength(3);
    const generation = generate([300], { maxTokens: 500 });
    const reader = ReadableStream.from(generation).getReader();
    await reader.read();
    await reader.cancel('enough');
    expect((await generation.result).finishReason).toBe('abort');
  });

  it('leaves the engine at the end of an `await using`, failed or not', async () => {
    const { model, generate } = set();
    let left: Generation | undefined;
    {
      await using generation = generate([300], { maxTokens: 500 });
      left = generation;
      await generation[Symbol.asyncIterator]().next();
    }
    expect((await left.result).finishReason).toBe('abort');
    {
      await using failed = generate([300], { signal: AbortSignal.abort('no') });
      await expect(failed.result).rejects.toBe('no');
    }
    await until(() => model.numSequences === 0);
  });
});

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
    const { generate } = set({ script: () => lead }); // each says that the one before is no character, and waits itself
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
    const { model, generate } = set();
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
    const { generate } = set({}, false);
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
    const { generate } = set({ vocabSize: 5000, script: () => 4999 });
    expect(await generate([4998], { maxTokens: 2, logprobs: 0 }).result).toMatchObject({
      text: '',
      tokenIds: [4999, 4999],
    });
  });
});

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

  it('gives the log-probability of the chosen token alone for 0, and nothing when not asked', async () => {
    const { generate } = set();
    expect((await generate([300], { maxTokens: 1, logprobs: 0 }).result).logprobs).toMatchObject([
      { id: 300, top: [] },
    ]);
    const [chunk] = await readAll(generate([300], { maxTokens: 1 }));
    expect(chunk).not.toHaveProperty('logprobs');
  });

  it('scores the prompt and generates nothing with maxTokens 0', async () => {
    const { model, generate } = set();
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
  it('takes as many tokens as the context has room for when none are asked for', async () => {
    const { model, generate } = set({ contextSize: 16 });
    const completion = await generate(new Array<number>(10).fill(300)).result;
    expect(model.requests[0]?.maxTokens).toBe(6);
    expect(completion).toMatchObject({
      finishReason: 'length',
      usage: { promptTokens: 10, completionTokens: 6, totalTokens: 16 },
    });
  });

  it('passes every option on', async () => {
    const { model, generate } = set();
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
    const { model, generate } = set();
    const { seed } = await generate([300], { maxTokens: 1 }).result;
    expect(seed).toBe(model.requests[0]?.seed);
  });

  it('says how long its parts took', async () => {
    const { generate } = set();
    const { timings } = await generate(new Array<number>(64).fill(300), { maxTokens: 50 }).result;
    for (const [name, value] of Object.entries(timings)) expect(value, name).toBeGreaterThanOrEqual(0);
    expect(timings.firstTokenMs).toBeCloseTo(timings.queueMs + timings.prefillMs, 6);
    expect(timings.tokensPerSecond).toBeCloseTo(49_000 / timings.decodeMs, 6);
  });

  it('is the same alone and among others', async () => {
    const { generate } = set({
      maxSequences: 2,
      script: (index, request) => 300 + (((request.prompt[0] ?? 0) + index) % 50),
    });
    const alone = await generate([7], { maxTokens: 40 }).result;
    const among = await Promise.all([5, 6, 7, 8, 9].map((id) => generate([id], { maxTokens: 40 }).result));
    expect(among[2]?.tokenIds).toEqual(alone.tokenIds);
  });
});
