import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import { EMBEDDED, start } from './process.js';

/** Without its handling of Ctrl+C a command here would run longer. */
const promptlyMs = 5000;

/** A run that prints for some time: until the context is full, or 256 tokens long. */
async function startPrinting() {
  const { child, ended } = start(['-m', EMBEDDED, '--ignore-eos', '--jsonl', '--logprobs', '20', 'Once upon a time']);
  child.stdin.end();
  await Promise.race([once(child.stdout, 'data'), ended]);
  return { child, ended };
}

describe('grok-run, stopped', () => {
  it('ends without an error and with 0 when its reader stops', async () => {
    const { child, ended } = await startPrinting();
    child.stdout.destroy();
    const { code, signal, stderr } = await ended;
    expect({ code, signal, stderr }).toEqual({ code: 0, signal: null, stderr: '' });
  });

  it('ends at once with 130 and what was printed on Ctrl+C', async () => {
    const { child, ended } = await startPrinting();
    const interruptedAt = performance.now();
    child.kill('SIGINT');
    const { code, signal, stdout, stderr } = await ended;
    expect({ code, signal, stderr }).toEqual({ code: 130, signal: null, stderr: '' });
    expect(stdout).not.toBe('');
    expect(performance.now() - interruptedAt).toBeLessThan(promptlyMs);
  });

  it.each(['tokenize', 'detokenize'])('ends at once with 130 on Ctrl+C during %s of megabytes', async (command) => {
    const { child, ended } = start([command, '-']);
    const text = command === 'tokenize' ? 'Once upon a time. '.repeat(500_000) : '300 '.repeat(2_000_000);
    await new Promise<void>((resolve) => child.stdin.end(text, resolve));
    await new Promise((resolve) => setTimeout(resolve, 300)); // during the work: nothing is printed before the end
    const interruptedAt = performance.now();
    child.kill('SIGINT');
    expect(await ended).toMatchObject({ code: 130, stdout: '' });
    expect(performance.now() - interruptedAt).toBeLessThan(promptlyMs);
  });

  it('ends with 130 on Ctrl+C while it waits for stdin', async () => {
    const { child, ended } = start(['-']);
    // More than a pipe holds: once all is written, the program is reading.
    await new Promise((resolve) => child.stdin.write('x'.repeat(2 ** 20), resolve));
    child.kill('SIGINT');
    expect(await ended).toMatchObject({ code: 130, stdout: '', stderr: '' });
  });
});
