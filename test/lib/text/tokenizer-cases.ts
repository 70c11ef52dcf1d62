import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { packageRoot } from '../../../lib/package-root.js';

/** The tokenizer that comes with the tests: 4,096 pieces, made as Grok-1's is. */
export const smallModel = join(packageRoot, 'test', 'fixtures', 'tokenizer', 'tiny.model');

const shared = join(packageRoot, '..', 'shared', 'tokenizer');

/** xAI's own tokenizer and the cases made with it, where they are at hand; else undefined, said aloud. */
export const grokModel = existsSync(join(shared, 'tokenizer.model')) ? join(shared, 'tokenizer.model') : undefined;
if (!grokModel) console.warn('SKIPPED: the tests of xAI’s tokenizer need ../shared/tokenizer/tokenizer.model');

export async function readCases<Case>(name: 'cases' | 'decode' | 'incremental'): Promise<Case[]> {
  return JSON.parse(await readFile(join(shared, `${name}.json`), 'utf8')) as Case[];
}
