import { execFile, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, describe, expect, it } from 'vitest';

const here = dirname(fileURLToPath(import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'grok-fault-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Report {
  points: number;
  tally: Record<string, number>;
  works: string;
  before: { threads: number; files: number };
  after: { threads: number; files: number };
}

const shim = join(folder, 'grok-fault.so');
const compiled = spawnSync('cc', ['-O1', '-shared', '-fPIC', '-o', shim, join(here, 'fault.c'), '-ldl']);
if (compiled.status !== 0) console.warn('SKIPPED: the tests of injected faults need a C compiler');

async function inject(kind: string, stride: number): Promise<Report> {
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['--expose-gc', join(here, 'inject.mjs'), kind, String(stride)],
    { env: { ...process.env, LD_PRELOAD: shim } },
  );
  return JSON.parse(stdout) as Report;
}

describe.skipIf(compiled.status !== 0)('a call of the system that fails once in the life of a model', () => {
  // run.sh tries every call of each kind.
  it.each([
    { kind: 'new', stride: 7, allowed: ['GROK_OUT_OF_MEMORY'] },
    { kind: 'work', stride: 499, allowed: ['GROK_OUT_OF_MEMORY'] },
    { kind: 'thread', stride: 1, allowed: ['GROK_OUT_OF_MEMORY'] },
    { kind: 'mmap', stride: 11, allowed: ['GROK_OUT_OF_MEMORY', 'GROK_IO'] },
    { kind: 'open', stride: 17, allowed: ['GROK_IO'] },
    { kind: 'read', stride: 17, allowed: ['GROK_IO'] },
    { kind: 'stat', stride: 17, allowed: ['GROK_IO'] },
  ])('$kind: gives the right result or says so, leaks nothing, and the next model works', async (fault) => {
    const { tally, works, before, after, points } = await inject(fault.kind, fault.stride);
    expect([...fault.allowed, 'ok']).toEqual(expect.arrayContaining(Object.keys(tally)));
    expect(points).toBeGreaterThan(fault.stride);
    expect(works).toBe('ok');
    expect(after).toEqual(before);
  });
});

// RLIMIT_NPROC counts the threads of a user, and does not hold root back: nobody (65534) has none but these.
function runLimited(limit: number, args: readonly string[]) {
  const asNobody = ['--reuid=65534', '--regid=65534', '--clear-groups', 'prlimit', `--nproc=${limit}:${limit}`];
  return spawnSync('setpriv', [...asNobody, process.execPath, ...args], { encoding: 'utf8', timeout: 50_000 });
}

const limited = join(here, 'limited.mjs');
const readFile = ['-e', `require('fs').promises.readFile(${JSON.stringify(limited)}).then(() => console.log('ok'))`];
const canLimit = process.getuid?.() === 0 && runLimited(1000, readFile).stdout === 'ok\n';
if (!canLimit)
  console.warn('SKIPPED: the tests of limits on threads need root, setpriv, and a folder that all may read');

describe.skipIf(!canLimit)('a limit on the threads of a user', () => {
  it.each(['main', 'worker'])(
    'leaves a model fewer threads, or its error names the limit (%s thread)',
    { timeout: 180_000 },
    (where) => {
      const expected = JSON.parse(spawnSync(process.execPath, [limited], { encoding: 'utf8' }).stdout);
      const devices: string[] = [];
      for (const limit of [11, 12, 13, 14, 16, 24, 40]) {
        if (runLimited(limit, readFile).stdout !== 'ok\n') continue; // Node itself does not run
        const { status, signal, stdout, stderr } = runLimited(limit, [limited, where]);
        expect({ limit, status, signal, stderr }).toEqual({ limit, status: 0, signal: null, stderr: '' });
        const { tokenIds, device, code, hint } = JSON.parse(stdout);
        if (device) {
          expect(tokenIds).toEqual(expected.tokenIds);
          devices.push(device);
        } else if (code !== 'ERR_WORKER_INIT_FAILED') {
          expect({ limit, code }).toEqual({ limit, code: 'GROK_OUT_OF_MEMORY' });
          expect(hint).toContain('ulimit -u');
        }
      }
      expect(devices[0]).toMatch(/, 1 thread\)$/);
      expect(devices.at(-1)).toMatch(/, (1\d|2\d) threads\)$/);
    },
  );
});
