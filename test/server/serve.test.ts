import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { invoke } from '../bin/fake-host.js';
import { folder, start } from '../bin/grok-run/process.js';
import { post } from './service.js';

/** A running `grok-run serve`, once it is ready. */
async function serve(...args: string[]) {
  const { child, ended } = start(['serve', '--port', '0', ...args]);
  let log = '';
  const url = await new Promise<string>((resolve, reject) => {
    child.stderr.on('data', (text: string) => {
      log += text;
      const found = /"url":"([^"]+)"/.exec(log)?.[1];
      if (found && log.includes('"event":"ready"')) resolve(found);
    });
    ended.then(({ stderr }) => reject(new Error(stderr)));
  });
  return { child, ended, url };
}

describe('grok-run serve', () => {
  it('refuses what it cannot do, before it loads', async () => {
    const wrong: [string[], string][] = [
      [['--port', 'x'], 'whole number'],
      [['--drain', 'soon'], '30s'],
      [['--chat-template', 'mine'], 'transcript'],
      [['--api-key-file', '/nowhere'], 'readable file of keys'],
      [['--api-key-file', 'a', '--no-api-key'], 'found both'],
      [['--host', '0.0.0.0', '--port', '0'], '--api-key-file'],
    ];
    for (const [args, message] of wrong) {
      const { exitCode, stderr } = await invoke(['serve', ...args]);
      expect([args, exitCode]).toEqual([args, 2]);
      expect(stderr).toContain(message);
    }
  });

  it('says which port is taken', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as { port: number };
    const { exitCode, stderr } = await invoke(['serve', '--port', `${port}`]);
    other.close();
    expect(exitCode).toBe(2);
    expect(stderr).toContain(`port ${port}`);
  });

  it('is named in the help, with the defaults of the server', async () => {
    const { stdout } = await invoke(['serve', '--help']);
    for (const flag of ['--drain <time>', '30s', '--max-queue <n>', '--api-key-file <path>'])
      expect(stdout).toContain(flag);
  });

  it('serves the embedded model with a key, and finishes what it accepted at SIGTERM', async () => {
    const keys = join(folder, 'keys.txt');
    writeFileSync(keys, '# clients\nsecret\n');
    const { child, ended, url } = await serve('--api-key-file', keys, '--model-name', 'toy');
    const headers = { authorization: 'Bearer secret' };
    const body = { prompt: 'Once upon a time', max_tokens: 400, ignore_eos: true, stream: true, model: 'toy' };
    expect((await post(`${url}/v1/completions`, body)).status).toBe(401);
    const response = await post(`${url}/v1/completions`, body, { headers });
    child.kill('SIGTERM');
    const text = await response.text();
    expect(text).toMatch(/"finish_reason":"length"/);
    expect(text).toMatch(/data: \[DONE\]\n\n$/);
    const { code, stderr, stdout } = await ended;
    expect({ code, stdout }).toEqual({ code: 0, stdout: '' });
    const entries = stderr
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(entries.map(({ event }) => event)).toEqual([
      'listening',
      'ready',
      'request',
      'draining',
      'request',
      'stopped',
    ]);
    expect(entries[4]).toMatchObject({ path: '/v1/completions', status: 200, completion_tokens: 400 });
    expect(stderr).not.toContain('Once upon');
  });

  it('exits at once at the second signal, with prompts in the log on request', async () => {
    const { child, ended, url } = await serve('--log-prompts');
    await post(`${url}/v1/completions`, { prompt: 'Hello there', max_tokens: 1 });
    const never = post(`${url}/v1/completions`, { prompt: 'x', n: 8, max_tokens: 500, ignore_eos: true }).catch(
      () => {},
    );
    await new Promise((resolve) => setTimeout(resolve, 50));
    child.kill('SIGINT');
    await new Promise((resolve) => setTimeout(resolve, 50));
    child.kill('SIGINT');
    const { code, stderr } = await ended;
    await never;
    expect([0, 130]).toContain(code); // 0 if it was done before the second signal
    expect(stderr).toContain('"prompts":["Hello there"]');
  });
});
