import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hardeningProblems } from '../../scripts/hardening.mjs';

const source = `
  #include <cstring>
  #include <vector>
  extern "C" int answer() { return 42; }
  extern "C" int greet(const std::vector<int>& lengths, const char* name) {
    char text[16];
    std::strcpy(text, name);
    return text[lengths[1]];
  }
`;
// The words of a problem, and the flag with which it is absent and present.
const everywhere = {
  GNU_RELRO: ['-Wl,-z,relro', '-Wl,-z,norelro'],
  BIND_NOW: ['-Wl,-z,now', '-Wl,-z,lazy'],
  GNU_STACK: ['-Wl,-z,noexecstack', '-Wl,-z,execstack'],
  __stack_chk_fail: ['-fstack-protector-strong', '-fno-stack-protector'],
  fortified: ['-D_FORTIFY_SOURCE=3', '-D_FORTIFY_SOURCE=0'],
  assertions: ['-D_GLIBCXX_ASSERTIONS', '-U_GLIBCXX_ASSERTIONS'],
} as const;
const onX64 = {
  ...everywhere,
  endbr64: ['-fcf-protection=full', '-fcf-protection=none'],
  SHSTK: ['-Wl,-z,shstk', ''],
} as const;
const onArm64 = {
  ...everywhere,
  bti: ['-mbranch-protection=standard', '-mbranch-protection=pac-ret'],
  paciasp: ['-mbranch-protection=standard', '-mbranch-protection=bti'],
} as const;

let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'grok-hardening-'));
  writeFileSync(join(folder, 'greet.cpp'), source);
});

afterAll(() => rmSync(folder, { recursive: true }));

/** The problems of a library that was built with all flags, save for one that is off. */
function problemsOf(compiler: string, flags: Record<string, readonly [string, string]>, off = ''): string[] {
  const library = join(folder, 'greet.so');
  // One flag has two problems on arm64, so that the flag which is off comes last.
  const { [off]: last, ...others } = flags;
  const given = [...Object.values(others).map(([on]) => on), last?.[1] ?? ''].filter((flag) => flag !== '');
  const fixed = ['-O2', '-shared', '-fPIC', '-U_FORTIFY_SOURCE'];
  execFileSync(compiler, [...fixed, ...given, '-o', library, join(folder, 'greet.cpp')]);
  return hardeningProblems(library, 'greet');
}

const isInstalled = (program: string) => spawnSync(program, ['--version']).status === 0;

describe.each([
  ['x86_64-linux-gnu-g++', onX64],
  ['aarch64-linux-gnu-g++', onArm64],
] as const)('a library by %s', (compiler, flags) => {
  const test = it.skipIf(!isInstalled(compiler) || !isInstalled('readelf'));

  test('has all protections if every flag is on', () => {
    expect(problemsOf(compiler, flags)).toEqual([]);
  });

  test.each(Object.keys(flags))('has one problem if one flag is off: %s', (problem) => {
    expect(problemsOf(compiler, flags, problem)).toEqual([expect.stringContaining(problem)]);
  });
});
