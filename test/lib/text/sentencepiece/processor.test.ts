import fs from 'node:fs';
import { expect, it, vi } from 'vitest';
import { Tokenizer } from '../../../../lib/text/tokenizer.js';
import { smallModel } from '../tokenizer-cases.js';

it('starts the library where there are no devices', async () => {
  const readFileSync = fs.readFileSync;
  const spy = vi.spyOn(fs, 'readFileSync').mockImplementation((path, options) => {
    if (String(path).startsWith('/dev/')) throw Object.assign(new Error(`ENOENT: ${path}`), { code: 'ENOENT' });
    return readFileSync(path, options);
  });
  const tokenizer = await Tokenizer.load(smallModel).finally(() => spy.mockRestore());
  expect(tokenizer.decode(tokenizer.encode('Once upon a time'))).toBe('Once upon a time');
});
