import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { bareNodeMs, bestOfThree, EMBEDDED, folder, run } from './process.js';

describe('grok-run', () => {
  it('streams a text from the embedded model, and says on one line of stderr that it is a toy', async () => {
    const { code, stdout, stderr, pieces, firstTextMs } = await run(['-n', '100', '--ignore-eos', 'Once upon a time']);
    expect(code).toBe(0);
    expect(stdout.trim().length).toBeGreaterThan(50);
    expect(stdout.endsWith('\n')).toBe(true);
    expect(pieces.length).toBeGreaterThan(10);
    expect(stderr).toMatch(/^grok-run: this is the embedded toy.* grok-run -m .*\n$/);
    console.log(`first text ${firstTextMs.toFixed(0)} ms after the start of the process`);
  });

  it('has its first text within a second of its start, or soon after bare Node where that is slow', async () => {
    const firstTextMs = await bestOfThree(async () => (await run(['-n', '8', 'Once upon a time'])).firstTextMs);
    expect(firstTextMs).toBeLessThan(Math.max(1000, 12 * (await bareNodeMs())));
  });

  it('prints the same text for the same seed, streamed or not, from words, stdin or a file', async () => {
    const prompt = 'The little dog';
    const file = join(folder, 'prompt.txt');
    writeFileSync(file, `${prompt}\n`);
    const flags = ['--seed', '7', '-n', '24', '-q'];
    const texts = [
      await run([...flags, ...prompt.split(' ')]),
      await run([...flags, '-'], { stdin: `${prompt}\n` }),
      await run(flags, { stdin: prompt }),
      await run([...flags, '--file', file]),
      await run([...flags, '--no-stream', prompt]),
      await run(['run', ...flags, prompt]),
      await run([...flags, '--', prompt]),
      await run([...flags, '--echo', prompt]),
      await run([...flags, '--no-echo', prompt]),
    ].map(({ code, stdout, stderr }, index) => {
      expect({ index, code, stderr }).toEqual({ index, code: 0, stderr: '' });
      return stdout;
    });
    const echoed = texts.splice(7, 1)[0];
    expect(new Set(texts).size).toBe(1);
    expect(echoed).toBe(`${prompt}${texts[0]}`);
    expect((await run(['--seed', '8', '-n', '24', '-q', prompt])).stdout).not.toBe(texts[0]);
  });

  it('obeys every flag of sampling', async () => {
    const greedy = ['-q', '-n', '12', '--ignore-eos', '-t', '0', 'The little dog'];
    const plain = (await run(greedy)).stdout;
    expect((await run(['-q', '-n', '12', '--ignore-eos', '--top-k', '1', 'The little dog'])).stdout).toBe(plain);
    expect((await run(['-q', '-n', '12', '--ignore-eos', '--top-p', '0', 'The little dog'])).stdout).toBe(plain);
    expect((await run(['-q', '-n', '12', '--ignore-eos', '--min-p', '1', 'The little dog'])).stdout).toBe(plain);
    const [first] = JSON.parse((await run([...greedy, '--json'])).stdout).tokenIds;
    const biased = JSON.parse((await run([...greedy, '--json', '--logit-bias', `${first}=-1000`])).stdout);
    expect(biased.tokenIds[0]).not.toBe(first);
    const longer = ['-q', '-n', '60', '--ignore-eos', '-t', '0', 'The little dog'];
    const long = (await run(longer)).stdout;
    for (const penalty of ['--repetition-penalty', '--presence-penalty', '--frequency-penalty']) {
      expect((await run([...longer, penalty, '1.9'])).stdout, penalty).not.toBe(long);
    }
  });

  it('stops at any of the stop tokens', async () => {
    const greedy = ['-q', '-t', '0', '-n', '12', '--ignore-eos', '--json', 'The little dog'];
    const { tokenIds } = JSON.parse((await run(greedy)).stdout);
    const stopped = JSON.parse((await run([...greedy, '--stop-token-ids', `${tokenIds[3]},5`])).stdout);
    expect(stopped).toMatchObject({ finishReason: 'stop', tokenIds: tokenIds.slice(0, tokenIds.indexOf(tokenIds[3])) });
  });

  it('stops before any of the stop texts', async () => {
    const { stdout } = await run(['-q', '-t', '0', '-n', '60', '--stop', 'e', '--stop', 'a', 'The little dog']);
    expect(stdout).not.toMatch(/[ea]/);
  });

  it('prints a completion as JSON, with log-probabilities on request', async () => {
    const flags = ['-n', '4', '--ignore-eos', '--seed', '3', '--logprobs', '2', '--json'];
    const { code, stdout, stderr } = await run([...flags, 'Once']);
    expect(code, stderr).toBe(0);
    const completion = JSON.parse(stdout);
    expect(completion).toMatchObject({ finishReason: 'length', seed: 3, usage: { completionTokens: 4 } });
    expect(completion.tokenIds).toHaveLength(4);
    expect(completion.logprobs).toHaveLength(4);
    expect(completion.logprobs[0].top).toHaveLength(2);
  });

  it('prints pieces as JSON lines that add up to the completion', async () => {
    const flags = ['-n', '16', '--ignore-eos', '--seed', '3', 'Once'];
    const lines = (await run([...flags, '--jsonl'])).stdout.trimEnd().split('\n');
    const chunks = lines.map((line) => JSON.parse(line));
    const last = chunks.pop();
    const completion = JSON.parse((await run([...flags, '--json'])).stdout);
    expect(chunks.map(({ text }) => text).join('')).toBe(completion.text);
    expect(chunks.flatMap(({ tokenIds }) => tokenIds)).toEqual(completion.tokenIds);
    expect(last).toMatchObject({ finishReason: 'length', seed: 3, usage: completion.usage });
  });

  it('tells timings and the seed with --verbose', async () => {
    const { stderr } = await run(['-m', EMBEDDED, '-v', '-n', '8', '--ignore-eos', '--seed', '12', 'Once']);
    expect(stderr).toMatch(/^device +cpu/m);
    expect(stderr).toMatch(/^load +\d/m);
    expect(stderr).toMatch(/^prefill +\d+ tokens in/m);
    expect(stderr).toMatch(/^decode +8 tokens in .* tokens\/s$/m);
    expect(stderr).toMatch(/^seed +12$/m);
  });

  it('runs a named model with a named tokenizer, by flags or environment', async () => {
    const flags = [
      '-q',
      '--seed',
      '1',
      '-n',
      '8',
      '-c',
      '64',
      '--threads',
      '1',
      '--prefill-chunk',
      '64',
      '-d',
      'cpu',
      '--memory-limit',
      '4GiB',
      'Once',
    ];
    const tokenizer = join(EMBEDDED, 'tokenizer.model');
    const named = await run(['-m', EMBEDDED, '--tokenizer', tokenizer, '--no-progress', '--no-color', ...flags]);
    expect(named).toMatchObject({ code: 0, stderr: '' });
    const env = {
      GROK_RUN_MODEL: EMBEDDED,
      GROK_RUN_TOKENIZER: tokenizer,
      GROK_RUN_THREADS: '1',
      GROK_RUN_DEVICE: 'cpu',
    };
    expect((await run(['--seed', '1', '-n', '8', 'Once'], { env })).stdout).toBe(named.stdout);
  });

  it('prints its version', async () => {
    expect((await run(['-V'])).stdout).toMatch(/^\d+\.\d+\.\d+\S*\n$/);
  });
});
