import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadNative } from '../../lib/addon/loader.js';
import { packageRoot } from '../../lib/package-root.js';

/** A small network made by xAI's code, without a tokenizer: vocabulary 512, context 128. */
export const withoutTokenizer = join(packageRoot, 'test', 'fixtures', 'golden', 'ref-small');

/** A trained model with its tokenizer: the embedded one, or the prototype of its recipe; undefined when there is neither. */
export function findTrainedModel(): string | undefined {
  const embedded = join(packageRoot, 'models', 'grok-tiny');
  if (existsSync(join(embedded, 'ckpt-0'))) return embedded;
  const archive = join(packageRoot, '..', 'shared', 'tiny-model', 'prototype-m-2.2Mtok.tar.xz');
  if (!existsSync(archive)) return undefined;
  const directory = mkdtempSync(join(tmpdir(), 'grok-prototype-'));
  execFileSync('tar', ['xJf', archive, '-C', directory]);
  return join(directory, 'prototype-m-2.2Mtok');
}

/** Whether the addon is built; says so aloud when it is not. */
export function addonIsBuilt(): boolean {
  try {
    loadNative();
    return true;
  } catch (error) {
    console.warn(`SKIPPED: these tests need the addon (npm run build:native): ${(error as Error).message}`);
    return false;
  }
}
