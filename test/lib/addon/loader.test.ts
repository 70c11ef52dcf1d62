import { describe, expect, it } from 'vitest';
import { diagnose } from '../../../lib/addon/diagnosis.js';
import { loadNative } from '../../../lib/addon/loader.js';
import { grokErrorCodes } from '../../../lib/errors.js';
import { addonIsBuilt } from '../checkpoints.js';

describe.skipIf(!addonIsBuilt())('the addon', () => {
  it('knows no error code that the library does not', () => {
    for (const code of loadNative().errorCodes()) expect(grokErrorCodes).toContain(code);
  });

  it('says what it is', () => {
    expect(diagnose()).toMatchObject({ binary: expect.stringMatching(/\.node$/), cudaUnavailable: expect.any(String) });
    expect(diagnose().cpuIsas.at(-1)).toBe('portable');
  });
});
