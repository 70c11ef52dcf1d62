// Writes the tables of options in docs/API.md from lib/options/schema.ts and its comments: `npm run docs`, after
// `npm run build:ts`. test/docs.test.ts compares them.
import { readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import ts from 'typescript';

const root = fileURLToPath(new URL('..', import.meta.url));

/** The functions that take the options of each entry of the schema. */
const calls = {
  load: ['Grok.load(source?, options?)'],
  generate: ['grok.generate(prompt, options?)', 'grok.complete(prompt, options?)', 'grok.check(prompt, options?)'],
  chat: ['grok.chat(messages, options?)', 'grok.chatPrompt(messages, options?)'],
  score: ['grok.score(prompt, options?)'],
  logits: ['grok.logits(ids, options?)'],
  inspect: ['inspect(source?, options?)', 'plan(source?, options?)'],
  verify: ['verify(source?, options?)'],
  report: ['report(source?, options?)'],
  benchmark: ['benchmark(options?)'],
  loadTokenizer: ['Tokenizer.load(file, options?)'],
  encode: ['tokenizer.encode(text, options?)'],
  encodeAsync: ['tokenizer.encodeAsync(text, options?)'],
};

/** Calls that take all options of another call, and more. */
const extended = { chat: 'generate' };

/** Clients of a server send these options under OpenAI's and vLLM's names. */
const wired = ['generate', 'score'];

/** The comment of each option object of the schema. */
export function commentsOf(schemaTables, source) {
  const file = ts.createSourceFile('schema.ts', source, ts.ScriptTarget.Latest, true);
  const comments = new Map();
  const visit = (node) => {
    if (ts.isVariableDeclaration(node) && node.initializer && ts.isObjectLiteralExpression(node.initializer)) {
      for (const property of node.initializer.properties) {
        const [comment] = property.jsDoc ?? [];
        const option = schemaTables[node.name.text]?.[property.name?.text];
        if (comment && option) comments.set(`${node.name.text}.${property.name.text}`, textOf(comment));
      }
    }
    ts.forEachChild(node, visit);
  };
  visit(file);
  return comments;
}

function textOf(comment) {
  const text = ts.getTextOfJSDocComment(comment.comment) ?? '';
  return text.replaceAll(/\{@link ([^}]+)\}/g, '`$1`').replaceAll(/\s+/g, ' ');
}

/** The comment of an option, from its own table or from the table that includes it. */
export function commentOf(tables, comments, table, name) {
  const option = tables[table][name];
  const own = comments.get(`${table}.${name}`);
  if (own !== undefined) return own;
  const other = Object.keys(tables).find((key) => tables[key][name] === option && comments.has(`${key}.${name}`));
  return comments.get(`${other}.${name}`) ?? '';
}

/**
 * The correct contents of docs/API.md: its own introduction, and the tables after a marker. `tables` are the exports of
 * lib/options/schema.ts.
 */
export function apiDocument(tables, { api, source }) {
  const comments = commentsOf(tables, source);
  const tableOf = (call) => Object.keys(tables).find((key) => tables[key] === tables.optionSchema[call]);
  const sections = Object.entries(calls).map(([call, signatures]) => {
    const table = tableOf(call);
    const columns = ['option', 'value', 'default', 'meaning', 'flag', ...(wired.includes(call) ? ['wire'] : [])];
    const base = extended[call];
    const options = Object.entries(tables[table]).filter(([name]) => !(name in (tables.optionSchema[base] ?? {})));
    const rows = options.map(([name, option]) => cellsOf(name, option, commentOf(tables, comments, table, name)));
    const lines = [columns, columns.map(() => '---'), ...rows].map((cells) => row(cells.slice(0, columns.length)));
    const others = base ? [`All options of ${code(calls[base][0])}, and:`, ''] : [];
    return [`### ${signatures.map(code).join(', ')}`, '', ...others, ...lines, ''].join('\n');
  });
  return api.replace(/(<!-- options[^>]*-->\n)[\s\S]*/, (_, start) => `${start}\n${sections.join('\n')}`);
}

function cellsOf(name, option, comment) {
  const meaning = comment.replace(/ ?Default: .*$/, '');
  return [code(name), option.expectation, defaultOf(option), meaning, flagOf(name, option), wireOf(name, option)];
}

function row(cells) {
  return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
}

function defaultOf({ default: value, otherwise = '' }) {
  if (value === undefined) return otherwise;
  return Array.isArray(value) ? value.join(', ') : typeof value === 'string' ? `'${value}'` : `${value}`;
}

function flagOf(name, { help, short, env, formerFlag }) {
  if (help === undefined) return '';
  const long = `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
  const flag = short ? `${code(short)}, ${code(long)}` : code(long);
  return [flag, env && `variable ${code(env)}`, formerFlag && `formerly ${code(formerFlag)}`]
    .filter(Boolean)
    .join('; ');
}

function wireOf(name, { kind }) {
  return kind === 'function' ? '' : code(name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`));
}

function code(text) {
  return `\`${text}\``;
}

const paths = { api: join(root, 'docs/API.md'), source: join(root, 'lib/options/schema.ts') };

/** The texts that the document is generated from. */
export function sources() {
  return { api: readFileSync(paths.api, 'utf8'), source: readFileSync(paths.source, 'utf8') };
}

if (process.argv[1] && import.meta.url === pathToFileURL(resolve(process.argv[1])).href) {
  const tables = await import(pathToFileURL(join(root, 'dist/lib/options/schema.js')).href);
  writeFileSync(paths.api, apiDocument(tables, sources()));
}
