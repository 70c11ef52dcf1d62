import { describe, expect, it } from 'vitest';
import { describeValue, invalidArgument } from '../../lib/errors.js';

describe('invalidArgument', () => {
  it('says what was expected and what was found', () => {
    expect(invalidArgument('temperature', 'a number ≥ 0', -1)).toMatchObject({
      name: 'GrokError',
      code: 'GROK_INVALID_ARGUMENT',
      message: 'Expected `temperature` to be a number ≥ 0, found -1 (number)',
      details: { name: 'temperature' },
    });
  });

  it.each([
    [undefined, 'undefined'],
    [null, 'null'],
    ['x'.repeat(1000), `"${'x'.repeat(40)}…" (string)`],
    [[1, 2], 'an array of 2'],
    [{}, 'an object (Object)'],
    [Object.create(null), 'an object (no prototype)'],
    [() => 1, 'a function'],
    [10n, '10 (bigint)'],
    [Symbol('s'), 'Symbol(s) (symbol)'],
  ])('describes %s in one short line', (value, description) => {
    expect(describeValue(value)).toBe(description);
  });
});
