import { request } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Grok } from '../../lib/index.js';
import { createHandler, parseApiKeys, type ServerOptions } from '../../server/index.js';
import { post, startServer, type TestServer } from './service.js';

let grok: Grok;
const started: TestServer[] = [];
beforeAll(async () => {
  grok = await Grok.load();
});
afterAll(async () => {
  for (const service of started) await service[Symbol.asyncDispose]();
  await grok.close();
});

async function serverWith(options: ServerOptions): Promise<TestServer> {
  const service = await startServer(options, {}, grok);
  started.push(service);
  return service;
}

/** fetch() would not send a Host header of ours. */
async function get(
  { port }: TestServer,
  path: string,
  headers: Record<string, string> = {},
  method = 'GET',
): Promise<{ status: number; code: string | undefined; headers: NodeJS.Dict<string | string[]> }> {
  return await new Promise((resolve, reject) => {
    const sent = request({ port, path, headers, method, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part: string) => {
        text += part;
      });
      response.on('end', () => {
        const code = /"code":"(\w+)"/.exec(text)?.[1];
        resolve({ status: response.statusCode ?? 0, code, headers: response.headers });
      });
    });
    sent.on('error', reject).end();
  });
}

describe('API keys', () => {
  const apiKeys = ['first-key', 'second-key'];

  it('are needed everywhere but for the probes', async () => {
    const service = await serverWith({ apiKeys });
    for (const path of ['/v1/models', '/metrics', '/tokenizer_info', '/nowhere', '/v1/models/x']) {
      const { status, code, headers } = await get(service, path);
      expect([path, status, code, headers['www-authenticate']]).toEqual([path, 401, 'invalid_api_key', 'Bearer']);
    }
    expect((await post(`${service.url}/v1/completions`, { prompt: 'a' })).status).toBe(401);
    expect((await get(service, '/health')).status).toBe(200);
    expect((await get(service, '/ready')).status).toBe(200);
  });

  it('are each accepted, and nothing else', async () => {
    const service = await serverWith({ apiKeys });
    const statusFor = async (authorization: string) => (await get(service, '/v1/models', { authorization })).status;
    expect(await statusFor('Bearer first-key')).toBe(200);
    expect(await statusFor('bearer  second-key ')).toBe(200);
    for (const wrong of [
      'Bearer ',
      'Bearer first-ke',
      'Bearer first-key2',
      'Basic first-key',
      'first-key',
      'Bearer a b',
    ])
      expect([wrong, await statusFor(wrong)]).toEqual([wrong, 401]);
  });

  it('come from lines of a file', () => {
    expect(parseApiKeys('# keys\r\n one \n\n#two\nthree')).toEqual(['one', 'three']);
  });

  it('are required to listen for other machines', async () => {
    const service = await serverWith({});
    await expect(service.server.listen(0, '0.0.0.0')).rejects.toMatchObject({ code: 'GROK_INVALID_ARGUMENT' });
    const open = await startServer({ noApiKey: true }, {}, grok);
    started.push(open);
  });

  it('are not needed where there are none: an empty one is ignored', async () => {
    const service = await serverWith({});
    expect((await get(service, '/v1/models', { authorization: 'Bearer ' })).status).toBe(200);
  });
});

describe('the Host header', () => {
  it.each([
    ['localhost', 200],
    ['LOCALHOST:8000', 200],
    ['app.localhost', 200],
    ['127.0.0.1:1', 200],
    ['[::1]:8000', 200],
    ['192.168.1.5', 200],
    ['models.example', 200],
    ['evil.example', 403],
    ['localhost.evil.example', 403],
    ['127.0.0.1.evil.example', 403],
    ['models.example.evil', 403],
  ])('%s gets %i', async (host, status) => {
    const service = await serverWith({ allowedHosts: ['models.example'] });
    expect((await get(service, '/v1/models', { host })).status).toBe(status);
  });

  it('may be any for probes, and for clients with a key', async () => {
    const service = await serverWith({ apiKeys: ['k'] });
    expect((await get(service, '/health', { host: 'evil.example' })).status).toBe(200);
    const { status } = await get(service, '/v1/models', { host: 'my.example', authorization: 'Bearer k' });
    expect(status).toBe(200);
  });
});

describe('the Origin header', () => {
  it('is refused unless it is named, and gets no CORS headers', async () => {
    const service = await serverWith({ corsOrigins: ['https://good.example'] });
    for (const origin of ['https://evil.example', 'null', 'http://good.example', 'https://good.example.evil']) {
      const { status, code, headers } = await get(service, '/v1/models', { origin });
      expect([origin, status, code]).toEqual([origin, 403, 'origin_not_allowed']);
      expect(headers).not.toHaveProperty('access-control-allow-origin');
    }
    const { status, headers } = await get(service, '/v1/models', { origin: 'https://good.example' });
    expect([status, headers['access-control-allow-origin']]).toEqual([200, 'https://good.example']);
  });

  it('of a page of this server is accepted', async () => {
    const service = await serverWith({});
    const host = `localhost:${service.port}`;
    expect((await get(service, '/v1/models', { host, origin: `http://${host}` })).status).toBe(200);
  });

  it('gets an answer to a preflight, without a key', async () => {
    const service = await serverWith({ corsOrigins: ['https://good.example'], apiKeys: ['k'] });
    const preflight = { 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization' };
    const good = await get(service, '/v1/completions', { origin: 'https://good.example', ...preflight }, 'OPTIONS');
    expect(good.status).toBe(204);
    expect(good.headers['access-control-allow-headers']).toBe('authorization');
    const evil = await get(service, '/v1/completions', { origin: 'https://evil.example', ...preflight }, 'OPTIONS');
    expect(evil.status).toBe(403);
  });
});

describe('paths and methods', () => {
  it('have errors in the same shape', async () => {
    const service = await serverWith({});
    expect(await get(service, '/v1/embeddings')).toMatchObject({ status: 404, code: 'not_found' });
    expect(await get(service, '/v1/models/other')).toMatchObject({ status: 404, code: 'model_not_found' });
    const wrong = await get(service, '/v1/completions');
    expect(wrong).toMatchObject({ status: 405, code: 'method_not_allowed', headers: { allow: 'POST' } });
  });

  it('echo a request id that is printable, and make one otherwise', async () => {
    const service = await serverWith({});
    const idFor = async (id: string) => (await get(service, '/health', { 'x-request-id': id })).headers['x-request-id'];
    expect(await idFor('abc-1')).toBe('abc-1');
    expect(await idFor('a b')).toMatch(/^[0-9a-f-]{36}$/);
    expect(await idFor('x'.repeat(129))).toMatch(/^[0-9a-f-]{36}$/);
  });
});

describe('a server and its options', () => {
  it.each([
    [{ maxN: 0 }, 'maxN'],
    [{ maxN: 1.5 }, 'maxN'],
    [{ apiKeys: [''] }, 'apiKeys'],
    [{ apiKeys: 'key' }, 'apiKeys'],
    [{ logger: true }, 'logger'],
    [{ chatTemplate: 'mine' }, 'chatTemplate'],
    [{ allowedHosts: 'example.com' }, 'allowedHosts'],
    [{ maxBody: 5 }, 'maxBody'],
  ])('refuse %j', (options, name) => {
    try {
      createHandler(grok, options as unknown as ServerOptions);
    } catch (error) {
      expect(error).toMatchObject({ code: 'GROK_INVALID_ARGUMENT', details: { name } });
      return;
    }
    expect.unreachable();
  });

  it('serve inside another service, by the standard of fetch and behind any name', async () => {
    const handler = createHandler(grok);
    const answer = await handler(
      new Request('https://mine.example/v1/completions', {
        method: 'POST',
        body: JSON.stringify({ prompt: 'Once', max_tokens: 2, stream: true }),
      }),
    );
    expect(answer.status).toBe(200);
    expect(await answer.text()).toMatch(/data: \[DONE\]\n\n$/);
    await handler.drain();
    expect((await handler(new Request('https://mine.example/v1/models'))).status).toBe(503);
  });

  it('tell the progress of loading, and refuse work until then', async () => {
    let loaded: (value: Grok) => void = () => {};
    const loading = new Promise<Grok>((resolve) => {
      loaded = resolve;
    });
    const progress = () => ({ loadedBytes: 25, totalBytes: 100, tensor: 'x' });
    const handler = createHandler(loading, { progress });
    const get = async (path: string) => await handler(new Request(`http://localhost${path}`));
    expect((await get('/health')).status).toBe(200);
    expect(await (await get('/health')).json()).toEqual({ status: 'loading' });
    const ready = await get('/ready');
    expect(ready.status).toBe(503);
    expect(await ready.json()).toMatchObject({ status: 'loading', progress: 0.25, error: { code: 'model_loading' } });
    const early = await handler(new Request('http://localhost/v1/completions', { method: 'POST', body: '{}' }));
    expect([early.status, early.headers.get('retry-after')]).toEqual([503, '5']);
    loaded(grok);
    await loading;
    expect((await get('/ready')).status).toBe(200);
  });
});
