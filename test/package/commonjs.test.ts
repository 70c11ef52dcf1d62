import { createRequire } from 'node:module';
import { expect, it } from 'vitest';
import * as library from '../../lib/index.js';

it('the library for `require` has the same exports, and errors of both are a GrokError of both', () => {
  const required: typeof library = createRequire(import.meta.url)('../../dist/cjs/lib/index.js');
  expect(Object.keys(required).sort()).toEqual(Object.keys(library).sort());
  expect(required.version).toBe(library.version);
  const [one, other] = [required, library].map(
    ({ GrokError }) => new GrokError('the queue is full', { code: 'GROK_BUSY' }),
  );
  expect(one).toBeInstanceOf(library.GrokError);
  expect(other).toBeInstanceOf(required.GrokError);
  expect(new Error('the queue is full')).not.toBeInstanceOf(required.GrokError);
});
