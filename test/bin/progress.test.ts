import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { rolldown } from 'rolldown';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const folder = mkdtempSync(join(tmpdir(), 'grok-run-progress-'));
const compiled = join(folder, 'progress.mjs');

beforeAll(async () => {
  const bundle = await rolldown({
    input: join(import.meta.dirname, '../../bin/progress.ts'),
    platform: 'node',
    resolve: { extensionAlias: { '.js': ['.ts', '.js'] } },
  });
  await bundle.write({ file: compiled, format: 'esm', codeSplitting: false });
});

afterAll(() => rmSync(folder, { recursive: true }));

const hideCursor = '\x1b[?25l';
const showCursor = '\x1b[?25h';
const leaveLinesCut = '\x1b[?7l';
const wrapLines = '\x1b[?7h';

/** Draws a bar on stderr as on a terminal, for ever; `atLast` runs once it has been drawn for a while. */
function startDrawing(atLast = '') {
  const program = `
    import { LoadBar } from ${JSON.stringify(compiled)};
    process.once('SIGINT', () => process.exit(130)); // as grok-run.ts does
    const bar = new LoadBar({ stderr: Object.assign(process.stderr, { isTTY: true, columns: 100 }) }, 'loading');
    let turns = 0;
    setInterval(() => {
      bar.update({ loadedBytes: ++turns, totalBytes: 100_000, tensor: 'layer_0' });
      if (turns > 40) { ${atLast} }
    }, 20);
  `;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let seen = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    seen += text;
    if (seen.includes(hideCursor)) child.emit('drawn');
  });
  const ended = once(child, 'close').then(([code, signal]) => ({ code, signal, seen }));
  return { child, ended };
}

describe('the bar of a load', () => {
  it.each([
    ['SIGINT', { code: 130, signal: null }],
    ['SIGTERM', { code: null, signal: 'SIGTERM' }],
    ['SIGHUP', { code: null, signal: 'SIGHUP' }],
  ] as const)('gives the terminal back at %s, which ends the process as ever', async (signal, end) => {
    const { child, ended } = startDrawing();
    await once(child, 'drawn');
    child.kill(signal);
    const { seen, ...outcome } = await ended;
    expect(outcome).toEqual(end);
    expectTerminalAsBefore(seen);
  });

  it.each([
    ['an exception', 'throw new Error("mine")', 1],
    ['a rejection', 'Promise.reject(new Error("mine"))', 1],
    ['an exit', 'process.exit(7)', 7],
  ])('gives the terminal back at %s', async (_, atLast, code) => {
    const outcome = await startDrawing(atLast).ended;
    expect(outcome).toMatchObject({ code, signal: null });
    expectTerminalAsBefore(outcome.seen);
  });
});

function expectTerminalAsBefore(seen: string): void {
  expect(seen).toContain(hideCursor);
  expect(seen).toContain(leaveLinesCut);
  expect(seen.lastIndexOf(showCursor)).toBeGreaterThan(seen.lastIndexOf(hideCursor));
  expect(seen.lastIndexOf(wrapLines)).toBeGreaterThan(seen.lastIndexOf(leaveLinesCut));
}
