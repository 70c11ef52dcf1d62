import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { errorOf, eventsOf, post, startServer, type TestServer } from './service.js';

const messages = [{ role: 'user', content: 'Tell me a story.' }] as const;

let service: TestServer;
beforeAll(async () => {
  service = await startServer({}, { maxSequences: 8 });
});
afterAll(async () => await service[Symbol.asyncDispose]());

const chat = (body: object) => post(`${service.url}/v1/chat/completions`, body);

interface Chat {
  object: string;
  choices: {
    index: number;
    message?: { role: string; content: string };
    delta?: { role?: string; content?: string };
    logprobs: null | { content: { token: string; logprob: number; bytes: number[]; top_logprobs: object[] }[] };
    finish_reason: string | null;
  }[];
  usage?: object | null;
}

describe('a chat request that is wrong', () => {
  const part = (content: object) => ({ messages: [{ role: 'user', content: [content] }] });
  it.each([
    ['no messages', {}, 'invalid_value', 'messages'],
    ['an empty list', { messages: [] }, 'invalid_value', 'messages'],
    ['a text as message', { messages: ['hello'] }, 'invalid_value', 'messages[0]'],
    ['an unknown role', { messages: [{ role: 'judge', content: 'a' }] }, 'invalid_value', 'messages[0].role'],
    ['a tool', { messages: [{ role: 'tool', content: 'a' }] }, 'unsupported_parameter', 'messages[0].role'],
    ['no content', { messages: [{ role: 'user' }] }, 'invalid_value', 'messages[0].content'],
    ['an image', part({ type: 'image_url', image_url: {} }), 'unsupported_parameter', 'messages[0].content[0].type'],
    ['audio', part({ type: 'input_audio' }), 'unsupported_parameter', 'messages[0].content[0].type'],
    ['a part without text', part({ type: 'text' }), 'invalid_value', 'messages[0].content[0].text'],
    ['null as part', { messages: [{ role: 'user', content: [null] }] }, 'invalid_value', 'messages[0].content[0].type'],
    [
      'the assistant last',
      { messages: [...messages, { role: 'assistant', content: 'a' }] },
      'invalid_value',
      'messages',
    ],
    ['tools', { messages, tools: [{ type: 'function' }] }, 'unsupported_parameter', 'tools'],
    ['a forced tool', { messages, tool_choice: 'required' }, 'unsupported_parameter', 'tool_choice'],
    ['JSON', { messages, response_format: { type: 'json_schema' } }, 'unsupported_parameter', 'response_format'],
    ['audio as answer', { messages, modalities: ['text', 'audio'] }, 'unsupported_parameter', 'modalities'],
    ['a template', { messages, chat_template: '{{ x }}' }, 'unsupported_parameter', 'chat_template'],
    ['a seed that is a list', { messages, seed: [1, 2] }, 'invalid_value', 'seed'],
    ['a temperature below 0', { messages, temperature: -1 }, 'invalid_value', 'temperature'],
    ['top_logprobs alone', { messages, top_logprobs: 2 }, 'invalid_value', 'top_logprobs'],
    ['logprobs as a number', { messages, logprobs: 2 }, 'invalid_value', 'logprobs'],
    ['a long message', { messages: [{ role: 'user', content: 'word '.repeat(600) }] }, 'context_length_exceeded', null],
  ])('is refused by the name of the field: %s', async (_, body, code, param) => {
    const { status, error } = await errorOf(await chat(body));
    expect(error).toMatchObject({ code, ...(param !== null && { param }) });
    expect(status).toBe(400);
  });
});

describe('a chat', () => {
  it('answers like the library, with role and usage', async () => {
    const response = await chat({ model: 'grok-tiny', messages, temperature: 0, max_completion_tokens: 12, tools: [] });
    const { text, usage } = await service.grok.chat(messages, { temperature: 0, maxTokens: 12 }).result;
    expect((await response.json()) as Chat).toMatchObject({
      object: 'chat.completion',
      choices: [{ index: 0, message: { role: 'assistant', content: text, refusal: null }, logprobs: null }],
      usage: { prompt_tokens: usage.promptTokens, completion_tokens: usage.completionTokens },
    });
  });

  it('takes parts of text, a developer, several system messages and names', async () => {
    const options = { temperature: 0, max_tokens: 8 };
    const parts = await chat({
      ...options,
      messages: [
        { role: 'system', content: 'Be kind.' },
        { role: 'developer', content: [{ type: 'text', text: 'Be short.' }] },
        { role: 'user', name: 'Ann', content: [{ type: 'text', text: 'Hello' }] },
        { role: 'assistant', content: null, refusal: null },
        { role: 'user', content: 'Again' },
      ],
    });
    expect(parts.status).toBe(200);
    const plain = await chat({
      ...options,
      messages: [
        { role: 'system', content: 'Be kind.\n\nBe short.' },
        { role: 'user', content: 'Hello' },
        { role: 'assistant', content: '' },
        { role: 'user', content: 'Again' },
      ],
    });
    const textOf = async (response: Response) => ((await response.json()) as Chat).choices[0]?.message?.content;
    expect(await textOf(parts)).toBe(await textOf(plain));
  });

  it('streams the role first, then text, then an empty delta with the reason, then usage', async () => {
    const body = { messages, seed: 5, n: 2, max_tokens: 12, temperature: 1, logprobs: true, top_logprobs: 2 };
    const whole = (await (await chat(body)).json()) as Chat;
    const events = await eventsOf(await chat({ ...body, stream: true, stream_options: { include_usage: true } }));
    expect(events.pop()).toBe('[DONE]');
    const parts = events.map((event) => JSON.parse(event) as Chat);
    expect(parts.pop()).toMatchObject({ object: 'chat.completion.chunk', choices: [], usage: whole.usage });
    for (const { index, message, finish_reason, logprobs } of whole.choices) {
      const mine = parts.flatMap(({ choices }) => choices).filter((choice) => choice.index === index);
      expect(mine[0]?.delta).toEqual({ role: 'assistant', content: '' });
      expect(mine.at(-1)).toMatchObject({ delta: {}, finish_reason });
      expect(mine.map(({ delta }) => delta?.content ?? '').join('')).toBe(message?.content);
      expect(mine.flatMap((choice) => choice.logprobs?.content ?? [])).toEqual(logprobs?.content);
    }
    const [token] = whole.choices[0]?.logprobs?.content ?? [];
    expect(token?.bytes).toEqual([...Buffer.from(token?.token ?? '')]);
    expect(token?.top_logprobs).toHaveLength(2);
  });

  it('shows its prompt', async () => {
    const response = await post(`${service.url}/apply-template`, { messages });
    const { text, tokenIds, stop } = await service.grok.chatPrompt(messages);
    expect(await response.json()).toEqual({
      prompt: text,
      tokens: tokenIds,
      count: tokenIds.length,
      stop,
      template: 'transcript',
    });
  });
});
