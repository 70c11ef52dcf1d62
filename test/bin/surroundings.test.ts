import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

// The program under flags of Node, system limits and empty variables.

const PROGRAM = join(import.meta.dirname, '../../dist/bin/grok-run.js');

function runIn(command: string, env: Record<string, string> = {}) {
  const { status, stdout, stderr } = spawnSync('bash', ['-c', command], {
    encoding: 'utf8',
    env: { ...process.env, NODE_NO_WARNINGS: '1', NODE: process.execPath, GROK: PROGRAM, ...env },
  });
  return { status, stdout, stderr };
}

describe('an empty variable', () => {
  const names = [
    'GROK_RUN_MODEL',
    'GROK_RUN_TOKENIZER',
    'GROK_RUN_DEVICE',
    'GROK_RUN_THREADS',
    'GROK_RUN_ISA',
    'GROK_CPU',
  ];
  const empty = Object.fromEntries(names.map((name) => [name, '']));

  it.each(['-q -n 2 Once', 'inspect', 'tokenize Once', 'score Once', 'bench --help'])('is unset: %s', (args) => {
    expect(runIn(`"$NODE" "$GROK" ${args}`, empty)).toMatchObject({ status: 0, stderr: '' });
  });
});

describe('a flag of Node', () => {
  const permission = process.allowedNodeEnvironmentFlags.has('--permission')
    ? '--permission'
    : '--experimental-permission';

  it.each([
    ['--no-addons', 'without --no-addons'],
    [`${permission} --allow-fs-read=*`, 'with --allow-addons'],
  ])('that forbids addons is named: %s', (flags, fix) => {
    const { status, stderr } = runIn(`"$NODE" ${flags} "$GROK" -n 2 Once`);
    expect(status).toBe(1);
    expect(stderr).toContain('GROK_NO_BINARY');
    expect(stderr).toContain(fix);
  });

  it.each(['--jitless', '--no-expose-wasm', '--disallow-code-generation-from-strings'])(
    'that takes from the tokenizer what it runs in is named: %s',
    (flag) => {
      const { status, stderr } = runIn(`"$NODE" ${flag} "$GROK" tokenize Once`);
      expect(status).toBe(1);
      expect(stderr).toMatch(new RegExp(`grok-run: GROK_UNSUPPORTED: .*${flag}`));
    },
  );

  it('that forbids files is named', () => {
    const mayRead = `${permission} --allow-fs-read=* --allow-addons`;
    const { status, stderr } = runIn(`cd "$(mktemp -d)"; "$NODE" ${mayRead} "$GROK" report`);
    expect(status).toBe(1);
    expect(stderr).toMatch(/GROK_UNSUPPORTED: .*--allow-fs-write=/);
  });

  it('that forbids threads is named', () => {
    const flags = `${permission} --allow-fs-read=* --allow-fs-write=* --allow-addons`;
    const { status, stderr } = runIn(`cd "$(mktemp -d)"; "$NODE" ${flags} "$GROK" report --verify`);
    expect(status).toBe(1);
    expect(stderr).toMatch(/GROK_UNSUPPORTED: .*--allow-worker/);
  });
});

describe('a limit on address space', () => {
  const memory = `ulimit -v 4000000; "$NODE" -e 'new WebAssembly.Memory({ initial: 1 })'`;
  const isEnough = runIn(memory).status === 0; // later versions of Node reserve no more than they use

  it.skipIf(isEnough).each(['-q -n 2 Once', 'tokenize Once', 'score Once'])('is named in one line: %s', (args) => {
    const { status, stderr } = runIn(`ulimit -v 4000000; "$NODE" "$GROK" ${args}`);
    expect(status).toBe(1);
    expect(stderr).toMatch(/^grok-run: GROK_OUT_OF_MEMORY: .*ulimit -v.*--disable-wasm-trap-handler.*\n$/);
  });

  it('is enough with the flag that the error names', () => {
    const command = 'ulimit -v 4000000; "$NODE" --disable-wasm-trap-handler "$GROK" -q -n 2 --threads 2 Once';
    expect(runIn(command)).toMatchObject({ status: 0, stderr: '' });
  });
});
