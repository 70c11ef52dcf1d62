import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const SCRIPT = resolve('scripts/build-native.mjs');

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'grok-run-build-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

/** Runs the build script on a machine that has only these programs. */
function buildWith(programs: string[], env: Record<string, string> = {}, args: string[] = []) {
  const path = join(folder, 'bin');
  mkdirSync(path);
  // Every program answers to --version: the script must stop before it builds anything.
  for (const program of programs) symlinkSync(process.execPath, join(path, program));
  const { status, stdout, stderr } = spawnSync(process.execPath, [SCRIPT, ...args], {
    env: { PATH: path, ...env },
    encoding: 'utf8',
  });
  return { status, stdout, lines: stderr.trim().split('\n') };
}

describe('building the native part', () => {
  it('names the Debian package when cmake is missing, in one sentence', () => {
    const { status, lines } = buildWith(['g++', 'make']);
    expect(status).toBe(1);
    expect(lines).toEqual([expect.stringMatching(/^grok-run: cmake not found.*: apt install cmake$/)]);
  });

  it('names the Debian package when there is no compiler', () => {
    const { status, lines } = buildWith(['cmake', 'ninja']);
    expect(status).toBe(1);
    expect(lines).toEqual([expect.stringMatching(/^grok-run: g\+\+ not found.*: apt install g\+\+$/)]);
  });

  it('names all packages at once on a bare machine', () => {
    const { lines } = buildWith([]);
    expect(lines).toEqual([expect.stringMatching(/: apt install cmake g\+\+ make$/)]);
  });

  it('names the package of the cross compiler for another architecture', () => {
    const [arch, compiler] =
      process.arch === 'x64' ? ['arm64', 'g++-aarch64-linux-gnu'] : ['x64', 'g++-x86-64-linux-gnu'];
    const { lines } = buildWith(['cmake', 'g++', 'make'], {}, ['--arch', arch]);
    expect(lines).toEqual([expect.stringContaining(`: apt install ${compiler}`)]);
  });

  it('rejects an architecture that it cannot build for', () => {
    const { status, lines } = buildWith(['cmake', 'g++', 'make'], {}, ['--arch', 'riscv64']);
    expect(status).toBe(1);
    expect(lines).toEqual(['grok-run: expected --arch x64 or arm64, found "riscv64".']);
  });

  it('rejects an invalid GROK_CUDA', () => {
    const { status, lines } = buildWith(['cmake', 'c++', 'make'], { GROK_CUDA: 'yes' });
    expect(status).toBe(1);
    expect(lines).toEqual(['grok-run: expected GROK_CUDA to be AUTO, ON or OFF, found "yes".']);
  });
});
