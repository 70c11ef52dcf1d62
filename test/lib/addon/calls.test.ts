import { describe, expect, it } from 'vitest';
import { callNative } from '../../../lib/addon/calls.js';
import { GrokError } from '../../../lib/errors.js';

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
