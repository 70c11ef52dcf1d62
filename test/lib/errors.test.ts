import { describe, expect, it } from 'vitest';
import { callNative, describeValue, GrokError, invalidArgument } from '../../lib/errors.js';

describe('callNative', () => {
  it('keeps code, message and hint of a native error, and shows who called', async () => {
    const native = Object.assign(new Error('layer 3 router: expected [256, 8], found [256, 4]'), {
      code: 'GROK_BAD_CHECKPOINT',
      hint: 'download it again',
    });
    native.stack = 'Error: layer 3';
    async function theCaller() {
      await callNative(async () => {
        await new Promise((resolve) => setImmediate(resolve));
        throw native;
      });
    }
    const error = await theCaller().catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(GrokError);
    expect(error).toMatchObject({
      code: 'GROK_BAD_CHECKPOINT',
      message: native.message,
      hint: 'download it again',
      cause: native,
    });
    expect((error as Error).stack).toContain('theCaller');
  });

  it('passes on what is not an error of the addon as it is', async () => {
    for (const thrown of [
      new TypeError('a bug'),
      Object.assign(new Error('x'), { code: 'ENOENT' }),
      'text',
      undefined,
    ]) {
      await expect(callNative(() => Promise.reject(thrown))).rejects.toBe(thrown);
    }
  });

  it('leaves out a hint that says nothing', async () => {
    const native = { code: 'GROK_INTERNAL', message: 'broken', hint: '' };
    const error = await callNative(() => Promise.reject(native)).catch((caught: unknown) => caught);
    expect(error).toMatchObject({ code: 'GROK_INTERNAL', message: 'broken' });
    expect(error).not.toHaveProperty('hint');
  });
});

describe('invalidArgument', () => {
  it('says what was expected and what was found', () => {
    expect(invalidArgument('temperature', 'a number ≥ 0', -1)).toMatchObject({
      name: 'GrokError',
      code: 'GROK_INVALID_ARGUMENT',
      message: 'Expected `temperature` to be a number ≥ 0, got -1 (number)',
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
