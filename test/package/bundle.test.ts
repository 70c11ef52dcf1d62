import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { rolldown } from 'rolldown';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const library = resolve('dist/lib/index.js');
const smallModel = resolve('test/fixtures/tokenizer/tiny.model');
const program = `
  import { benchmark, diagnose, Grok, inspect, Tokenizer } from ${JSON.stringify(library)};
  const uses = {
    load: () => Grok.load(),
    path: () => Grok.load('absent'),
    inspect: () => inspect(),
    benchmark: () => benchmark({ shape: 'tiny' }),
    diagnose: async () => diagnose(),
    tokenizer: () => Tokenizer.load(${JSON.stringify(smallModel)}),
  };
  (async () => {
    const found = {};
    for (const [name, use] of Object.entries(uses)) found[name] = await use().then(() => ({}), (error) => error);
    console.log(JSON.stringify(found, (_, value) => (value instanceof Error ? { ...value, cause: undefined } : value)));
  })();
`;

let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'grok-bundle-'));
  writeFileSync(join(folder, 'program.mjs'), program);
});

afterAll(() => rmSync(folder, { recursive: true }));

async function bundled(format: 'cjs' | 'esm', define: Record<string, string>) {
  const file = join(folder, format === 'cjs' ? 'bundle.cjs' : 'bundle.mjs');
  const input = join(folder, 'program.mjs');
  const bundle = await rolldown({ input, platform: 'node', transform: { define }, logLevel: 'silent' });
  await bundle.write({ file, format, codeSplitting: false });
  return JSON.parse(execFileSync(process.execPath, [file], { cwd: folder, encoding: 'utf8' }));
}

describe.skipIf(!existsSync(library))('a program that has grok-run bundled into it', () => {
  it.each([
    // esbuild knows no import.meta in CommonJS: its url is undefined there.
    ['CommonJS, as esbuild makes it', 'cjs', { 'import.meta.url': 'undefined' }],
    ['CommonJS, as rolldown makes it', 'cjs', {}],
    ['an ES module', 'esm', {}],
  ] as const)('can import it, and each first use says what to do: %s', async (_, format, define) => {
    const found = await bundled(format, define);
    const refusal = { code: 'GROK_NO_BINARY', hint: expect.stringContaining('mark grok-run as external') };
    expect(Object.keys(found)).toHaveLength(6);
    for (const [use, error] of Object.entries(found)) expect(error, use).toMatchObject(refusal);
  });
});
