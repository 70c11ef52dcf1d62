import { describe, expect, it } from 'vitest';
import { invoke } from '../fake-host.js';

describe('grok-run score', () => {
  it('has no perplexity for a text of one token', async () => {
    const grok = {
      score: async () => [{ id: 3, text: 'a', logprob: null }],
      [Symbol.asyncDispose]: async () => {},
    };
    const library = { Grok: { load: async () => grok } };
    expect(JSON.parse((await invoke(['score', '--json', 'a'], { library })).stdout)).toMatchObject({
      totalLogprob: 0,
      perplexity: null,
    });
    expect((await invoke(['score', 'a'], { library })).stdout).toContain('of 0 tokens, perplexity -');
  });

  it('prints every token, the total and the perplexity', async () => {
    const { exitCode, stdout, stderr } = await invoke(['score', 'a b']);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
    expect(stdout.split('\n')).toEqual([
      'id  logprob  text',
      ' 3        -  "a"',
      ' 4  -1.0000  " b"',
      ' 5  -3.0000  "\\n"',
      // exp((1 + 3) / 2)
      'total logprob -4.0000 of 2 tokens, perplexity 7.389',
      '',
    ]);
  });

  it('prints the same as JSON', async () => {
    const { tokens, totalLogprob, perplexity } = JSON.parse((await invoke(['score', '--json', 'a b'])).stdout);
    expect(tokens).toHaveLength(3);
    expect(totalLogprob).toBe(-4);
    expect(perplexity).toBeCloseTo(Math.exp(2), 10);
  });

  it('loads what the flags say and closes it', async () => {
    const { calls } = await invoke(['score', '-m', './x', '-c', '64', 'a b']);
    expect(calls).toEqual([
      { name: 'load', args: ['./x', { contextSize: 64, maxSequences: 1 }] },
      { name: 'check', args: ['a b', { maxTokens: 0 }] },
      { name: 'score', args: ['a b'] },
      { name: 'close', args: [] },
    ]);
  });

  it('scores a text a line, each checked before the model is loaded', async () => {
    const stdin = '"a b"\n\n[3, 4]\n{"text":"c","other":1}\n';
    const { stdout, calls, exitCode } = await invoke(['score', '--jsonl'], { stdin });
    expect(exitCode).toBe(0);
    const texts = ['a b', [3, 4], 'c'];
    expect(calls.filter(({ name }) => name === 'check').map(({ args }) => args[0])).toEqual(texts);
    expect(calls.filter(({ name }) => name === 'score').map(({ args }) => args[0])).toEqual(texts);
    const lines = stdout.trimEnd().split('\n');
    expect(lines).toHaveLength(3);
    for (const line of lines) expect(JSON.parse(line)).toMatchObject({ totalLogprob: -4 });
  });

  it.each([['"a'], ['5'], ['null'], ['{"prompt":"a"}']])('refuses a line that is no text: %s', async (line) => {
    const { stderr, calls, exitCode } = await invoke(['score', '--jsonl'], { stdin: `"a"\n${line}\n` });
    expect({ exitCode, calls }).toEqual({ exitCode: 2, calls: [] });
    expect(JSON.parse(stderr).error.message).toContain('Expected line 2 to be a JSON string');
  });

  it('names the text that the model cannot take', async () => {
    const refusal = Object.assign(new Error('too long'), { code: 'GROK_CONTEXT_OVERFLOW' });
    const check = async (text: string) => {
      if (text === 'b') throw refusal;
    };
    const load = async (_: unknown, { onOpened }: { onOpened(opened: object): Promise<void> }) => onOpened({ check });
    const { stderr } = await invoke(['score', '--jsonl'], { stdin: '"a"\n"b"\n', library: { Grok: { load } } });
    expect(JSON.parse(stderr).error).toMatchObject({ code: 'GROK_CONTEXT_OVERFLOW', message: 'text 2: too long' });
  });
});
