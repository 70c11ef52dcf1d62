import { afterEach, describe, expect, it, vi } from 'vitest';
import { defaults } from '../../lib/index.js';
import { invoke } from './fake-host.js';

afterEach(() => vi.unstubAllEnvs());

const COMMANDS = ['run', 'inspect', 'doctor', 'tokenize', 'detokenize', 'score', 'bench', 'verify', 'report'];

async function promptOf(...args: string[]): Promise<unknown> {
  const { calls } = await invoke(args);
  return calls.find(({ name }) => name === 'generate')?.args[0];
}

describe('a command', () => {
  it('that is mistyped is named, with the way to mean it as a prompt', async () => {
    const { exitCode, stderr, calls } = await invoke(['inspet']);
    expect(exitCode).toBe(2);
    expect(stderr).toBe(
      "grok-run: GROK_USAGE: Unknown command 'inspet'; did you mean inspect? (fix: as a prompt: grok-run -- inspet)\n",
    );
    expect(calls).toEqual([]);
  });

  it.each([
    ['verfy', './checkpoints'],
    ['inspct', 'lib'],
  ])('that is mistyped before a path is named, too: %s %s', async (word, path) => {
    const { exitCode, stderr } = await invoke([word, path]);
    expect(exitCode).toBe(2);
    expect(stderr).toContain(`as a prompt: grok-run -- ${word} ${path}`);
  });

  it('is not meant by a word of a prompt', async () => {
    expect(await promptOf('inspects', 'rooms')).toBe('inspects rooms');
  });

  it('refuses the flags of another', async () => {
    const { exitCode, stderr } = await invoke(['inspect', '--temperature', '1']);
    expect(exitCode).toBe(2);
    expect(stderr).toContain("unknown option '--temperature'");
  });

  it('refuses the flags of another before its name, too', async () => {
    const { exitCode, stderr } = await invoke(['--temperature', '1', 'inspect']);
    expect(exitCode).toBe(2);
    expect(stderr).toContain('--temperature does not apply to inspect');
  });

  it('refuses an argument too many', async () => {
    const { exitCode, stderr } = await invoke(['inspect', 'a', 'b']);
    expect(exitCode).toBe(2);
    expect(stderr).toContain('too many arguments');
  });

  it('takes its flags from before its name, but rather from after it', async () => {
    vi.stubEnv('GROK_RUN_MODEL', '/env');
    const source = async (...args: string[]) => (await invoke(args)).calls[0]?.args[0];
    expect(await source('-m', '/before', 'inspect')).toBe('/before');
    expect(await source('-m', '/before', 'inspect', '-m', '/after')).toBe('/after');
    expect(await source('inspect', '-m', '/after')).toBe('/after');
    expect(await source('inspect')).toBe('/env');
  });

  it.each(COMMANDS)('%s explains itself, on stdout and with exit code 0', async (name) => {
    for (const args of [
      [name, '--help'],
      ['help', name],
    ]) {
      const { exitCode, stdout, stderr } = await invoke(args);
      expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
      expect(stdout).toContain(`Usage: grok-run ${name}`);
      expect(stdout).toContain('--model');
    }
  });
});

describe('a prompt', () => {
  it('may be a word that only resembles a short command', async () => {
    expect(await promptOf('sun')).toBe('sun');
  });

  it('may start with a word that is nearly a command', async () => {
    expect(await promptOf('scores', 'of', 'people')).toBe('scores of people');
  });

  it('may be the name of a command or start with a dash, after --', async () => {
    expect(await promptOf('--', 'inspect')).toBe('inspect');
    expect(await promptOf('--', 'inspet')).toBe('inspet');
    expect(await promptOf('--', '--help', 'me')).toBe('--help me');
    expect(await promptOf('-n', '3', '--', 'inspect')).toBe('inspect');
    expect(await promptOf('well', '--', '-n')).toBe('well -n');
    expect(await promptOf('run', 'inspect')).toBe('inspect');
  });

  it('keeps its flags when it follows --', async () => {
    const { calls } = await invoke(['-m', './ckpt', '--seed', '5', '--', 'inspect']);
    expect(calls[0]).toMatchObject({ name: 'load', args: ['./ckpt', { maxSequences: 1 }] });
    expect(calls[1]?.args[1]).toMatchObject({ seed: 5 });
  });

  it('does not count as a flag that chooses the form of errors', async () => {
    const library = { Grok: { load: () => Promise.reject(new Error('no')) } };
    const { stderr } = await invoke(['--', '--json'], { library });
    expect(stderr).toBe('grok-run: GROK_INTERNAL: no\n');
  });
});

describe('the program', () => {
  it('prints its version alone', async () => {
    for (const flag of ['-V', '--version']) {
      expect(await invoke([flag])).toMatchObject({ exitCode: 0, stdout: '1.2.3\n', stderr: '' });
    }
  });

  it('explains every command, and the defaults as the library has them', async () => {
    const { exitCode, stdout, stderr } = await invoke(['--help']);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
    for (const name of COMMANDS) expect(stdout).toMatch(new RegExp(`^  ${name} `, 'm'));
    expect(stdout).toMatch(new RegExp(`\\(default:\\s+${defaults.generate.temperature}\\)`));
    expect(stdout).not.toContain('--max-ram');
    expect(stdout).toContain('GROK_RUN_MODEL');
  });

  it('shows its help on stderr when help is requested for an unknown command', async () => {
    const { exitCode, stdout, stderr } = await invoke(['help', 'nothing']);
    expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: '' });
    expect(stderr).toContain('Usage: grok-run');
  });
});
