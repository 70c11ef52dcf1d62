import { describe, expect, it } from 'vitest';
import { COMPLETION, grokError, invoke } from '../fake-host.js';

const TOY = 'grok-run: this is the embedded toy, 11.7M parameters; Grok-1 itself: grok-run -m <checkpoint directory>\n';

describe('grok-run', () => {
  it('refuses log-probabilities in plain text before anything is loaded', async () => {
    const { exitCode, stderr, calls } = await invoke(['hello', '--logprobs', '3']);
    expect({ exitCode, calls }).toEqual({ exitCode: 2, calls: [] });
    expect(stderr).toContain('Expected --json or --jsonl beside --logprobs');
  });

  it('refuses two kinds of JSON at once', async () => {
    const { exitCode, stderr } = await invoke(['hello', '--json', '--jsonl']);
    expect(exitCode).toBe(2);
    expect(stderr).toContain('Expected --json or --jsonl, found both');
  });

  it('says what went wrong on loading, and prints no result', async () => {
    const load = () => Promise.reject(grokError('GROK_NOT_FOUND', 'No such directory: ./x', 'check the path'));
    const { exitCode, stdout, stderr } = await invoke(['-m', './x', 'hello'], { library: { Grok: { load } } });
    expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: '' });
    expect(stderr).toBe('grok-run: GROK_NOT_FOUND: No such directory: ./x (fix: check the path)\n');
  });

  it('leaves the error alone on stderr when the model refuses the request', async () => {
    const overflow = () => {
      throw grokError('GROK_CONTEXT_OVERFLOW', '9 tokens do not fit 8');
    };
    const load = async () => ({ generate: overflow, [Symbol.asyncDispose]: async () => {} });
    const { exitCode, stdout, stderr } = await invoke(['hello', '--json'], { library: { Grok: { load } } });
    expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: '' });
    expect(JSON.parse(stderr)).toEqual({ error: { code: 'GROK_CONTEXT_OVERFLOW', message: '9 tokens do not fit 8' } });
  });

  it('hands the request to the check that precedes the weights', async () => {
    const { calls } = await invoke(['-m', './x', '-t', '-1', '--stop', 'x', 'hello']);
    const request = ['hello', { temperature: -1, stop: ['x'], echo: false }];
    expect(calls.slice(1, 3)).toEqual([
      { name: 'check', args: request },
      { name: 'generate', args: request },
    ]);
  });

  it('keeps what was printed when the model fails half-way', async () => {
    const failure = grokError('GROK_IO', 'the file shrank');
    const generate = () => ({
      result: Promise.reject(failure),
      async *[Symbol.asyncIterator]() {
        yield { text: ' there', tokenIds: [1] };
        throw failure;
      },
    });
    const load = async () => {
      const generation = generate();
      generation.result.catch(() => {});
      return { generate: () => generation, info: {}, [Symbol.asyncDispose]: async () => {} };
    };
    const outcome = await invoke(['-m', 'x', 'hello'], { library: { Grok: { load } } });
    expect(outcome).toMatchObject({ exitCode: 1, stdout: ' there', stderr: 'grok-run: GROK_IO: the file shrank\n' });
  });

  it('closes the model, also after a failure', async () => {
    const { calls } = await invoke(['hello']);
    expect(calls.map(({ name }) => name)).toEqual(['load', 'check', 'generate', 'close']);
  });

  it('prints the continuation alone into a pipe', async () => {
    const { exitCode, stdout, calls } = await invoke(['Once upon a time']);
    expect({ exitCode, stdout }).toEqual({ exitCode: 0, stdout: ' there was a fox.\n' });
    expect(calls[1]?.args[1]).toEqual({ echo: false });
  });

  it('prints the prompt first on a terminal', async () => {
    const { stdout } = await invoke(['Once upon a time'], { terminals: ['stdout'] });
    expect(stdout).toBe('Once upon a time there was a fox.\n');
  });

  it('lets --echo and --no-echo decide otherwise', async () => {
    expect((await invoke(['Once', '--echo'])).stdout).toBe('Once there was a fox.\n');
    expect((await invoke(['Once', '--no-echo'], { terminals: ['stdout'] })).stdout).toBe(' there was a fox.\n');
  });

  it('prints the same at once with --no-stream', async () => {
    expect((await invoke(['Once', '--no-stream'])).stdout).toBe(' there was a fox.\n');
  });

  it('adds no second line break to a text that ends with one', async () => {
    const generation = {
      result: Promise.resolve({ ...COMPLETION, text: 'end\n' }),
      async *[Symbol.asyncIterator]() {
        yield { text: 'end\n', tokenIds: [1] };
        yield { text: '', tokenIds: [2] };
      },
    };
    const load = async () => ({ generate: () => generation, [Symbol.asyncDispose]: async () => {} });
    for (const args of [
      ['-m', 'x', 'hello'],
      ['-m', 'x', 'hello', '--no-stream'],
    ]) {
      expect((await invoke(args, { library: { Grok: { load } } })).stdout).toBe('end\n');
    }
  });

  it('prints the whole completion as one JSON object', async () => {
    const { stdout } = await invoke(['hello', '--json'], { terminals: ['stdout'] });
    expect(JSON.parse(stdout)).toEqual(COMPLETION);
  });

  it('prints a JSON object a piece, then one with the rest', async () => {
    const { stdout } = await invoke(['hello', '--jsonl']);
    const lines = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    const { text: _text, tokenIds: _ids, ...rest } = COMPLETION;
    expect(lines).toEqual([{ text: ' there', tokenIds: [0] }, { text: ' was a fox.', tokenIds: [1] }, rest]);
  });

  it('says once that the embedded model is a toy, and not with -q', async () => {
    for (const kind of [[], ['--no-stream'], ['--json'], ['--jsonl']]) {
      expect((await invoke(['hello', ...kind])).stderr).toBe(TOY);
      expect((await invoke(['hello', '-q', ...kind])).stderr).toBe('');
    }
  });

  it('says nothing of toys for a model that was named', async () => {
    expect((await invoke(['-m', './ckpt', 'hello'])).stderr).toBe('');
  });

  it('tells rates and the seed with --verbose, on stderr', async () => {
    const { stdout, stderr } = await invoke(['-v', '-m', './ckpt', 'hello']);
    expect(stdout).toBe(' there was a fox.\n');
    expect(stderr.match(/device .*/g)).toEqual(['device   cpu (fake), chosen because: no driver']);
    expect(stderr).toMatch(/load +\d+ ms/);
    expect(stderr).toContain('prefill  5 tokens in 10 ms, 500.0 tokens/s');
    expect(stderr).toContain('decode   2 tokens in 20 ms, 50.0 tokens/s');
    expect(stderr).toContain('seed     1234');
  });
});

describe('the bar while a model loads', () => {
  const slowly = {
    async load(_source: unknown, options: { onProgress?: (progress: unknown) => void }) {
      for (let loadedBytes = 0; loadedBytes <= 10; loadedBytes++) {
        await new Promise((resolve) => setTimeout(resolve, 80));
        options.onProgress?.({ loadedBytes: loadedBytes * 2 ** 30, totalBytes: 10 * 2 ** 30, tensor: 'router' });
      }
      throw grokError('GROK_IO', 'over');
    },
  };
  const load = (args: string[], terminals: readonly 'stderr'[]) =>
    invoke(['-m', 'x', 'hello', ...args], { terminals, library: { Grok: slowly } });

  it('stays away from a log file, and from those who do not want it', async () => {
    const outcomes = await Promise.all([load([], []), load(['-q'], ['stderr']), load(['--no-progress'], ['stderr'])]);
    for (const { stderr } of outcomes) expect(stderr).toBe('grok-run: GROK_IO: over\n');
  });

  it('shows bytes, time left and tensor on a terminal, and gives the line and the cursor back', async () => {
    const { stderr } = await load([], ['stderr']);
    expect(stderr).toMatch(/loading .*% \| \d+\.\d GiB of 10\.0 GiB \| .* left \| router/);
    expect(stderr.lastIndexOf('\u001b[?25h')).toBeGreaterThan(stderr.lastIndexOf('\u001b[?25l'));
    expect(stderr.endsWith('grok-run: GROK_IO: over\n')).toBe(true);
  });

  it('does not flicker for a model that loads at once', async () => {
    expect((await invoke(['-m', 'x', 'hello'], { terminals: ['stderr'] })).stderr).toBe('');
  });
});
