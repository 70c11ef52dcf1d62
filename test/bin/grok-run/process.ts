import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
export const PROGRAM = join(ROOT, 'dist/bin/grok-run.js');
export const EMBEDDED = join(ROOT, 'models/grok-tiny');

/** Working directory of the processes. */
export const folder = mkdtempSync(join(tmpdir(), 'grok-run-cli-'));

export function cleanEnv(extra: Record<string, string> = {}): NodeJS.ProcessEnv {
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('GROK_') && name !== 'FORCE_COLOR');
  return { ...Object.fromEntries(inherited), ...extra };
}

/** The arguments of every call of `start`. */
export const usedArguments = new Set<string>();

export function start(args: readonly string[], env: Record<string, string> = {}) {
  for (const argument of args) usedArguments.add(argument);
  const startedAt = performance.now();
  const child = spawn(process.execPath, [PROGRAM, ...args], { cwd: folder, env: cleanEnv(env) });
  const pieces: string[] = [];
  let stderr = '';
  let firstTextMs = Number.POSITIVE_INFINITY;
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    if (pieces.length === 0) firstTextMs = performance.now() - startedAt;
    pieces.push(text);
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const ended = once(child, 'close').then(([code, signal]) => ({
    code: code as number | null,
    signal: signal as string | null,
    stdout: pieces.join(''),
    stderr,
    pieces,
    firstTextMs,
    totalMs: performance.now() - startedAt,
  }));
  return { child, ended };
}

/** Runs to the end; `stdin` is the piped input. */
export async function run(
  args: readonly string[],
  { stdin = '', env = {} }: { stdin?: string; env?: Record<string, string> } = {},
) {
  const { child, ended } = start(args, env);
  child.stdin.end(stdin);
  return await ended;
}

/** The shortest of three times, because the machine may be busy with other work. */
export async function bestOfThree(measure: () => Promise<number>): Promise<number> {
  const times: number[] = [];
  for (let attempt = 0; attempt < 3; attempt++) times.push(await measure());
  return Math.min(...times);
}

/** Start time of Node without a program, for limits that hold on slow and on busy machines. */
export async function bareNodeMs(): Promise<number> {
  return await bestOfThree(async () => {
    const startedAt = performance.now();
    await once(spawn(process.execPath, ['-e', '0']), 'close');
    return performance.now() - startedAt;
  });
}
