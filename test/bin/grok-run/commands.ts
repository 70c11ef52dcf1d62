import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { bareNodeMs, bestOfThree, EMBEDDED, folder, ROOT, run } from './process.js';

describe('the other commands', () => {
  it('inspect: sizes that agree with each other', async () => {
    const { code, stdout, stderr } = await run(['inspect', '--json']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const { config, tensors, memory, tokenizer } = JSON.parse(stdout);
    expect(tensors).toHaveLength(2 + 12 * config.numLayers);
    expect(memory.total).toBe(memory.weights + memory.kvCache + memory.workspace + memory.reserve);
    expect(tokenizer).toMatch(/tokenizer\.model$/);
    const text = await run(['inspect', EMBEDDED, '--tensors']);
    for (const { name } of tensors) expect(text.stdout).toContain(name);
  });

  it('inspect: a directory of the size of Grok-1, in less than 2 seconds, with the memory it needs', async (context) => {
    // Written by the native tests' program; holes stand for the weights.
    const makeCheckpoint = ['build/make_checkpoint', 'build/Release/make_checkpoint']
      .map((path) => join(ROOT, path))
      .find(existsSync);
    if (!makeCheckpoint) {
      context.skip('SKIPPED: no make_checkpoint in build/; npm run test:native builds it');
      return;
    }
    const directory = join(folder, 'grok-1');
    execFileSync(makeCheckpoint, [directory, '--grok1-sparse']);
    const { code, stdout } = await run(['inspect', '--json', directory]);
    expect(code).toBe(0);
    expect(await bestOfThree(async () => (await run(['inspect', directory])).totalMs)).toBeLessThan(
      Math.max(2000, 20 * (await bareNodeMs())),
    );
    const { tensors, fileBytes, memory, config } = JSON.parse(stdout);
    expect(tensors).toHaveLength(770);
    expect(config).toMatchObject({ numLayers: 64, dModel: 6144, vocabSize: 131072 });
    expect(memory.total).toBeGreaterThan(fileBytes);
    const text = await run(['inspect', directory]);
    expect(text.stdout).toMatch(/needed +\d{3}\.\d GiB/);
    expect(text.stdout).toMatch(/it fits|it does not fit: \d+\.\d GiB are missing/);
  });

  it('doctor: this machine is well', async () => {
    const { code, stdout, stderr } = await run(['doctor', '-m', EMBEDDED]);
    expect({ code, stderr, stdout }).toEqual({ code: 0, stderr: '', stdout: expect.stringMatching(/^ok +model /m) });
  });

  it('tokenize and detokenize: there and back', async () => {
    const text = 'Once upon a time, there was a 狐狸 🦊.';
    const { stdout: ids, stderr } = await run(['tokenize', text]);
    expect(stderr).toBe('');
    expect(ids).toMatch(/^\d+( \d+)*\n$/);
    expect((await run(['detokenize'], { stdin: ids })).stdout).toBe(`${text}\n`);
    const { ids: same, pieces } = JSON.parse((await run(['tokenize', '--json'], { stdin: text })).stdout);
    expect(same.join(' ')).toBe(ids.trim());
    expect(pieces).toHaveLength(same.length);
  });

  it('score: a story is likelier than the same words in disorder', async () => {
    const perplexity = async (text: string): Promise<number> =>
      JSON.parse((await run(['score', '--json'], { stdin: text })).stdout).perplexity;
    const story = await perplexity('Once upon a time there was a little girl.');
    const disorder = await perplexity('girl a time little. was Once upon a there');
    expect(story).toBeLessThan(disorder / 2);
  });

  it('bench: rates of a shape with synthetic weights, as a table and as JSON', async () => {
    const words = 'bench --shape tiny --layers 1 --threads 1 --prefill 16 --decode 4 --reps 1 --keep-disturbed'.split(
      ' ',
    );
    const { code, stdout, stderr } = await run(words);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(/^ {2}decode 4 +\d/m);
    const report = JSON.parse((await run([...words, '--json'])).stdout);
    expect(report.runs[0].decode.tokensPerSecond.median).toBeGreaterThan(0);
  });
});
