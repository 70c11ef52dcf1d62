import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { type AnyOption, snakeCase } from '../../../lib/options/option.js';
import { samplingOptions } from '../../../lib/options/schema.js';

const constants: Readonly<Record<string, number>> = { kMostFloat: 3.4e38, kLeastFloat: 1e-38, kMostInt32: 2 ** 31 - 1 };
const numberOf = (text: string) => constants[text] ?? Number(text);

/** The rows of the native list. */
const native = [
  ...readFileSync('native/backend/sampling_options.inc', 'utf8').matchAll(
    /^OPTION\(([\w:]+), (\w+), (\S+), (\S+), (\S+), \w+\)/gm,
  ),
].map(([, type, name = '', neutral = '', smallest = '', largest = '']) => ({
  kind: type === 'float' ? 'number' : 'integer',
  name,
  ...{ neutral: numberOf(neutral), smallest: numberOf(smallest), largest: numberOf(largest) },
}));

describe('sampling options of native/backend/sampling_options.inc', () => {
  it('have the names of the schema', () => {
    expect(native.map(({ name }) => name).sort()).toEqual(Object.keys(samplingOptions).map(snakeCase).sort());
  });

  it.each(Object.entries<AnyOption>(samplingOptions))(
    'have the type, neutral value and range of %s',
    (name, option) => {
      const row = native.find((other) => other.name === snakeCase(name));
      if (!row) throw new Error(`no row for ${name}`);
      expect(row).toMatchObject({ kind: option.kind, neutral: option.neutral ?? option.default });
      const take = (value: number) => option.check(name, value, { vocabSize: 0 });
      const beyond = (value: number) => (option.kind === 'integer' ? 1 : Math.abs(value) / 100 || 1e-40);
      expect([take(row.smallest), take(row.largest)]).toEqual([row.smallest, row.largest]);
      expect(() => take(row.smallest - beyond(row.smallest))).toThrow();
      expect(() => take(row.largest + beyond(row.largest))).toThrow();
    },
  );
});
