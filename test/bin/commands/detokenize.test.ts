import { describe, expect, it } from 'vitest';
import { invoke } from '../fake-host.js';

describe('grok-run detokenize', () => {
  it.each(['x', '1.5', '0x10', '99999999999999999999', '1 2 three'])('refuses %j', async (ids) => {
    const { exitCode, stderr, stdout } = await invoke(['detokenize', ids]);
    expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: '' });
    expect(stderr).toContain('Expected token ids, found');
  });

  it('reads ids between spaces, commas, line breaks or brackets', async () => {
    for (const args of [['97', '98'], ['97,98'], ['[97, 98]']]) {
      expect(await invoke(['detokenize', ...args])).toMatchObject({ exitCode: 0, stdout: 'ab\n' });
    }
    expect((await invoke(['detokenize'], { stdin: '97\n98\n' })).stdout).toBe('ab\n');
  });

  it('prints the text as JSON', async () => {
    expect(JSON.parse((await invoke(['detokenize', '--json', '97', '10'])).stdout)).toEqual({ text: 'a\n' });
  });
});
