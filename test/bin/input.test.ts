import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { invoke, type Scene } from './fake-host.js';

/** The text that the library was called to continue. */
async function promptOf(args: readonly string[], scene: Scene = {}): Promise<unknown> {
  const { calls, stderr } = await invoke(args, scene);
  const call = calls.find(({ name }) => name === 'generate');
  if (!call) throw new Error(stderr);
  return call.args[0];
}

let folder: string;
const file = (content: string | Uint8Array): string => {
  const path = join(folder, 'prompt.txt');
  writeFileSync(path, content);
  return path;
};

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'grok-run-input-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

describe('a prompt', () => {
  it('is refused when it comes twice', async () => {
    const { exitCode, stderr } = await invoke(['hello', '--file', file('there')]);
    expect(exitCode).toBe(2);
    expect(stderr).toContain('Expected either a prompt as words or --file, found both');
  });

  it('is demanded with an error, not awaited, when stdin is a terminal', async () => {
    const { exitCode, stderr, calls } = await invoke([], { terminals: ['stdin'] });
    expect(exitCode).toBe(2);
    expect(stderr).toContain('Expected a prompt as words, with --file or on stdin, found none');
    expect(calls).toEqual([]);
  });

  it.each([[[]], [['-']], [['']], [['--', '']]])('is missed when it is empty: %j', async (args) => {
    const { exitCode, stderr, calls } = await invoke(args, { stdin: '\n' });
    expect({ exitCode, calls }).toEqual({ exitCode: 2, calls: [] });
    expect(stderr).toContain('Expected a prompt, found an empty text');
  });

  it('is refused before anything is loaded when its file is not there', async () => {
    const { exitCode, stderr, calls } = await invoke(['--file', join(folder, 'absent.txt')]);
    expect(exitCode).toBe(2);
    expect(stderr).toContain('absent.txt');
    expect(calls).toEqual([]);
  });

  it('is refused when it is not UTF-8', async () => {
    const { exitCode, stderr } = await invoke(['-f', file(Uint8Array.of(0x61, 0xff))]);
    expect(exitCode).toBe(2);
    expect(stderr).toContain('Expected UTF-8 text');
    const utf16 = await invoke(['-f', file(Uint8Array.of(0xff, 0xfe, 0x61, 0))]);
    expect(utf16.stderr).toContain('found UTF-16');
  });

  it('is refused when its file is a directory, or has no end', async () => {
    expect((await invoke(['-f', folder])).stderr).toContain('(fix: name a file in that directory)');
    expect((await invoke(['-f', '/dev/zero'])).stderr).toContain('Expected at most 67108864 bytes of text');
    expect((await invoke(['-f', '/dev/null'])).stderr).toContain('found an empty text');
  });

  it('does not wait for somebody to write to a named pipe', async () => {
    const pipe = join(folder, 'pipe');
    execFileSync('mkfifo', [pipe]);
    expect((await invoke(['-f', pipe])).stderr).toContain('found an empty text');
  });

  it('comes from a pipe that is slower than its reader, as <(...) makes one', async () => {
    const pipe = join(folder, 'slow');
    execFileSync('mkfifo', [pipe]);
    const bothEnds = openSync(pipe, constants.O_RDWR);
    const writer = spawn('sh', ['-c', 'printf "Once "; sleep 0.2; printf "upon"'], {
      stdio: ['ignore', bothEnds, 'ignore'],
    });
    const prompt = promptOf(['-f', pipe]);
    await once(writer, 'spawn');
    closeSync(bothEnds);
    expect(await prompt).toBe('Once upon');
  });

  it('is its words joined by a space', async () => {
    expect(await promptOf(['Once', 'upon', 'a  time'])).toBe('Once upon a  time');
  });

  it('comes from stdin when there are no words', async () => {
    expect(await promptOf([], { stdin: 'from a pipe' })).toBe('from a pipe');
  });

  it('comes from stdin for a dash, even at a terminal, and for a file that is stdin', async () => {
    expect(await promptOf(['-'], { stdin: 'typed', terminals: ['stdin'] })).toBe('typed');
    for (const name of ['-', '/dev/stdin', '/dev/fd/0']) {
      expect(await promptOf(['-f', name], { stdin: 'piped' })).toBe('piped');
    }
  });

  it('loses one line break at its end, and only one', async () => {
    expect(await promptOf([], { stdin: 'echo\n' })).toBe('echo');
    expect(await promptOf([], { stdin: 'dos\r\n' })).toBe('dos');
    expect(await promptOf([], { stdin: 'kept\n\n' })).toBe('kept\n');
    expect(await promptOf(['-f', file('a\nb\n')])).toBe('a\nb');
  });

  it('keeps its line breaks when it is given as words', async () => {
    expect(await promptOf(['line\n'])).toBe('line\n');
  });
});
