import { CommanderError } from 'commander';
import { describe, expect, it } from 'vitest';
import { ProblemsFound, settle, UsageError } from '../../bin/failure.js';
import { grokError } from './fake-host.js';

const TEXT = { asJson: false, verbose: false };
const JSON_OUT = { asJson: true, verbose: false };

describe('settle', () => {
  it('survives a thrown value that is not an error', () => {
    expect(settle('a string', TEXT)).toEqual({ exitCode: 1, report: 'grok-run: GROK_INTERNAL: a string\n' });
    expect(settle(undefined, TEXT).exitCode).toBe(1);
  });

  it('reports a bug of grok-run as a bug, not as wrong usage', () => {
    const { exitCode, report } = settle(new TypeError("Cannot read properties of undefined (reading 'x')"), TEXT);
    expect(exitCode).toBe(1);
    expect(report).toContain('GROK_INTERNAL');
  });

  it('ends with 2 when the command line is wrong', () => {
    expect(settle(new UsageError('Expected x, found y', 'leave y out'), TEXT)).toEqual({
      exitCode: 2,
      report: 'grok-run: GROK_USAGE: Expected x, found y (fix: leave y out)\n',
    });
  });

  it('ends with 2 when the library refuses an argument', () => {
    const error = grokError('GROK_INVALID_ARGUMENT', 'Expected `temperature` to be a number ≥ 0, found -1 (number)');
    expect(settle(error, TEXT).exitCode).toBe(2);
  });

  it('reports an error of the system as one of input or output', () => {
    const error = Object.assign(new Error('ENOSPC: no space left on device, write'), {
      code: 'ENOSPC',
      syscall: 'write',
    });
    expect(settle(error, TEXT)).toEqual({
      exitCode: 1,
      report: 'grok-run: GROK_IO: ENOSPC: no space left on device, write\n',
    });
  });

  it.each([
    ['FileSystemRead', '/a', '--allow-fs-read=/a'],
    ['FileSystemWrite', '/a', '--allow-fs-write=/a'],
    ['WorkerThreads', '', '--allow-worker'],
  ])('names the flag that allows what Node was told to refuse: %s', (permission, resource, flag) => {
    const denied = Object.assign(new Error('refused'), { code: 'ERR_ACCESS_DENIED', permission, resource });
    expect(settle(denied, TEXT).report).toBe(`grok-run: GROK_UNSUPPORTED: refused (fix: start Node with ${flag})\n`);
    const caused = Object.assign(grokError('GROK_IO', '/a: refused'), { cause: denied });
    expect(settle(caused, TEXT).report).toBe(`grok-run: GROK_IO: /a: refused (fix: start Node with ${flag})\n`);
  });

  it("keeps commander's suggestion as the fix", () => {
    const error = new CommanderError(
      1,
      'commander.unknownOption',
      "error: unknown option '--sed'\n(Did you mean --seed?)",
    );
    expect(settle(error, TEXT)).toEqual({
      exitCode: 2,
      report: "grok-run: GROK_USAGE: unknown option '--sed' (fix: Did you mean --seed?)\n",
    });
  });

  it('says nothing after help or the version was printed', () => {
    expect(settle(new CommanderError(0, 'commander.version', '1.2.3'), TEXT)).toEqual({ exitCode: 0, report: '' });
  });

  it('says nothing more after a command has printed the problems it found', () => {
    expect(settle(new ProblemsFound(), TEXT)).toEqual({ exitCode: 1, report: '' });
  });

  it('ends with 1, code, message and fix on one line for an error of the library', () => {
    expect(settle(grokError('GROK_NOT_FOUND', 'No such directory: /x', 'check the path'), TEXT)).toEqual({
      exitCode: 1,
      report: 'grok-run: GROK_NOT_FOUND: No such directory: /x (fix: check the path)\n',
    });
  });

  it('puts the fix of a list on a line of its own', () => {
    const { report } = settle(grokError('GROK_BAD_CHECKPOINT', '2 files are wrong:\n  a\n  b', 'download again'), TEXT);
    expect(report).toBe('grok-run: GROK_BAD_CHECKPOINT: 2 files are wrong:\n  a\n  b\nfix: download again\n');
  });

  it('shows the stack with --verbose', () => {
    const error = grokError('GROK_IO', 'unreadable');
    expect(settle(error, TEXT).report).not.toContain('failure.test.ts');
    expect(settle(error, { asJson: false, verbose: true }).report).toContain('fake-host.ts');
  });

  it('writes one JSON object with --json', () => {
    const { report } = settle(grokError('GROK_IO', 'line 1\nline 2', 'look'), JSON_OUT);
    expect(report.trimEnd()).not.toContain('\n');
    expect(JSON.parse(report)).toEqual({ error: { code: 'GROK_IO', message: 'line 1\nline 2', hint: 'look' } });
  });
});
