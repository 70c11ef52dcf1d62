import { existsSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startServer, type TestServer } from './service.js';

// The clients lie in a folder of their own with a lock file: `npm ci --prefix test/server/clients`. They never leave this
// machine, because their base URL is on it.
const areInstalled = existsSync('test/server/clients/node_modules');
if (!areInstalled) console.warn('test/server/clients is not installed: the tests with real clients are skipped');

let service: TestServer;
let baseURL: string;
beforeAll(async () => {
  service = await startServer({}, { maxSequences: 8 });
  baseURL = `${service.url}/v1`;
});
afterAll(async () => await service[Symbol.asyncDispose]());

// biome-ignore lint/suspicious/noExplicitAny: results of clients, whose types are not installed with the package
async function client(file: string, name: string, ...args: unknown[]): Promise<any> {
  const module = await import(/* @vite-ignore */ new URL(`./clients/${file}.mjs`, import.meta.url).href);
  return await module[name](...args);
}

/** The answers of the library, to compare with. */
async function expected() {
  const options = { temperature: 0, maxTokens: 8 };
  const completion = await service.grok.complete('Once upon a time', options);
  const chat = await service.grok.chat([{ role: 'user', content: 'Hello' }], options).result;
  return { completion, chat };
}

describe.skipIf(!areInstalled)('the client of OpenAI', () => {
  it('gets completions, chats and streams', async () => {
    const { model, retrieved, completion, pieces, chat, deltas, finalChat } = await client(
      'openai',
      'useOpenai',
      baseURL,
    );
    const library = await expected();
    expect(model).toBe('grok-tiny');
    expect(retrieved.id).toBe(model);
    expect(completion.choices[0].text).toBe(library.completion.text);
    // biome-ignore lint/suspicious/noExplicitAny: as above
    expect(pieces.map((piece: any) => piece.choices[0]?.text ?? '').join('')).toBe(library.completion.text);
    expect(pieces.at(-1).usage.completion_tokens).toBe(8);
    expect(chat.choices[0].message.content).toBe(library.chat.text);
    expect(deltas.join('')).toBe(library.chat.text);
    expect(finalChat.choices[0]).toMatchObject({ message: { content: library.chat.text }, finish_reason: 'length' });
  });

  it('gets its own error classes', async () => {
    await using guarded = await startServer({ apiKeys: ['right'] }, {}, service.grok);
    expect(await client('openai', 'openaiErrors', `${guarded.url}/v1`, 'right')).toEqual({
      model: { class: 'NotFoundError', status: 404, code: 'model_not_found', param: 'model', hasRequestId: true },
      value: { class: 'BadRequestError', status: 400, code: 'invalid_value', param: 'temperature', hasRequestId: true },
      context: {
        class: 'BadRequestError',
        status: 400,
        code: 'context_length_exceeded',
        param: 'prompt',
        hasRequestId: true,
      },
      tools: {
        class: 'BadRequestError',
        status: 400,
        code: 'unsupported_parameter',
        param: 'tools',
        hasRequestId: true,
      },
      key: { class: 'AuthenticationError', status: 401, code: 'invalid_api_key', param: null, hasRequestId: true },
    });
  });

  it('ends the work when it aborts', async () => {
    const before = service.grok.stats().tokens.generated;
    expect(await client('openai', 'abortOpenai', baseURL)).toBeLessThan(100); // some were on their way
    await expect.poll(() => service.grok.stats().running, { timeout: 20_000 }).toBe(0);
    expect(service.grok.stats().tokens.generated - before).toBeLessThan(400);
  });
});

describe.skipIf(!areInstalled)("Vercel's AI SDK", () => {
  it('gets completions, chats, streams, usage and errors', async () => {
    const { chat, completion, deltas, streamUsage, error } = await client('ai-sdk', 'useAiSdk', baseURL);
    const library = await expected();
    expect(chat).toMatchObject({ text: library.chat.text, finishReason: 'length', usage: { outputTokens: 8 } });
    // It writes the prompt in a form of its own, "user:" and "assistant:".
    expect(completion).toEqual({ text: expect.stringMatching(/./), finishReason: 'length' });
    expect(deltas.join('')).toBe(library.chat.text);
    expect(streamUsage.outputTokens).toBe(8);
    expect(error).toMatchObject({ name: 'AI_APICallError', statusCode: 404 });
    expect(error.message).toContain('does not exist');
  });
});

describe.skipIf(!areInstalled)('LangChain', () => {
  it('gets completions, chats and streams', async () => {
    const { chat, usage, deltas, completion, pieces } = await client('langchain', 'useLangchain', baseURL);
    const library = await expected();
    expect(chat).toBe(library.chat.text);
    expect(usage.output_tokens).toBe(8);
    expect(deltas.join('')).toBe(library.chat.text);
    expect(completion).toBe(library.completion.text);
    expect(pieces.join('')).toBe(library.completion.text);
  });
});
