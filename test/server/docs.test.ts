import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { Grok } from '../../lib/index.js';
import { routes } from '../../server/app.js';
import { errorKinds } from '../../server/http/http-error.js';
import { createHandler, limits } from '../../server/index.js';
import { chatFields, unsupportedChatFields } from '../../server/openai/chat-request.js';
import { completionFields, unsupportedCompletionFields } from '../../server/openai/completion-request.js';
import { passedOn } from '../../server/openai/sampling.js';

const document = readFileSync('docs/SERVER.md', 'utf8');

/** The cells of each row of the table below a title. */
function rowsOf(title: string): string[][] {
  const section = document.split(/^## /m).find((part) => part.startsWith(`${title}\n`)) ?? '';
  const lines = section.split('\n').filter((line) => line.startsWith('|'));
  return lines.slice(2).map((line) =>
    line
      .slice(1, -1)
      .split('|')
      .map((cell) => cell.trim().replaceAll('`', '')),
  );
}

const sorted = (names: Iterable<string>) => [...names].sort();

it('docs/SERVER.md has each route', () => {
  const documented = rowsOf('Routes').map(([method, path]) => `${method} ${path}`);
  expect(sorted(documented)).toEqual(
    sorted(routes.map(({ method, path }) => `${method} ${path.replace(':id{.+}', '{id}')}`)),
  );
});

it('docs/SERVER.md has each field, by the routes that take it', () => {
  const rows = rowsOf('Fields of a request');
  const taking = (column: number) => sorted(rows.filter((row) => row[column] === '✓').map(([name = '']) => name));
  expect(taking(1)).toEqual(sorted(new Set([...completionFields, ...Object.keys(passedOn)])));
  expect(taking(2)).toEqual(sorted(new Set([...chatFields, ...Object.keys(passedOn)])));
});

it('docs/SERVER.md names each field that is refused', () => {
  for (const name of Object.keys({ ...unsupportedCompletionFields, ...unsupportedChatFields }))
    expect(document).toContain(`\`${name}\``);
});

it('docs/SERVER.md has each error and its status', () => {
  expect(rowsOf('Errors').map(([code, status]) => [code, Number(status)])).toEqual(
    Object.entries(errorKinds).map(([code, { status }]) => [code, status]),
  );
});

it('docs/SERVER.md has each limit, its default and its meaning', () => {
  expect(rowsOf('Limits')).toEqual(
    Object.entries(limits).map(([name, limit]) => [name, `${limit.default}`, limit.help]),
  );
});

it('docs/SERVER.md has each metric, its kind and its meaning', async () => {
  await using grok = await Grok.load();
  const handler = createHandler(grok);
  const text = await (await handler(new Request('http://localhost/metrics'))).text();
  const kinds = [...text.matchAll(/^# TYPE (grok_run_\w+) (\w+)$/gm)].map(([, name, kind]) => `${name} ${kind}`);
  expect(kinds.length).toBeGreaterThan(10);
  expect(sorted(rowsOf('Metrics').map(([name, kind]) => `${name} ${kind}`))).toEqual(sorted(kinds));
  const helps = [...text.matchAll(/^# HELP grok_run_\w+ (.*)$/gm)].map(([, help]) => help?.toLowerCase());
  expect(sorted(rowsOf('Metrics').map(([, , meaning = '']) => meaning.toLowerCase()))).toEqual(
    sorted(helps as string[]),
  );
});
