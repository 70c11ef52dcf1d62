import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventsOf, post, startServer, type TestServer } from './service.js';

// The requests of lm-evaluation-harness (`local-completions`) and of vLLM's benchmark client, to the field, and their way
// of reading the answers. Sources: EleutherAI/lm-evaluation-harness lm_eval/models/openai_completions.py and
// api_models.py; vllm-project/vllm vllm/benchmarks/lib/endpoint_request_func.py.

let service: TestServer;
beforeAll(async () => {
  service = await startServer({}, { maxSequences: 8 });
});
afterAll(async () => await service[Symbol.asyncDispose]());

interface Answer {
  choices: {
    index: number;
    text: string;
    logprobs: { token_logprobs: number[]; top_logprobs: Record<string, number>[] };
  }[];
}

const authorization = 'Bearer '; // the harness sends an empty key

async function json<T>(path: string, body?: object): Promise<T> {
  const headers = { authorization };
  const response = body
    ? await post(service.url + path, body, { headers })
    : await fetch(service.url + path, { headers });
  expect(response.status).toBe(200);
  return (await response.json()) as T;
}

/** The harness's parse_logprobs. */
function parseLogprobs({ choices }: Answer, contextLengths: readonly number[]): [number, boolean][] {
  const sorted = choices.toSorted((left, right) => left.index - right.index);
  return sorted.map(({ logprobs }, choice) => {
    const start = contextLengths[choice] ?? 0;
    const tokenLogprobs = logprobs.token_logprobs.slice(start, -1);
    const sum = tokenLogprobs.reduce((total, logprob) => total + logprob, 0);
    const tops = logprobs.top_logprobs.slice(start, -1);
    const isGreedy = tokenLogprobs.every((logprob, index) => logprob === Math.max(...Object.values(tops[index] ?? {})));
    return [sum, isGreedy];
  });
}

describe('lm-evaluation-harness', () => {
  const pairs = [
    ['Once upon a time', ', there was a little girl'],
    ['The dog ran to the', ' park'],
    ['She opened the box and saw', ' quantum chromodynamics'],
    ['One day', ', a boy'],
  ] as const;

  it('finds its tokenizer', async () => {
    const info = await json<Record<string, unknown>>('/tokenizer_info');
    expect(info.eos_token).toBe('[EOS]');
    const { tokens } = await json<{ tokens: number[] }>('/tokenize', {
      prompt: pairs[0][0],
      add_special_tokens: false,
    });
    expect(tokens).toEqual(service.grok.tokenizer.encode(pairs[0][0]));
    expect(await json('/detokenize', { tokens })).toEqual({ prompt: pairs[0][0] });
  });

  it('gets log-likelihoods that equal grok.score, and whether they are greedy', async () => {
    const { tokenizer } = service.grok;
    const contexts = pairs.map(([context]) => tokenizer.encode(context).length);
    const prompt = pairs.map(([context, continuation]) => tokenizer.encode(context + continuation));
    const answer = await json<Answer>('/v1/completions', {
      model: 'grok-tiny',
      prompt,
      temperature: 0,
      max_tokens: 1,
      logprobs: 1,
      seed: 1234,
      echo: true,
    });
    const results = parseLogprobs(answer, contexts);
    expect(results).toHaveLength(pairs.length);
    for (const [index, ids] of prompt.entries()) {
      const scored = (await service.grok.score(ids, { logprobs: 1 })).slice(contexts[index]);
      const sum = scored.reduce((total, { logprob }) => total + (logprob ?? 0), 0);
      const isGreedy = scored.every(({ id, top }) => top[0]?.id === id);
      const [found, foundGreedy] = results[index] ?? [];
      expect(Math.abs((found ?? Number.NaN) - sum)).toBeLessThanOrEqual(1e-6);
      expect(foundGreedy).toBe(isGreedy);
    }
    expect(results.map(([, isGreedy]) => isGreedy)).toContain(true);
    expect(results.map(([, isGreedy]) => isGreedy)).toContain(false);
  });

  it('generates until one of its stops, with fields that nobody knows', async () => {
    const prompt = [service.grok.tokenizer.encode('Once upon a time')];
    const stop = ['\n\n', '.', '[EOS]', '</s>', '<|im_end|>', 'Q:'];
    const body = { prompt, model: 'grok-tiny', max_tokens: 64, temperature: 0, stop, seed: 1234, do_sample: false };
    const { choices } = await json<Answer>('/v1/completions', body);
    const { text } = await service.grok.complete('Once upon a time', { temperature: 0, maxTokens: 64, stop });
    expect(choices.map((choice) => choice.text)).toEqual([text]);
  });
});

describe("vLLM's benchmark client", () => {
  it('measures completions', async () => {
    const response = await post(
      `${service.url}/v1/completions`,
      {
        model: 'grok-tiny',
        prompt: 'Once upon a time',
        repetition_penalty: 1.0,
        max_tokens: 12,
        logprobs: null,
        stream: true,
        stream_options: { include_usage: true },
        ignore_eos: true,
        temperature: 0,
      },
      { headers: { 'x-request-id': 'bench-7' } },
    );
    expect(response.headers.get('x-request-id')).toBe('bench-7');
    const read = readAsBenchmark(await eventsOf(response), (choice) => choice.text);
    expect(read.usage).toMatchObject({ completion_tokens: 12 });
    expect(read.firstIsTimed).toBe(true);
    const { text } = await service.grok.complete('Once upon a time', {
      temperature: 0,
      maxTokens: 12,
      ignoreEos: true,
    });
    expect(read.text).toBe(text);
  });

  it('measures chats', async () => {
    const response = await post(`${service.url}/v1/chat/completions`, {
      model: 'grok-tiny',
      messages: [{ role: 'user', content: [{ type: 'text', text: 'Hello' }] }],
      temperature: 0,
      max_completion_tokens: 12,
      stream: true,
      stream_options: { include_usage: true },
    });
    const read = readAsBenchmark(await eventsOf(response), (choice) => choice.delta?.content);
    const { text, usage } = await service.grok.chat([{ role: 'user', content: 'Hello' }], {
      temperature: 0,
      maxTokens: 12,
    }).result;
    expect(read).toMatchObject({ text, usage: { completion_tokens: usage.completionTokens } });
  });
});

interface BenchmarkChoice {
  text?: string;
  delta?: { content?: string };
}

/** Usage comes only from an event whose `choices` is empty, and the first token from the first one with choices. */
function readAsBenchmark(events: readonly string[], textOf: (choice: BenchmarkChoice) => string | undefined) {
  let text = '';
  let usage: object | undefined;
  let firstIsTimed = false;
  for (const event of events) {
    if (event === '[DONE]') continue;
    const data = JSON.parse(event) as { choices?: BenchmarkChoice[]; usage?: object };
    const [choice] = data.choices ?? [];
    if (choice) {
      firstIsTimed ||= text === '';
      text += textOf(choice) ?? '';
    } else if (data.usage) usage = data.usage;
  }
  return { text, usage, firstIsTimed };
}
