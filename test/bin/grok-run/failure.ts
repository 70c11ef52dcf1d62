import { spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { cleanEnv, EMBEDDED, PROGRAM, run } from './process.js';

describe('grok-run, used wrongly', () => {
  it.each([
    [['--temprature', '1', 'x'], 'Did you mean --temperature?'],
    [['inspet'], 'did you mean inspect?'],
    [['-n', 'many', 'x'], 'Expected a number'],
    [['--temperature', '-1', 'x'], '--temperature'],
    [['--top-p', '1.5', 'x'], '--top-p'],
    [['--logprobs', '99', '--json', 'x'], '--logprobs'],
    [['--logit-bias', '99999999=1', 'x'], '--logit-bias'],
    [['-c', '0', 'x'], '--context-size'],
    [['--kv-cache-type', 'fp8', 'x'], 'f32, bf16, int8'],
    [['--weights', 'disk', 'x'], 'packed, mapped'],
    [['bench', '--shape', 'tiny', '--weights', 'mapped'], '--weights'],
    [['-c', '100000', 'x'], '--context-size to be at most'],
    [['detokenize', '99999999'], 'vocabulary'],
  ])('ends with 2 and one line: %j', async (args, message) => {
    const { code, stdout, stderr } = await run(args);
    expect(stderr).toContain(message);
    if (!args.includes('--json')) expect(stderr.trimEnd().split('\n')).toHaveLength(1);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  });

  it('ends with 2 when there is no prompt at all', async () => {
    const { code, stderr } = await run([]);
    expect(code).toBe(2);
    expect(stderr).toContain('Expected a prompt, found an empty text');
  });
});

describe('grok-run, failing', () => {
  it('ends with 1, a code, a fix and no stack when the model is not there', async () => {
    const { code, stdout, stderr } = await run(['-m', './absent', 'x']);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toMatch(/^grok-run: GROK_NOT_FOUND: .*absent.*\n$/);
    expect(stderr).not.toContain('    at ');
  });

  it('shows the stack with --verbose', async () => {
    const { code, stderr } = await run(['-m', './absent', 'x', '--verbose']);
    expect(code).toBe(1);
    expect(stderr).toContain('    at ');
  });

  it('writes nothing but a JSON object to stderr with --json', async () => {
    for (const args of [
      ['-m', './absent', 'x', '--json'],
      ['inspect', './absent', '--json'],
      ['-n', '100000000', 'x', '--jsonl'],
    ]) {
      const { code, stdout, stderr } = await run(args);
      const { error } = JSON.parse(stderr);
      expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
      expect(error.code).toMatch(/^GROK_(NOT_FOUND|CONTEXT_OVERFLOW)$/);
      expect(error.message).not.toBe('');
    }
  });

  it('ends with 1 and one line when the disk is full', () => {
    const command = `"${process.execPath}" "${PROGRAM}" -m "${EMBEDDED}" -n 4 hello > /dev/full`;
    const { status, stderr } = spawnSync('sh', ['-c', command], { env: cleanEnv(), encoding: 'utf8' });
    expect({ status, stderr }).toEqual({ status: 1, stderr: expect.stringMatching(/^grok-run: GROK_IO: ENOSPC.*\n$/) });
  });

  it('refuses a model that does not fit --memory-limit before it reads it', async () => {
    const { code, stderr } = await run(['--memory-limit', '1MiB', 'x']);
    expect(code).toBe(1);
    expect(stderr).toContain('GROK_OUT_OF_MEMORY');
  });

  it('says why there is no CUDA when CUDA is requested, and doctor does, too', async () => {
    const { code, stderr } = await run(['-d', 'cuda', 'x']);
    if (code === 0) return; // this machine has it
    expect(code).toBe(1);
    expect(stderr).toContain('GROK_CUDA_UNAVAILABLE');
    const doctor = await run(['doctor', '--device', 'cuda', '--json']);
    expect(doctor.code).toBe(1);
    expect(JSON.parse(doctor.stdout).checks).toContainEqual(
      expect.objectContaining({ name: 'cuda', status: 'problem' }),
    );
  });
});
