import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import type { Chunk, Completion, Generation, Grok } from '../../lib/index.js';
import { createHandler } from '../../server/index.js';

// Whole answers to the byte, of a model whose tokens are given.

const usage = { promptTokens: 2, completionTokens: 3, totalTokens: 5 };
const timings = { queueMs: 0, prefillMs: 1, firstTokenMs: 1, decodeMs: 2, tokensPerSecond: 1 };
const done: Completion = { text: '', tokenIds: [], finishReason: 'stop', usage, timings, seed: 1 };

/** Stands for an answer that goes on until it is aborted. */
const endless = Symbol('endless');

/** A loaded model that answers with the given chunks, then with `error` or with the end. */
function fakeGrok(chunks: readonly Chunk[], error?: unknown): Grok {
  const generate = (_: unknown, { signal }: { signal: AbortSignal }): Generation =>
    ({
      result: Promise.resolve({ ...done, text: chunks.map(({ text }) => text).join('') }),
      async *[Symbol.asyncIterator]() {
        yield* chunks;
        if (error === endless) {
          await once(signal, 'abort');
          throw signal.reason;
        }
        if (error) throw error;
      },
    }) as unknown as Generation;
  return {
    closed: false,
    info: {
      source: '/models/toy',
      device: 'cpu',
      dtype: 'int8',
      contextSize: 64,
      chat: { templates: ['transcript'], default: 'transcript', note: undefined },
    },
    check: async () => {},
    generate,
    chat: generate,
    stats: () => ({ running: 0, waiting: 0, pages: {}, tokens: {}, steps: 0 }),
  } as unknown as Grok;
}

async function transcript(path: string, body: object, chunks: readonly Chunk[], error?: unknown): Promise<string> {
  const handler = createHandler(fakeGrok(chunks, error), { metrics: false, requestTimeout: 100 });
  const headers = { 'x-request-id': 'r1' };
  const request = new Request(`http://localhost${path}`, { method: 'POST', body: JSON.stringify(body), headers });
  const text = await (await handler(request)).text();
  return text.replaceAll(/"created":\d+/g, '"created":0').replaceAll(/fp_\w+/g, 'fp_0');
}

const head = '"created":0,"model":"toy","system_fingerprint":"fp_0"';
const completion = `{"id":"cmpl-r1","object":"text_completion",${head}`;
const chat = `{"id":"chatcmpl-r1","object":"chat.completion.chunk",${head}`;

describe('the bytes of a stream', () => {
  it('of a completion with usage', async () => {
    const body = { prompt: [1, 2], stream: true, stream_options: { include_usage: true } };
    expect(await transcript('/v1/completions', body, [{ text: ' "a"\n', tokenIds: [3] }])).toBe(
      [
        `data: ${completion},"choices":[{"index":0,"text":" \\"a\\"\\n","logprobs":null,"finish_reason":null}],"usage":null}`,
        `data: ${completion},"choices":[{"index":0,"text":"","logprobs":null,"finish_reason":"stop"}],"usage":null}`,
        `data: ${completion},"choices":[],"usage":{"prompt_tokens":2,"completion_tokens":3,"total_tokens":5}}`,
        'data: [DONE]\n\n',
      ].join('\n\n'),
    );
  });

  it('of a chat', async () => {
    const body = { messages: [{ role: 'user', content: 'a' }], stream: true };
    const chunks = [
      { text: '', tokenIds: [3] }, // the first byte of a character
      { text: '🦊', tokenIds: [4, 5, 6] },
    ];
    expect(await transcript('/v1/chat/completions', body, chunks)).toBe(
      [
        `data: ${chat},"choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]}`,
        `data: ${chat},"choices":[{"index":0,"delta":{"content":"🦊"},"logprobs":null,"finish_reason":null}]}`,
        `data: ${chat},"choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}]}`,
        'data: [DONE]\n\n',
      ].join('\n\n'),
    );
  });

  it('of an error in its middle, without words about the cause', async () => {
    const body = { prompt: [1, 2], stream: true };
    const chunks = [{ text: 'a', tokenIds: [3] }];
    expect(await transcript('/v1/completions', body, chunks, new TypeError('secret at /home/me/x.js:1'))).toBe(
      [
        `data: ${completion},"choices":[{"index":0,"text":"a","logprobs":null,"finish_reason":null}]}`,
        'data: {"error":{"message":"The server could not finish this request.","type":"server_error","param":null,"code":"internal_error"}}\n\n',
      ].join('\n\n'),
    );
  });

  it('of an answer that takes too long', async () => {
    const chunks = [{ text: 'a', tokenIds: [3] }];
    expect(await transcript('/v1/completions', { prompt: [1], stream: true }, chunks, endless)).toBe(
      [
        `data: ${completion},"choices":[{"index":0,"text":"a","logprobs":null,"finish_reason":null}]}`,
        'data: {"error":{"message":"The answer was not finished after 100 ms.","type":"server_error","param":null,"code":"request_timeout"}}\n\n',
      ].join('\n\n'),
    );
  });

  it('of an error before its beginning is that of any other error', async () => {
    const text = await transcript('/v1/completions', { prompt: [1], stream: true }, [], new TypeError('secret'));
    expect(text).toBe(
      '{"error":{"message":"The server could not finish this request.","type":"server_error","param":null,"code":"internal_error"}}',
    );
  });

  it('of an empty answer', async () => {
    const body = { prompt: [1], stream: true, max_tokens: 0 };
    expect(await transcript('/v1/completions', body, [])).toBe(
      `data: ${completion},"choices":[{"index":0,"text":"","logprobs":null,"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n`,
    );
  });
});
