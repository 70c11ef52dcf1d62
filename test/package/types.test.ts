import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import ts from 'typescript';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const consumer = `
  import {
    type AbortSignalLike, benchmark, type Chunk, type Completion, diagnose, Grok, GrokError, type GrokErrorCode, inspect,
    type LoadOptions, Tokenizer, version,
  } from 'grok-run';

  const signal: AbortSignalLike = { aborted: false, addEventListener() {}, removeEventListener() {} };
  const options: LoadOptions = { threads: 2, contextSize: undefined, signal, onProgress: ({ loadedBytes }) => loadedBytes };

  export async function use(): Promise<readonly [string, GrokErrorCode | undefined]> {
    const grok = await Grok.load('model', options);
    const generation = grok.generate('Once', { logitBias: new Map([[5, -Infinity]]), stop: ['.'], signal });
    const chunks: Chunk[] = [];
    for await (const chunk of generation) chunks.push(chunk);
    const { text }: Completion = await generation.result;
    const [first] = await grok.score([1, 2]);
    const logprob: number | null | undefined = first?.logprob;
    const { data, shape } = await grok.logits(Int32Array.of(1));
    const { runs } = await benchmark({ shape: 'tiny' });
    const { memory } = await inspect();
    const ids: number[] = (await Tokenizer.load('tokenizer.model')).encode(version);
    await grok.close();
    const error: unknown = [logprob, data, shape, runs, memory, ids, diagnose().binary];
    return [text, error instanceof GrokError ? error.code : undefined];
  }
`;
const disposing = `
  import { Grok } from 'grok-run';
  export async function use(): Promise<void> {
    await using grok = await Grok.load();
    await using generation = grok.generate('Once');
    await generation.result;
  }
`;
const serving = `
  import { Grok } from 'grok-run';
  import { createHandler, createServer, type Handler, type ServerOptions } from 'grok-run/server';

  export async function use(request: Request): Promise<readonly [number, Response]> {
    const grok = await Grok.load();
    const options: ServerOptions = { apiKeys: ['key'], maxN: 2, logger: ({ event }) => event };
    const handler: Handler = createHandler(grok, options);
    const { port } = await createServer(grok, options).listen(0);
    await handler.drain();
    return [port, await handler(request)];
  }
`;

let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'grok-types-'));
  mkdirSync(join(folder, 'node_modules/@types'), { recursive: true });
  symlinkSync(resolve('.'), join(folder, 'node_modules/grok-run'));
  symlinkSync(resolve('node_modules/@types/node'), join(folder, 'node_modules/@types/node'));
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
  for (const name of ['consumer.ts', 'consumer.cts']) writeFileSync(join(folder, name), consumer);
  writeFileSync(join(folder, 'disposing.ts'), disposing);
  for (const name of ['serving.ts', 'serving.cts']) writeFileSync(join(folder, name), serving);
});

afterAll(() => rmSync(folder, { recursive: true }));

const strictest: ts.CompilerOptions = {
  strict: true,
  exactOptionalPropertyTypes: true,
  noUncheckedIndexedAccess: true,
  skipLibCheck: false,
  lib: ['lib.es2022.d.ts'],
  noEmit: true,
  target: ts.ScriptTarget.ES2022,
  types: [],
};
const node16 = { module: ts.ModuleKind.Node16, moduleResolution: ts.ModuleResolutionKind.Node16 };
const nodeNext = { module: ts.ModuleKind.NodeNext, moduleResolution: ts.ModuleResolutionKind.NodeNext };
const bundler = { module: ts.ModuleKind.ESNext, moduleResolution: ts.ModuleResolutionKind.Bundler };

describe.skipIf(!existsSync('dist/lib/index.d.ts'))('the types', () => {
  it('have the comment of each option, for editors', () => {
    const program = ts.createProgram(['dist/lib/index.d.ts'], { ...strictest, ...nodeNext, types: ['node'] });
    const checker = program.getTypeChecker();
    const door = program.getSourceFile('dist/lib/index.d.ts');
    const exported = checker.getExportsOfModule(checker.getSymbolAtLocation(door as ts.SourceFile) as ts.Symbol);
    for (const name of ['LoadOptions', 'GenerateOptions', 'BenchOptions', 'VerifyOptions', 'ReportOptions']) {
      const symbol = exported.find((one) => one.name === name) as ts.Symbol;
      const options = checker.getDeclaredTypeOfSymbol(checker.getAliasedSymbol(symbol)).getProperties();
      expect(options.length).toBeGreaterThan(3);
      for (const option of options) {
        expect(ts.displayPartsToString(option.getDocumentationComment(checker)), option.name).not.toBe('');
      }
    }
  });

  it.each<[string, string, ts.CompilerOptions]>([
    ['node16', 'consumer.ts', node16],
    ['node16 from CommonJS', 'consumer.cts', node16],
    ['nodenext', 'consumer.ts', nodeNext],
    ['nodenext from CommonJS', 'consumer.cts', nodeNext],
    ['bundler', 'consumer.ts', bundler],
    ['bundler with @types/node', 'consumer.ts', { ...bundler, types: ['node'] }],
    ['nodenext with the DOM', 'consumer.ts', { ...nodeNext, lib: ['lib.es2022.d.ts', 'lib.dom.d.ts'] }],
    [
      'nodenext with verbatim modules',
      'consumer.ts',
      { ...nodeNext, isolatedModules: true, verbatimModuleSyntax: true },
    ],
    ['nodenext with await using', 'disposing.ts', nodeNext],
    ['a server', 'serving.ts', { ...nodeNext, types: ['node'] }],
    ['a server from CommonJS', 'serving.cts', { ...nodeNext, types: ['node'] }],
  ])('compile for %s, without other libraries than named', (_, name, options) => {
    const program = ts.createProgram([join(folder, name)], { ...strictest, ...options });
    const found: string[] = [];
    for (const file of program.getSourceFiles()) {
      if (program.isSourceFileDefaultLibrary(file) || file.fileName.includes('@types')) continue; // not ours
      for (const { messageText } of [...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file)])
        found.push(`${file.fileName}: ${ts.flattenDiagnosticMessageText(messageText, '\n')}`);
    }
    expect([...found, ...program.getOptionsDiagnostics().map(String)]).toEqual([]);
    const door = name.endsWith('.cts') ? 'dist/cjs/lib/index.d.ts' : 'dist/lib/index.d.ts';
    expect(program.getSourceFiles().some(({ fileName }) => fileName.endsWith(door))).toBe(true);
  });
});
