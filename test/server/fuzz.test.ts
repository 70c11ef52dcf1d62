import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

it('answers hostile requests only as documented, for 20 seconds', { timeout: 120_000 }, async () => {
  const { stdout } = await promisify(execFile)(process.execPath, ['test/fuzz/http.mjs', '--seconds', '20']);
  expect(stdout).toMatch(/^\d+ requests in 20 s/);
});
