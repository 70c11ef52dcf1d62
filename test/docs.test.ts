import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import type { SchemaOption } from '../lib/index.js';
import * as tables from '../lib/options/schema.js';
import { commentOf, commentsOf, documents, sources } from '../scripts/write-docs.mjs';

it('README.md and docs/API.md are as the schema of options says; `npm run docs` writes them', () => {
  const { readme, api } = documents(tables, sources());
  expect(readFileSync('docs/API.md', 'utf8')).toBe(api);
  expect(readFileSync('README.md', 'utf8')).toBe(readme);
});

it('each option has a comment, which names its default', () => {
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
