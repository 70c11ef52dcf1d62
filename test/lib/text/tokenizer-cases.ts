import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { packageRoot } from '../../../lib/package-root.js';

/** The tokenizer of the tests: 4,096 pieces, made like Grok-1's. */
export const smallModel = join(packageRoot, 'test', 'fixtures', 'tokenizer', 'tiny.model');

const shared = join(packageRoot, '..', 'shared', 'tokenizer');

/** xAI's own tokenizer and the cases made with it, if they are at hand; otherwise undefined, with a message. */
export const grokModel = existsSync(join(shared, 'tokenizer.model')) ? join(shared, 'tokenizer.model') : undefined;
if (!grokModel) console.warn('SKIPPED: the tests of xAI’s tokenizer need ../shared/tokenizer/tokenizer.model');

export async function readCases<Case>(name: 'cases' | 'decode' | 'incremental'): Promise<Case[]> {
  return JSON.parse(await readFile(join(shared, `${name}.json`), 'utf8')) as Case[];
}
