import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { errorOf, eventsOf, post, startServer, type TestServer } from './service.js';

const PROMPT = 'Once upon a time';

let service: TestServer;
beforeAll(async () => {
  service = await startServer({}, { maxSequences: 8 });
});
afterAll(async () => await service[Symbol.asyncDispose]());

interface Choice {
  text: string;
  index: number;
  finish_reason: string | null;
  logprobs: null | {
    tokens: string[];
    token_logprobs: (number | null)[];
    top_logprobs: (Record<string, number> | null)[];
    text_offset: number[];
  };
}
interface Completion {
  id: string;
  object: string;
  model: string;
  choices: Choice[];
  usage?: { prompt_tokens: number; completion_tokens: number; total_tokens: number } | null;
}

async function complete(body: object): Promise<Completion> {
  const response = await post(`${service.url}/v1/completions`, body);
  const answer = await response.json();
  expect(response.status, JSON.stringify(answer)).toBe(200);
  return answer as Completion;
}

async function refused(body: unknown) {
  return await errorOf(await post(`${service.url}/v1/completions`, body));
}

describe('a completion request that is wrong', () => {
  it.each([
    ['no JSON', '{"prompt": ', 'invalid_json', null],
    ['an array', '[1]', 'invalid_json', null],
    ['null', 'null', 'invalid_json', null],
    ['nothing', '', 'invalid_json', null],
    ['no prompt', {}, 'invalid_value', 'prompt'],
    ['an empty prompt', { prompt: '' }, 'invalid_value', 'prompt'],
    ['no prompts', { prompt: [] }, 'invalid_value', 'prompt'],
    ['an object as prompt', { prompt: { text: 'a' } }, 'invalid_value', 'prompt'],
    ['a number among texts', { prompt: ['a', 1] }, 'invalid_value', 'prompt'],
    ['a text among ids', { prompt: [1, 'a'] }, 'invalid_value', 'prompt'],
    ['an id outside the vocabulary', { prompt: [5, 1e6] }, 'invalid_value', 'prompt'],
    ['half of a surrogate pair', '{"prompt": "\\ud800"}', 'invalid_value', 'prompt'],
    ['too many prompts', { prompt: Array(65).fill('a') }, 'invalid_value', 'prompt'],
    ['n of 0', { prompt: 'a', n: 0 }, 'invalid_value', 'n'],
    ['n of a million', { prompt: 'a', n: 1e6 }, 'invalid_value', 'n'],
    ['too many choices', { prompt: Array(10).fill('a'), n: 8 }, 'invalid_value', 'n'],
    ['a temperature below 0', { prompt: 'a', temperature: -1 }, 'invalid_value', 'temperature'],
    ['a temperature as text', { prompt: 'a', temperature: '1' }, 'invalid_value', 'temperature'],
    ['top_p of 2', { prompt: 'a', top_p: 2 }, 'invalid_value', 'top_p'],
    ['logit_bias for a word', { prompt: 'a', logit_bias: { a: 1 } }, 'invalid_value', 'logit_bias'],
    ['logit_bias as an array', { prompt: 'a', logit_bias: [1] }, 'invalid_value', 'logit_bias'],
    ['a seed below 0', { prompt: 'a', seed: -1 }, 'invalid_value', 'seed'],
    ['21 logprobs', { prompt: 'a', logprobs: 21 }, 'invalid_value', 'logprobs'],
    ['17 stops', { prompt: 'a', stop: Array(17).fill('x') }, 'invalid_value', 'stop'],
    ['an empty stop', { prompt: 'a', stop: [''] }, 'invalid_value', 'stop'],
    ['a long stop', { prompt: 'a', stop: 'x'.repeat(257) }, 'invalid_value', 'stop'],
    ['max_tokens below 0', { prompt: 'a', max_tokens: -1 }, 'invalid_value', 'max_tokens'],
    ['max_tokens of a half', { prompt: 'a', max_tokens: 0.5 }, 'invalid_value', 'max_tokens'],
    ['more tokens than fit', { prompt: 'a', max_tokens: 4096 }, 'context_length_exceeded', 'prompt'],
    ['a prompt that does not fit', { prompt: 'word '.repeat(600) }, 'context_length_exceeded', 'prompt'],
    ['an endless prompt', { prompt: 'a'.repeat(1e6) }, 'context_length_exceeded', 'prompt'],
    ['stream as text', { prompt: 'a', stream: 'yes' }, 'invalid_value', 'stream'],
    ['stream_options without stream', { prompt: 'a', stream_options: {} }, 'invalid_value', 'stream_options'],
    ['a suffix', { prompt: 'a', suffix: 'b' }, 'unsupported_parameter', 'suffix'],
    ['best_of 2', { prompt: 'a', best_of: 2 }, 'unsupported_parameter', 'best_of'],
    ['a schema', { prompt: 'a', response_format: { type: 'json_object' } }, 'unsupported_parameter', 'response_format'],
    ['a response_format of null', { prompt: 'a', response_format: 3 }, 'unsupported_parameter', 'response_format'],
  ])('is refused by the name of the field: %s', async (_, body, code, param) => {
    const { status, error } = await refused(body);
    expect(error).toMatchObject({ code, param, type: 'invalid_request_error' });
    expect(status).toBe(400);
    expect(error.message).toMatch(/^[A-Z].*\.?$/);
    expect(error.message).not.toMatch(/topP|maxTokens|logitBias|\n/);
  });

  it('names another model', async () => {
    const { status, error } = await refused({ prompt: 'a', model: 'gpt-4' });
    expect([status, error.code, error.param]).toEqual([404, 'model_not_found', 'model']);
  });
});

describe('a completion', () => {
  it('has the text of the library, its usage and its model', async () => {
    const answer = await complete({ model: 'grok-tiny', prompt: PROMPT, temperature: 0, max_tokens: 12, best_of: 1 });
    const { text, usage } = await service.grok.complete(PROMPT, { temperature: 0, maxTokens: 12 });
    expect(answer).toMatchObject({
      object: 'text_completion',
      model: 'grok-tiny',
      choices: [{ index: 0, text, logprobs: null, finish_reason: 'length' }],
      usage: { prompt_tokens: usage.promptTokens, completion_tokens: 12, total_tokens: usage.promptTokens + 12 },
    });
    expect(answer.id).toMatch(/^cmpl-/);
  });

  it('has 16 tokens by default, and ignores unknown fields and null', async () => {
    const answer = await complete({
      prompt: PROMPT,
      user: 'me',
      made_up: [1],
      stop: null,
      max_tokens: null,
      ignore_eos: true,
    });
    expect(answer.usage?.completion_tokens).toBe(16);
  });

  it('takes texts and ids together, and n choices of each, in order', async () => {
    const ids = service.grok.tokenizer.encode('The cat');
    const body = { prompt: [PROMPT, ids], n: 2, seed: 7, temperature: 1, max_tokens: 8 };
    const { choices, usage } = await complete(body);
    expect(choices.map(({ index }) => index)).toEqual([0, 1, 2, 3]);
    const solo = await complete({ ...body, prompt: ids, n: 1 });
    expect(choices[2]?.text).toBe(solo.choices[0]?.text);
    expect(choices[0]?.text).not.toBe(choices[1]?.text);
    expect(await complete(body)).toMatchObject({ choices });
    expect(usage?.prompt_tokens).toBe(service.grok.tokenizer.encode(PROMPT).length + ids.length);
  });

  it('ends before a stop text', async () => {
    const whole = await complete({ prompt: PROMPT, temperature: 0, max_tokens: 24 });
    const text = whole.choices[0]?.text ?? '';
    const stop = text.slice(9, 12);
    const { choices } = await complete({ prompt: PROMPT, temperature: 0, max_tokens: 24, stop });
    expect(choices[0]).toMatchObject({ text: text.slice(0, text.indexOf(stop)), finish_reason: 'stop' });
  });

  it('echoes the prompt alone with max_tokens 0, with the log-probabilities of score()', async () => {
    const { choices } = await complete({ prompt: PROMPT, echo: true, max_tokens: 0, logprobs: 1 });
    const scored = await service.grok.score(PROMPT, { logprobs: 1 });
    const [choice] = choices;
    expect(choice?.text).toBe(PROMPT);
    expect(choice?.logprobs?.token_logprobs).toEqual(scored.map(({ logprob }) => logprob));
    expect(choice?.logprobs?.text_offset).toEqual(scored.map(({ start }) => start));
    const bare = await complete({ prompt: PROMPT, echo: true, max_tokens: 0 });
    expect(bare.choices[0]).toMatchObject({ text: PROMPT, finish_reason: 'length', logprobs: null });
  });

  it('always has the chosen token among the likeliest, with the same number', async () => {
    const { choices } = await complete({
      prompt: PROMPT,
      temperature: 2,
      top_p: 1,
      seed: 3,
      max_tokens: 32,
      logprobs: 2,
    });
    const { tokens = [], token_logprobs = [], top_logprobs = [] } = choices[0]?.logprobs ?? {};
    expect(tokens).toHaveLength(32);
    for (const [index, token] of tokens.entries()) {
      const top = top_logprobs[index] ?? {};
      expect(top[token]).toBe(token_logprobs[index]);
      expect(Object.keys(top).length).toBeLessThanOrEqual(3);
    }
  });
});

describe('a streamed completion', () => {
  it('has the parts of the whole one, an end for each choice, usage on request, and [DONE]', async () => {
    const body = { prompt: PROMPT, n: 2, seed: 11, temperature: 1, max_tokens: 16, logprobs: 1 };
    const whole = await complete(body);
    const response = await post(`${service.url}/v1/completions`, {
      ...body,
      stream: true,
      stream_options: { include_usage: true },
    });
    expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
    expect(response.headers.get('cache-control')).toBe('no-cache');
    expect(response.headers.get('x-accel-buffering')).toBe('no');
    const events = await eventsOf(response);
    expect(events.pop()).toBe('[DONE]');
    const parts = events.map((event) => JSON.parse(event) as Completion);
    expect(parts.pop()).toMatchObject({ choices: [], usage: whole.usage });
    expect(new Set(parts.map(({ id }) => id)).size).toBe(1);
    for (const expected of whole.choices) {
      const mine = parts.flatMap(({ choices }) => choices).filter(({ index }) => index === expected.index);
      expect(mine.map(({ text }) => text).join('')).toBe(expected.text);
      expect(mine.flatMap(({ logprobs }) => logprobs?.text_offset ?? [])).toEqual(expected.logprobs?.text_offset);
      expect(mine.map(({ finish_reason }) => finish_reason).filter(Boolean)).toEqual([expected.finish_reason]);
      expect(mine.at(-1)).toMatchObject({ text: '', finish_reason: expected.finish_reason });
    }
    expect(parts.every(({ usage }) => usage === null)).toBe(true);
  });

  it('has a status of its own when it cannot start', async () => {
    const { status, error } = await refused({ prompt: 'word '.repeat(600), stream: true });
    expect([status, error.code]).toEqual([400, 'context_length_exceeded']);
  });
});
