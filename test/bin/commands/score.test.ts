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
});
