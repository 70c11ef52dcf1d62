import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import ts from 'typescript';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { grokErrorCodes } from '../lib/errors.js';
import { inspect, type SchemaOption } from '../lib/index.js';
import * as tables from '../lib/options/schema.js';
import { apiDocument, commentOf, commentsOf, sources } from '../scripts/write-docs.mjs';
import { invoke } from './bin/fake-host.js';
import { filesUnder } from './files-under.js';

const pages = [
  'README.md',
  'CONTRIBUTING.md',
  'CHANGELOG.md',
  'examples/README.md',
  'bench/RESULTS.md',
  'bench/results/README.md',
  'models/grok-tiny/README.md',
  ...filesUnder('docs', /\.md$/),
];
const textOf = Object.fromEntries(pages.map((page) => [page, readFileSync(page, 'utf8')]));
const readme = textOf['README.md'] ?? '';
const sourceText = ['lib', 'bin', 'native', 'scripts', 'CMakeLists.txt']
  .flatMap((path) => (path.includes('.') ? [path] : filesUnder(path, /\.(ts|mjs|cpp|cu|h|inc)$/)))
  .map((file) => readFileSync(file, 'utf8'))
  .join('\n');

/** Flags of Node, npm, Docker, esbuild and git. */
const flagsOfOthers = new Set(
  (
    '--allow-addons --allow-fs-read --allow-worker --cpu --disable-wasm-trap-handler --experimental-vm-modules ' +
    '--external --gpus --init --no-addons --permission --prune --stat'
  ).split(' '),
);
/** Names of Next.js and vite. */
const namesOfOthers = new Set(['noExternal', 'outputFileTracingIncludes', 'serverExternalPackages']);

/** The code blocks of a language in a page, without their indentation. */
function blocksOf(text: string, language: string): string[] {
  const blocks = text.matchAll(new RegExp(`^( *)\`\`\`${language}\\n(.*?)^ *\`\`\`$`, 'gms'));
  return [...blocks].map(([, indent = '', code = '']) => code.replaceAll(new RegExp(`^${indent}`, 'gm'), ''));
}

/** The words in `code` of a page that match, outside of blocks. */
function spansOf(text: string, pattern: RegExp): string[] {
  const prose = text.replaceAll(/^ *```.*?^ *```$/gms, '');
  return [...prose.matchAll(/`([^`\n]+)`/g)].flatMap(([, span = '']) => span.match(pattern) ?? []);
}

/** The rows of all tables of a page, as cells. */
function rowsOf(text: string): string[][] {
  const rows = text.split('\n').filter((line) => line.startsWith('| '));
  return rows.map((line) =>
    line
      .split(/(?<!\\)\|/)
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}

/** The names in the last argument of each call of a method that takes options, if it is an object literal. */
function optionsIn(code: string): [call: keyof typeof tables.optionSchema, name: string][] {
  const calls = { complete: 'generate', check: 'generate' } as Record<string, string>;
  const found: ReturnType<typeof optionsIn> = [];
  const visit = (node: ts.Node): void => {
    if (ts.isCallExpression(node) && ts.isPropertyAccessExpression(node.expression)) {
      const method = node.expression.name.text;
      const call = (calls[method] ?? method) as keyof typeof tables.optionSchema;
      const last = node.arguments.at(-1);
      if (call in tables.optionSchema && node.arguments.length > 1 && last && ts.isObjectLiteralExpression(last))
        for (const { name } of last.properties) if (name) found.push([call, name.getText()]);
    }
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile('program.mjs', code, ts.ScriptTarget.Latest, true));
  return found;
}

async function commandNames(): Promise<string[]> {
  const { stdout } = await invoke(['--help']);
  const lines = stdout.slice(stdout.indexOf('Commands:')).matchAll(/^ {2}([a-z]+) .* {2}/gm);
  return [...lines].map(([, name = '']) => name).filter((name) => name !== 'help');
}

describe('docs/API.md', () => {
  it('is as the schema of options says; `npm run docs` writes it', () => {
    expect(textOf['docs/API.md']).toBe(apiDocument(tables, sources()));
  });

  it('has a comment for each option, which names its default', () => {
    const comments = commentsOf(tables, sources().source);
    for (const table of Object.keys(tables).filter((name) => name.endsWith('Options'))) {
      for (const [name, option] of Object.entries(Object(tables)[table] as Record<string, SchemaOption>)) {
        const comment: string = commentOf(tables, comments, table, name);
        expect(comment, `${table}.${name}`).not.toBe('');
        const [first] = [option.default].flat();
        if (first !== undefined) expect(/Default: (.*)/.exec(comment)?.[1], `${table}.${name}`).toContain(`${first}`);
      }
    }
  });
});

describe('every page', () => {
  it('links to files and headings that exist', () => {
    const anchorsOf = (file: string) =>
      [...readFileSync(file, 'utf8').matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
        heading
          .toLowerCase()
          .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
          .replaceAll(' ', '-'),
      );
    for (const [page, text] of Object.entries(textOf)) {
      for (const [, target = ''] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
        if (/^(https?|magnet):/.test(target)) continue;
        const [path = '', anchor] = target.split('#');
        const file = path === '' ? page : join(dirname(page), path);
        expect(existsSync(file), `${page}: ${target}`).toBe(true);
        if (anchor) expect(anchorsOf(file), `${page}: ${target}`).toContain(anchor);
      }
    }
  });

  it('has JavaScript that parses', () => {
    for (const [page, text] of Object.entries(textOf)) {
      for (const code of blocksOf(text, 'js')) {
        const { diagnostics = [] } = ts.transpileModule(code, { reportDiagnostics: true });
        expect(
          diagnostics.map(({ messageText }) => messageText),
          `${page}:\n${code}`,
        ).toEqual([]);
      }
    }
  });

  it('has programs whose options exist', () => {
    const programs = [
      ...Object.entries(textOf).flatMap(([page, text]) => blocksOf(text, 'js').map((code) => [page, code] as const)),
      ...filesUnder('examples', /\.mjs$/).map((file) => [file, readFileSync(file, 'utf8')] as const),
    ];
    const names = programs.flatMap(([page, code]) => optionsIn(code).map(([call, name]) => ({ page, call, name })));
    expect(names.length).toBeGreaterThan(8);
    for (const { page, call, name } of names)
      expect(Object.keys(tables.optionSchema[call]), `${page}: ${call}`).toContain(name);
  });

  it('has command lines that the program accepts', async () => {
    for (const [page, text] of Object.entries(textOf)) {
      const lines = blocksOf(text, 'sh').join('\n').split('\n');
      for (const [, line = ''] of lines.join('\n').matchAll(/(?:^|\| *)(?:npx )?grok-run ([^<>|#\n]*)/gm)) {
        const args = [...line.matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g)].map(([, a, b, c]) => a ?? b ?? c ?? '');
        const { exitCode, stderr } = await invoke(args);
        expect(exitCode, `${page}: ${line}\n${stderr}`).not.toBe(2);
      }
    }
  });

  it('names flags that exist', async () => {
    const commands = await commandNames();
    const helps = await Promise.all(
      [[], ...commands.map((name) => [name])].map((words) => invoke([...words, '--help'])),
    );
    const former = Object.values(tables.optionSchema).flatMap((schema) =>
      Object.values<SchemaOption>(schema).map(({ formerFlag }) => formerFlag),
    );
    const flags = new Set([...helps.flatMap(({ stdout }) => stdout.match(/--[a-z][a-z-]*/g) ?? []), ...former]);
    for (const page of ['README.md', ...filesUnder('docs', /\.md$/)]) {
      for (const flag of spansOf(textOf[page] ?? '', /^--[a-z][a-z-]*(?![^ =]*\/)/))
        if (!flagsOfOthers.has(flag)) expect([...flags], page).toContain(flag);
    }
  });

  it('names options, properties and variables that exist', () => {
    for (const page of [
      'README.md',
      'docs/API.md',
      'docs/SERVICES.md',
      'docs/TROUBLESHOOTING.md',
      'docs/PERFORMANCE.md',
    ]) {
      const names = spansOf(textOf[page] ?? '', /(?<![\w.@/-])[a-z]+[A-Z]\w*\b|\bGROK_[A-Z_]*[A-Z]\b/g);
      for (const name of names.filter((word) => !namesOfOthers.has(word)))
        expect(sourceText.includes(name), `${page}: ${name}`).toBe(true);
    }
  });
});

describe('README.md', () => {
  let folder: string;

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'grok-readme-'));
    mkdirSync(join(folder, 'node_modules'));
    symlinkSync(resolve('.'), join(folder, 'node_modules', 'grok-run'));
  });

  afterAll(() => rmSync(folder, { recursive: true }));

  it('has programs that run', () => {
    const programs = blocksOf(readme, 'js');
    expect(programs.length).toBeGreaterThan(1);
    for (const [index, program] of programs.entries()) {
      const file = join(folder, `${index}.mjs`);
      // Compiled, because Node 20 and 22 cannot parse `await using`.
      writeFileSync(file, ts.transpile(program, { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext }));
      expect(execFileSync(process.execPath, [file], { encoding: 'utf8' }).length, program).toBeGreaterThan(10);
    }
  });

  it('has every error code, and no other', () => {
    const rows = rowsOf(readme.slice(readme.indexOf('### Errors'), readme.indexOf('## Command line')));
    const codes = rows.flatMap(([cell = '']) => cell.match(/GROK_\w+/g) ?? []);
    expect(codes.toSorted()).toEqual([...grokErrorCodes].toSorted());
  });

  it('names every command', async () => {
    const commands = await commandNames();
    expect(commands).toContain('inspect');
    for (const name of commands.filter((command) => command !== 'run')) expect(readme).toContain(`grok-run ${name}`);
  });

  it('names the platforms of the package', () => {
    const { engines } = JSON.parse(readFileSync('package.json', 'utf8'));
    expect(engines.node).toBe('>=20.19.0');
    expect(readme).toContain('Node 20.19 or newer');
    expect(readFileSync('scripts/check-binary.mjs', 'utf8')).toContain('GLIBC: [2, 34]');
    expect(readme).toContain('glibc 2.34 or newer');
  });

  it('has the sizes of the models', async () => {
    const { numParameters, config } = await inspect();
    expect(readme).toContain(`${(numParameters / 1e6).toFixed(1)} million parameters`);
    expect(readme).toContain(`${config.contextLength} tokens of context`);
    const plan = await inspect('grok-1', { maxSequences: 1, threads: 2 });
    for (const page of [readme, textOf['docs/PERFORMANCE.md'] ?? '']) {
      expect(page).toContain(`${Math.ceil(plan.memory.total / 1e8) / 10}`);
      expect(page).toContain(`${(plan.fileBytes / 1e9).toFixed(1)}`);
      expect(page).toContain(`${(plan.weightBytesPerToken / 1e9).toFixed(1)} GB`);
    }
  });
});

it('models/grok-tiny/README.md has the sizes of the model', async () => {
  const card = textOf['models/grok-tiny/README.md'] ?? '';
  const { numParameters, config } = await inspect();
  expect(card).toContain(`${readdirSync('models/grok-tiny/ckpt-0').length} pickle files`);
  const rows = Object.fromEntries(rowsOf(card).map(([name = '', value]) => [name, value]));
  expect(rows).toMatchObject({
    parameters: numParameters.toLocaleString('en'),
    layers: `${config.numLayers}`,
    d_model: `${config.dModel}`,
    'query heads / KV heads × head_dim': `${config.numQHeads} / ${config.numKvHeads} × ${config.headDim}`,
    'experts, of which each token uses 2': `${config.numExperts} of width ${config.dFf}`,
    vocabulary: `${config.vocabSize}`,
    context: `${config.contextLength}`,
  });
});

describe('figures', () => {
  it('of machines are the bandwidth of their memory, divided by the bytes of a token', async () => {
    const { weightBytesPerToken } = await inspect('grok-1');
    for (const page of ['README.md', 'docs/PERFORMANCE.md']) {
      const rows = rowsOf(textOf[page] ?? '').filter((cells) => /^(one|two) sockets?, /.test(cells[0] ?? ''));
      expect(rows).toHaveLength(3);
      for (const cells of rows) {
        const [, sockets, channels, rate] =
          /^(one|two) sockets?, (\d+) channels DDR\d-(\d+)/.exec(cells[0] ?? '') ?? [];
        const bandwidth = (sockets === 'two' ? 2 : 1) * Number(channels) * Number(rate) * 1e6 * 8;
        expect(cells.join(' ')).toContain((bandwidth / weightBytesPerToken).toFixed(1));
      }
    }
  });

  it('that were measured are those of bench/RESULTS.md', () => {
    const rows = rowsOf(textOf['bench/RESULTS.md'] ?? '');
    const figuresOf = (metric: string) =>
      rows.filter(([name]) => name === metric).map(([, figure = '']) => Number.parseFloat(figure));
    const rates = figuresOf('decode, grok-tiny, 2 threads').map((rate) => Math.round(rate / 100) * 100);
    const [low, high] = [Math.min(...rates), Math.max(...rates)].map((rate) => rate.toLocaleString('en'));
    expect(readme).toContain(`${low} to ${high} tokens/s`);
    expect(figuresOf('step, 1 x 1 after 128').map((us) => us / 1000)).toContain(1.62);
    expect(readme).toContain('take 1.62 ms a token');
  });

  it('in docs/PERFORMANCE.md name files that exist, and a row without a file has none', () => {
    const files = readdirSync('bench/results');
    const rows = rowsOf(textOf['docs/PERFORMANCE.md'] ?? '').filter(
      ([first, , third]) => first !== 'decision' && third,
    );
    const withFile = rows.filter(([, , third = '']) => third.includes('`') || third === '–');
    expect(withFile.length).toBeGreaterThan(10);
    for (const [decision = '', measured = '', named = ''] of withFile) {
      const patterns = [...named.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name);
      for (const pattern of patterns) {
        const expression = new RegExp(`^${pattern.replaceAll('*', '.*')}.*\\.json$`);
        expect(
          files.some((file) => expression.test(file)),
          pattern,
        ).toBe(true);
      }
      if (patterns.length === 0) expect(measured, decision).not.toMatch(/\d (ms|us|s|GB\/s|tokens\/s)\b/);
    }
  });
});

describe('docs/TROUBLESHOOTING.md', () => {
  // One literal for each message: joins the parts of literals that are written in pieces.
  const messages = sourceText
    .replaceAll(/['"`]\s*\+?\s*\n\s*['"`]/g, '')
    .replaceAll("\\'", "'")
    .replaceAll('\\"', '"');
  const quotes = rowsOf(textOf['docs/TROUBLESHOOTING.md'] ?? '')
    .map(([cell = '']) => /^`(.*)`$/.exec(cell)?.[1])
    .filter((quote) => quote !== undefined);

  it.each(quotes)('quotes a message of the program: %s', (quote) => {
    const parts = quote.split('…').map((part) => part.trim());
    expect(parts.join('').length).toBeGreaterThan(8);
    for (const part of parts) expect(messages.includes(part), part).toBe(true);
  });

  it('quotes many', () => expect(quotes.length).toBeGreaterThan(20));
});
