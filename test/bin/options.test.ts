import { afterEach, describe, expect, it, vi } from 'vitest';
import { invoke } from './fake-host.js';

afterEach(() => vi.unstubAllEnvs());

async function asked(...args: string[]) {
  const { calls, stderr } = await invoke(args);
  if (stderr.includes('GROK_')) throw new Error(stderr);
  const [source, load] = calls.find(({ name }) => name === 'load')?.args ?? [];
  const generate = calls.find(({ name }) => name === 'generate')?.args[1];
  return { source, load, generate };
}

describe('a flag that makes no sense', () => {
  it.each([
    [['--temperature', 'warm'], 'Expected a number'],
    [['--temperature', ''], 'Expected a number'],
    [['-n', '1.5'], 'Expected a whole number'],
    [['--seed', '1e99'], 'Expected a whole number'],
    [['--memory-limit', 'lots'], 'Expected a size such as 70GiB'],
    [['--logit-bias', '42'], 'Expected <token id>=<number>'],
    [['--logit-bias', 'x=1'], 'Expected <token id>=<number>'],
    [['--device', 'tpu'], 'Allowed choices are auto, cpu, cuda'],
    [['--temprature', '1'], 'Did you mean --temperature?'],
    [['--temp', '1'], 'Did you mean --temperature?'],
    [['--top=1'], 'Did you mean one of --top-p, --top-k?'],
    [['--max', '1'], 'Did you mean --max-tokens?'],
    [['--logit-bias', '42=-5', '--logit-bias', '042=1'], 'Expected each token id once, found 42 again'],
    [['--stop'], "'--stop <text>' argument missing"],
  ])('is refused before anything is loaded: %j', async (args, message) => {
    const { exitCode, stderr, stdout, calls } = await invoke(['hello', ...args]);
    expect(stderr).toContain(message);
    expect(stderr.trimEnd()).not.toContain('\n');
    expect({ exitCode, stdout, calls }).toEqual({ exitCode: 2, stdout: '', calls: [] });
  });

  it('is refused as JSON when the answer would be JSON', async () => {
    const { exitCode, stderr } = await invoke(['hello', '--json', '-n', 'many']);
    expect(exitCode).toBe(2);
    expect(JSON.parse(stderr).error.code).toBe('GROK_USAGE');
  });
});

describe('flags', () => {
  it('leave everything to the library when there are none', async () => {
    expect(await asked('hello')).toEqual({ source: undefined, load: { maxSequences: 1 }, generate: { echo: false } });
  });

  it('reach the library, each under its name there', async () => {
    const words =
      'hello -n 5 -t 0.5 --top-k 6 --top-p 0.7 --min-p 0.08 --repetition-penalty 1.1 --presence-penalty 0.2';
    const more = '--frequency-penalty -0.3 --seed 99 --ignore-eos --echo --logprobs 2 --json';
    const { generate } = await asked(...words.split(' '), ...more.split(' '), '--stop', 'The end', '--stop', '\n');
    expect(generate).toEqual({
      maxTokens: 5,
      temperature: 0.5,
      topK: 6,
      topP: 0.7,
      minP: 0.08,
      repetitionPenalty: 1.1,
      presencePenalty: 0.2,
      frequencyPenalty: -0.3,
      seed: 99,
      ignoreEos: true,
      echo: true,
      logprobs: 2,
      stop: ['The end', '\n'],
    });
  });

  it('collect every logit bias', async () => {
    const { generate } = await asked('hello', '--logit-bias', '42=-5', '--logit-bias', '7=0.5');
    expect(generate).toMatchObject({ logitBias: { 42: -5, 7: 0.5 } });
  });

  it('say which model, and on what it runs', async () => {
    const words =
      'hello -m ./ckpt --tokenizer t.model -d cpu -c 512 --threads 3 --kv-cache-type bf16 --weights mapped --memory-limit 2GiB';
    const { source, load } = await asked(...words.split(' '));
    expect(source).toBe('./ckpt');
    expect(load).toEqual({
      tokenizer: 't.model',
      device: 'cpu',
      contextSize: 512,
      threads: 3,
      kvCacheType: 'bf16',
      weights: 'mapped',
      memoryLimit: 2 ** 31,
      maxSequences: 1,
    });
  });

  it('may come before the prompt, after it and in between', async () => {
    const { generate } = await asked('-n', '3', 'hello', '--seed', '1', 'there', '-t', '0');
    expect(generate).toMatchObject({ maxTokens: 3, seed: 1, temperature: 0 });
  });
});

describe('former flags', () => {
  it('mean what the new ones do, with one warning each', async () => {
    for (const words of [
      '--max-ram 2GiB --repeat-penalty 1.1 hello',
      'run --max-ram 2GiB --repeat-penalty 1.1 hello',
    ]) {
      const { calls, stderr, exitCode } = await invoke(words.split(' '));
      expect(exitCode).toBe(0);
      expect(calls.find(({ name }) => name === 'load')?.args[1]).toEqual({ memoryLimit: 2 ** 31, maxSequences: 1 });
      expect(calls.find(({ name }) => name === 'generate')?.args[1]).toEqual({ repetitionPenalty: 1.1, echo: false });
      expect(stderr.match(/grok-run: --max-ram is now --memory-limit\n/g)).toHaveLength(1);
      expect(stderr.match(/grok-run: --repeat-penalty is now --repetition-penalty\n/g)).toHaveLength(1);
    }
  });

  it('work before the name of a command, and in all that load a model', async () => {
    for (const words of ['--max-ram 1GiB inspect', 'inspect --max-ram 1GiB', 'bench --max-ram 1GiB']) {
      const { calls, stderr } = await invoke(words.split(' '));
      expect(calls[0]?.args.at(-1), words).toMatchObject({ memoryLimit: 2 ** 30 });
      expect(calls[0]?.args.at(-1), words).not.toHaveProperty('maxRam');
      expect(stderr).toContain('--max-ram is now --memory-limit');
    }
  });

  it('give way to the new ones, and say nothing with --quiet', async () => {
    const { calls, stderr } = await invoke(['-q', '--memory-limit', '1GiB', '--max-ram', '2GiB', 'hello']);
    expect(calls[0]?.args[1]).toMatchObject({ memoryLimit: 2 ** 30 });
    expect(stderr).toBe('');
  });

  it('are refused as the new ones are', async () => {
    const { exitCode, stderr } = await invoke(['--max-ram', 'lots', 'hello']);
    expect(exitCode).toBe(2);
    expect(stderr).toContain('Expected a size such as 70GiB');
  });
});

describe('wrong usage of a command', () => {
  it.each([
    [['bench', '--reps', 'x'], 'see grok-run bench --help'],
    [['score', '--threads'], 'see grok-run score --help'],
    [['score', ''], 'see grok-run score --help'],
    [['-n'], 'see grok-run --help'],
  ])('points to its own help: %j', async (args, hint) => {
    const { exitCode, stderr } = await invoke(args);
    expect(exitCode).toBe(2);
    expect(stderr).toContain(`(fix: ${hint})`);
  });
});

describe('environment variables', () => {
  it('are refused by name when they make no sense', async () => {
    vi.stubEnv('GROK_RUN_THREADS', 'many');
    const { exitCode, stderr } = await invoke(['hello']);
    expect(exitCode).toBe(2);
    expect(stderr).toContain('GROK_RUN_THREADS');
  });

  it('count as unset when they are empty', async () => {
    vi.stubEnv('GROK_RUN_MODEL', '');
    vi.stubEnv('GROK_RUN_TOKENIZER', '');
    expect(await asked('hello')).toEqual({ source: undefined, load: { maxSequences: 1 }, generate: { echo: false } });
  });

  it('stand in for flags, and give way to them', async () => {
    vi.stubEnv('GROK_RUN_MODEL', '/env/model');
    vi.stubEnv('GROK_RUN_TOKENIZER', '/env/tokenizer.model');
    vi.stubEnv('GROK_RUN_DEVICE', 'cpu');
    vi.stubEnv('GROK_RUN_THREADS', '2');
    const load = { tokenizer: '/env/tokenizer.model', device: 'cpu', threads: 2 };
    expect(await asked('hello')).toMatchObject({ source: '/env/model', load });
    expect(await asked('hello', '-m', '/flag', '--threads', '1')).toMatchObject({
      source: '/flag',
      load: { ...load, threads: 1 },
    });
  });
});
