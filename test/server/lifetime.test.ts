import { once } from 'node:events';
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Grok } from '../../lib/index.js';
import { createHandler, createServer } from '../../server/index.js';
import { errorOf, eventsOf, post, startServer, type TestServer } from './service.js';

const PROMPT = 'Once upon a time';
/** The machine may be busy with other work. */
const patient = { timeout: 20_000 };
const long = { prompt: PROMPT, max_tokens: 480, ignore_eos: true };

let service: TestServer;
beforeAll(async () => {
  service = await startServer({}, { maxSequences: 4, maxQueue: 4 });
});
afterAll(async () => await service[Symbol.asyncDispose]());

const complete = (body: object, init?: RequestInit) => post(`${service.url}/v1/completions`, body, init);
const isIdle = () => {
  const { running, waiting } = service.grok.stats();
  return running + waiting === 0;
};

describe('more requests than the server can take', () => {
  it('get 429 with Retry-After, and only 200 beside it', async () => {
    const answers = await Promise.all(
      Array.from({ length: 80 }, (_, index) => complete({ prompt: PROMPT, max_tokens: 16, stream: index % 2 === 0 })),
    );
    const refused = answers.filter(({ status }) => status === 429);
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200, 429]));
    for (const answer of refused) {
      expect(answer.headers.get('retry-after')).toMatch(/^\d+$/);
      expect((await errorOf(answer)).error).toMatchObject({ code: 'server_busy', type: 'rate_limit_error' });
    }
    const accepted = await Promise.all(answers.filter(({ status }) => status === 200).map((answer) => answer.text()));
    for (const text of accepted) expect(text).toMatch(/"finish_reason":"(length|stop)"/);
    await expect.poll(isIdle, patient).toBe(true);
  });

  it('are refused whole: the choices that fit do not go on', async () => {
    const { status } = await complete({ ...long, n: 8, prompt: [PROMPT, PROMPT] });
    expect(status).toBe(429);
    await expect.poll(isIdle, patient).toBe(true);
  });
});

describe('a client that leaves', () => {
  it.each([true, false])('ends its work within a step; stream: %s', async (stream) => {
    const controller = new AbortController();
    const before = service.grok.stats().tokens.generated;
    const sent = complete({ ...long, n: 2, stream }, { signal: controller.signal });
    await expect
      .poll(() => service.grok.stats().tokens.generated - before, { ...patient, interval: 1 })
      .toBeGreaterThan(4);
    controller.abort();
    await sent.then((answer) => answer.text()).catch(() => {});
    await expect.poll(isIdle, patient).toBe(true);
    expect(service.grok.stats().tokens.generated - before).toBeLessThan(2 * 480);
    await expect.poll(() => service.log.at(-1)?.status, patient).toBe(stream ? 200 : 499);
  });

  it('while its body is sent costs nothing', async () => {
    const socket = connect(service.port, '127.0.0.1');
    await once(socket, 'connect');
    socket.write('POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{"prompt":');
    await new Promise((resolve) => setTimeout(resolve, 30));
    socket.destroy();
    await expect.poll(() => service.log.at(-1)?.path, patient).toBe('/v1/completions');
    expect(isIdle()).toBe(true);
  });
});

describe('limits of time and size', () => {
  it('drop a client that takes nothing', async () => {
    // Through the handler, because the system buffers megabytes for a socket.
    const handler = createHandler(service.grok, { writeTimeout: 40 });
    const before = service.grok.stats().tokens.generated;
    const body = JSON.stringify({ ...long, stream: true });
    const answer = await handler(new Request('http://localhost/v1/completions', { method: 'POST', body }));
    const reader = answer.body?.getReader();
    expect((await reader?.read())?.done).toBe(false);
    await expect.poll(isIdle, patient).toBe(true);
    expect(service.grok.stats().tokens.generated - before).toBeLessThan(480);
    await expect(reader?.read()).rejects.toThrow('too slow');
    const metrics = await handler(new Request('http://localhost/metrics'));
    expect(await metrics.text()).toContain('grok_run_slow_clients_total 1\n');
  });

  it('end a request that takes too long', async () => {
    await using impatient = await startServer({ requestTimeout: 40 }, {}, service.grok);
    const whole = await post(`${impatient.url}/v1/completions`, { ...long, n: 4 });
    expect([whole.status, whole.headers.get('x-should-retry')]).toEqual([504, 'false']);
    expect((await errorOf(whole)).error.code).toBe('request_timeout');
    await expect.poll(isIdle, patient).toBe(true);
  });

  it('refuse a large body, by its length and without one', async () => {
    await using small = await startServer({ maxBodyBytes: 2048 }, {}, service.grok);
    const url = `${small.url}/v1/completions`;
    const body = JSON.stringify({ prompt: 'a'.repeat(4096) });
    expect((await post(url, body)).status).toBe(413);
    const parts = new ReadableStream({
      start(controller) {
        for (const part of body.match(/.{1,512}/g) ?? []) controller.enqueue(new TextEncoder().encode(part));
        controller.close();
      },
    });
    const chunked = await fetch(url, { method: 'POST', body: parts, duplex: 'half' } as RequestInit);
    expect((await errorOf(chunked)).error.code).toBe('body_too_large');
  });

  it.each([
    ['no HTTP', 'hello\r\n\r\n', 400, 'bad_request'],
    ['large headers', `GET / HTTP/1.1\r\nHost: a\r\nx: ${'y'.repeat(20_000)}\r\n\r\n`, 431, 'headers_too_large'],
  ])('answer %s in the same shape', async (_, bytes, status, code) => {
    const socket = connect(service.port, '127.0.0.1');
    socket.end(bytes);
    let text = '';
    for await (const part of socket.setEncoding('utf8')) text += part;
    expect(text).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
    expect(text).toContain(`"code":"${code}"`);
  });
});

describe('the end of a server', () => {
  it('finishes what it accepted, and refuses what comes later', async () => {
    const server = createServer(service.grok);
    const { port } = await server.listen(0);
    const url = `http://127.0.0.1:${port}/v1/completions`;
    const accepted = Array.from({ length: 6 }, (_, index) =>
      post(url, { prompt: PROMPT, max_tokens: 200, ignore_eos: true, stream: index % 2 === 0 }),
    );
    await expect.poll(() => service.grok.stats().running, patient).toBeGreaterThan(0);
    await expect
      .poll(() => service.grok.stats().running + service.grok.stats().waiting, { ...patient, interval: 1 })
      .toBe(6);
    const closed = server.close();
    const answers = await Promise.all(accepted);
    for (const answer of answers) {
      expect(answer.status).toBe(200);
      expect(await answer.text()).toContain('"finish_reason":"length"');
    }
    await closed;
    await expect(post(url, { prompt: 'a' })).rejects.toThrow();
  });

  it('cuts what takes longer than drainTimeout, with an error', async () => {
    const server = createServer(service.grok, { drainTimeout: 30 });
    const { port } = await server.listen(0);
    const url = `http://127.0.0.1:${port}/v1/completions`;
    const stream = await post(url, { ...long, n: 4, stream: true });
    const whole = post(url, { ...long, n: 2 });
    await expect.poll(() => service.grok.stats().running + service.grok.stats().waiting, patient).toBe(6);
    await server.close();
    expect(JSON.parse((await eventsOf(stream)).at(-1) ?? '')).toMatchObject({ error: { code: 'draining' } });
    expect((await whole).status).toBe(503);
    await expect.poll(isIdle, patient).toBe(true);
  });

  it('may be called twice, and before the beginning', async () => {
    const grok = await Grok.load();
    const server = createServer(grok);
    await server.close();
    await server.close();
    await server.closeNow();
    await grok.close();
  });

  it('refuses work on a model that was closed', async () => {
    const grok = await Grok.load();
    await using other = await startServer({}, {}, grok);
    await grok.close();
    const { status, error } = await errorOf(await post(`${other.url}/v1/completions`, { prompt: 'a' }));
    expect([status, error.code]).toEqual([503, 'draining']);
  });
});
