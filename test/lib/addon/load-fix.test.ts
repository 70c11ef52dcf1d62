import { copyFileSync, mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { fixFor } from '../../../lib/addon/load-fix.js';
import { loadFrom } from '../../../lib/addon/loader.js';

const MACHINE_OFFSET = 18;

let directory: string;
let addon: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'grok-addon-'));
  writeFileSync(join(directory, 'package.json'), '{"name":"grok-run"}');
  mkdirSync(join(directory, 'build/Release'), { recursive: true });
  addon = join(directory, 'build/Release/grok-run.node');
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(directory, { recursive: true });
});

/** The error of loading from `directory`. */
function failure(): { code: string; message: string; hint: string; details: object } {
  try {
    loadFrom(directory);
  } catch (error) {
    return error as ReturnType<typeof failure>;
  }
  throw new Error('it loaded');
}

/** The fix for a message of the system's loader about the addon. */
function fixForMessage(message: string, libc = 'glibc 2.36'): string {
  return fixFor({ error: new Error(message), directory, file: addon, libc });
}

describe('an addon that is not there', () => {
  it('says where it looked, on what machine, and how to build it', () => {
    const { code, message, hint, details } = failure();
    expect(code).toBe('GROK_NO_BINARY');
    expect(message).toContain(`${process.platform}-${process.arch}`);
    expect(hint).toContain(`\`node ${directory}/scripts/build-native.mjs\``);
    expect(details).toMatchObject({
      node: process.version,
      directory,
      loader: expect.stringContaining('No native'),
    });
  });

  it('treats a directory without a package as a bundle', () => {
    rmSync(join(directory, 'package.json'));
    expect(failure().hint).toContain('mark grok-run as external');
  });

  it.each([
    ['npm_config_arch', 'mips'],
    ['npm_config_platform', 'win32'],
    ['LIBC', 'musl'],
    ['PREBUILDS_ONLY', '1'],
    ['GROK_RUN_PREBUILD', '/nowhere'],
  ])('names the variable %s that leads astray', (name, value) => {
    vi.stubEnv(name, value);
    expect(failure().hint).toContain(`Unset ${name}`);
  });
});

describe('an addon that is damaged', () => {
  it.each([
    ['empty', ''],
    ['a Git LFS pointer', 'version https://git-lfs.github.com/spec/v1\n'.repeat(3)],
    ['a program of Windows', `MZ${'\0'.repeat(100)}`],
  ])('is refused when it is %s', (_, text) => {
    writeFileSync(addon, text);
    const { message, hint } = failure();
    expect(message).toContain(`${addon}: expected a shared library, found another file`);
    expect(hint).toContain('install grok-run again');
  });

  // The system's loader ends the process with SIGBUS for such a file.
  it.each([100, 5000, 500_000])('is refused when it is cut off after %d bytes', (size) => {
    copyFileSync(process.execPath, addon);
    truncateSync(addon, size);
    expect(failure().message).toMatch(new RegExp(`expected \\d+ bytes, found ${size}$`));
  });

  it('is refused when it is for another architecture', () => {
    const header = Buffer.alloc(64);
    header.write('\x7fELF\x02', 'latin1');
    header.writeUInt16LE(process.arch === 'x64' ? 183 : 62, MACHINE_OFFSET);
    writeFileSync(addon, header);
    const other = process.arch === 'x64' ? 'arm64' : 'x64';
    expect(failure().message).toContain(`expected a binary for ${process.arch}, found one for ${other}`);
    vi.stubEnv('npm_config_arch', other);
    expect(failure().hint).toContain('Unset npm_config_arch');
  });
});

describe('an addon that the system refuses', () => {
  it.each([
    ["/lib/libc.so.6: version `GLIBC_2.38' not found (required by x.node)", 'newer glibc'],
    ["/lib/libstdc++.so.6: version `GLIBCXX_3.4.32' not found (required by x.node)", 'newer libstdc++'],
    ['libstdc++.so.6: cannot open shared object file: No such file or directory', 'has libstdc++.so.6'],
    ['x.node: cannot open shared object file: Permission denied', 'permission to read'],
    ['x.node: failed to map segment from shared object', 'ulimit -v'],
    ['x.node: ELF load command alignment not page-aligned', 'install grok-run again'],
  ])('has its own fix: %s', (message, fix) => {
    expect(fixForMessage(message)).toContain(fix);
  });

  it('is allowed to be looked for by a flag of Node, of the path that was refused', () => {
    const error = { code: 'ERR_ACCESS_DENIED', resource: '/etc/alpine-release' };
    const failure = { error, directory: process.cwd(), file: undefined, libc: 'glibc 2.36' };
    expect(fixFor(failure)).toContain('--allow-fs-read=/etc/alpine-release');
  });

  it('has no fix on this system where the C library is musl', () => {
    expect(fixForMessage('Error relocating x.node: __vsnprintf_chk: symbol not found', 'musl')).toContain('glibc');
  });
});
