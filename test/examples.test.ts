import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Grok } from '../lib/index.js';

// The examples run as a user's project has them: copies beside a node_modules folder.
let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'grok-examples-'));
  cpSync('examples', folder, { recursive: true });
  mkdirSync(join(folder, 'node_modules', '@hono'), { recursive: true });
  symlinkSync(resolve('.'), join(folder, 'node_modules', 'grok-run'));
  for (const name of ['hono', '@hono/node-server', 'express'])
    symlinkSync(resolve('node_modules', name), join(folder, 'node_modules', name));
});

afterAll(() => rmSync(folder, { recursive: true }));

function run(cwd: string, file: string, args: string[], input = ''): string {
  return execFileSync(process.execPath, [file, ...args], { cwd, input, encoding: 'utf8', stdio: 'pipe' });
}

it('every example is listed in examples/README.md', () => {
  const page = readFileSync('examples/README.md', 'utf8');
  for (const file of readdirSync('examples')) if (file !== 'README.md') expect(page).toContain(`[${file}](${file})`);
});

it.each(['a clone', 'an installation'])('stream.mjs prints the prompt and its continuation, in %s', (place) => {
  const text = run(place === 'a clone' ? 'examples' : folder, 'stream.mjs', ['The little fox']);
  expect(text).toMatch(/^The little fox.{40}/s);
});

it('batch.mjs continues the lines of a file in their order', () => {
  const lines = run(folder, 'batch.mjs', [], readFileSync('examples/prompts.jsonl', 'utf8')).trim().split('\n');
  const [first, second, third] = lines.map((line) => JSON.parse(line));
  expect(lines).toHaveLength(3);
  expect(first).toMatchObject({ prompt: 'Once upon a time', finishReason: 'length', text: expect.stringMatching(/./) });
  expect(second).toMatchObject({ prompt: 'The little fox', maxTokens: 32 });
  expect(third).toMatchObject({
    prompt: 'One day, Lily',
    finishReason: 'stop',
    text: expect.not.stringContaining('.'),
  });
});

it('batch.mjs reports a line that cannot run, continues the others, and ends with 1', () => {
  const input = ['nonsense', '{"prompt":"Once","sed":1}', ...Array(20).fill('{"prompt":"Once","maxTokens":2}')].join(
    '\n',
  );
  let output = '';
  try {
    run(folder, 'batch.mjs', [], input);
    expect.unreachable();
  } catch (error) {
    const { status, stdout } = error as { status: number; stdout: string };
    expect(status).toBe(1);
    output = stdout;
  }
  const results = output
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  expect(results).toHaveLength(22);
  expect(results[0]).toMatchObject({ line: 'nonsense', error: { message: expect.stringContaining('JSON') } });
  expect(results[1].error).toMatchObject({ code: 'GROK_INVALID_ARGUMENT', hint: 'Did you mean `seed`?' });
  for (const { text } of results.slice(2)) expect(text).not.toBe('');
});

it('score.mjs puts the likeliest ending first', () => {
  const [best, worst] = run(folder, 'score.mjs', []).split('\n');
  expect(best).toContain('" forest."');
  expect(worst).toContain('" spreadsheet."');
});

describe.each(['hono.mjs', 'express.mjs'])('%s', (file) => {
  let service: ChildProcess;
  let url: string;

  beforeAll(async () => {
    const env = { ...process.env, PORT: '0' };
    service = spawn(process.execPath, [file], { cwd: folder, env, stdio: ['ignore', 'pipe', 'ignore'] });
    if (!service.stdout) throw new Error('the service has no stdout');
    [url] = (await once(createInterface({ input: service.stdout }), 'line')) as [string];
  });

  afterAll(() => service.kill('SIGKILL'));

  const post = (body: string, signal?: AbortSignal) =>
    fetch(`${url}/generate`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
      ...(signal && { signal }),
    });

  it('streams a continuation as server-sent events, and its end', async () => {
    const response = await post('{"prompt": "Once upon a time", "maxTokens": 8, "seed": 1}');
    expect(response.headers.get('content-type')).toMatch('text/event-stream');
    const events = (await response.text()).trim().split('\n\n');
    const [last, ...texts] = events.reverse();
    expect(texts.length).toBeGreaterThan(4);
    for (const event of texts) expect(event).toMatch(/^data: \{"text":".*"\}$/);
    expect(last).toMatch(/^event: end\ndata: \{"finishReason":"length","usage":.*"completionTokens":8/);
  });

  it.each([
    ['a prompt of a wrong type', '{"prompt": 7}', 'GROK_INVALID_ARGUMENT'],
    ['an option out of range', '{"prompt": "a", "temperature": -1}', 'GROK_INVALID_ARGUMENT'],
    ['too many tokens', '{"prompt": "a", "maxTokens": 10000}', 'GROK_CONTEXT_OVERFLOW'],
    ['a body that is not JSON', 'nonsense', undefined],
  ])('answers %s with 400', async (_, body, code) => {
    const response = await post(body);
    expect(response.status).toBe(400);
    expect(((await response.json()) as { error: { code?: string } }).error.code).toBe(code);
  });

  it('answers 429 if too many wait, and ends the generations of clients that left', async () => {
    const clients = new AbortController();
    const responses = Array.from({ length: 200 }, () => post('{"prompt": "Once", "maxTokens": 500}', clients.signal));
    const busy = await Promise.any(
      responses.map(async (response) => {
        const { status, headers } = await response;
        if (status !== 429) throw new Error(`status ${status}`);
        return headers;
      }),
    );
    expect(busy.get('retry-after')).toBe('1');
    clients.abort();
    await Promise.allSettled(responses);
    for (;;) {
      const { running, waiting } = (await (await fetch(`${url}/stats`)).json()) as ReturnType<Grok['stats']>;
      if (running + waiting === 0) break;
      await setTimeout(20);
    }
  });

  it('ends by itself after SIGTERM', async () => {
    service.kill('SIGTERM');
    const [code, signal] = await once(service, 'exit');
    expect({ code, signal }).toEqual({ code: 0, signal: null });
  });
});

describe('next-route.mjs', () => {
  const post = async (body: string, signal?: AbortSignal): Promise<Response> => {
    const { POST } = await import(join(folder, 'next-route.mjs'));
    return await POST(new Request('http://localhost/', { method: 'POST', body, ...(signal && { signal }) }));
  };

  afterAll(async () => await (await (globalThis as { grok?: Promise<Grok> }).grok)?.close());

  it('streams a continuation as text', async () => {
    const response = await post('{"prompt": "Once upon a time", "maxTokens": 8, "seed": 1}');
    expect(response.status).toBe(200);
    expect((await response.text()).length).toBeGreaterThan(8);
  });

  it('answers a bad request with 400', async () => {
    expect((await post('{"prompt": 7}')).status).toBe(400);
    expect((await post('nonsense')).status).toBe(400);
  });

  it('ends the generation when the client disconnects', async () => {
    const client = new AbortController();
    const response = await post('{"prompt": "Once upon a time", "maxTokens": 400}', client.signal);
    client.abort();
    await expect(response.text()).rejects.toThrow();
    const grok = await (globalThis as { grok?: Promise<Grok> }).grok;
    expect(grok?.stats()).toMatchObject({ running: 0, waiting: 0 });
  });
});

it('the Dockerfile copies files that exist or that its first lines create', () => {
  const files = readFileSync('examples/Dockerfile', 'utf8').matchAll(/^COPY (.*) \S+$/gm);
  const named = [...files].flatMap(([, names = '']) => names.split(' '));
  expect(named).toEqual(['package.json', 'package-lock.json', 'hono.mjs']);
});
