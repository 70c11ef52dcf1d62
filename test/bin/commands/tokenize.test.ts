import { describe, expect, it } from 'vitest';
import { INSPECTION, invoke } from '../fake-host.js';

describe('grok-run tokenize', () => {
  it('requires a tokenizer when the checkpoint has none', async () => {
    const inspect = async () => ({ ...INSPECTION, tokenizer: '' });
    const { exitCode, stderr } = await invoke(['tokenize', '-m', './x', 'abc'], { library: { inspect } });
    expect(exitCode).toBe(2);
    expect(stderr).toContain(
      'Expected a tokenizer.model beside /models/small/ckpt-0, found none (fix: name one with --tokenizer)',
    );
  });

  it('reads no checkpoint when the tokenizer is named', async () => {
    const { calls } = await invoke(['tokenize', '--tokenizer', './t.model', 'abc']);
    expect(calls).toEqual([{ name: 'loadTokenizer', args: ['./t.model'] }]);
  });

  it('never loads the model', async () => {
    const { calls } = await invoke(['tokenize', 'abc']);
    expect(calls.map(({ name }) => name)).toEqual(['inspect', 'loadTokenizer']);
  });

  it('prints the ids on one line, of words or of stdin', async () => {
    expect(await invoke(['tokenize', 'a', 'b'])).toMatchObject({ exitCode: 0, stdout: '97 32 98\n', stderr: '' });
    expect((await invoke(['tokenize'], { stdin: 'ab\n' })).stdout).toBe('97 98\n');
  });

  it('prints ids and pieces as JSON', async () => {
    const { stdout } = await invoke(['tokenize', '--json', 'ab']);
    expect(JSON.parse(stdout)).toEqual({ ids: [97, 98], pieces: ['a', 'b'] });
  });
});
