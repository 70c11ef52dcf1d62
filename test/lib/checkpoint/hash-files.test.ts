import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { appendFileSync, mkdirSync, mkdtempSync, renameSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { Abort } from '../../../lib/abort.js';
import { hashFiles } from '../../../lib/checkpoint/hash-files.js';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'grok-hash-'));
});

/** A file of zeros that takes no disk space. */
function sparse(name: string, sizeBytes: number): string {
  const path = join(root, name);
  writeFileSync(path, '');
  truncateSync(path, sizeBytes);
  return path;
}

describe('hashFiles', () => {
  it('tells what cannot be hashed, waits for nothing, and hashes the others', async () => {
    const at = (name: string) => join(root, name);
    mkdirSync(at('folder'));
    execFileSync('mkfifo', [at('pipe')]);
    symlinkSync('gone', at('dangling'));
    symlinkSync('empty', at('link'));
    writeFileSync(at('empty'), '');
    const names = ['folder', 'pipe', 'dangling', 'missing', 'link'];
    expect(await hashFiles([...names.map(at), '/dev/zero'])).toMatchObject([
      { problem: 'not a regular file' },
      { problem: 'not a regular file' },
      { code: 'ENOENT' },
      { code: 'ENOENT' },
      { sizeBytes: 0, sha256: createHash('sha256').digest('hex') },
      { problem: 'not a regular file' },
    ]);
  });

  it.each([
    ['grows', (path: string) => appendFileSync(path, 'more')],
    ['is cut short', (path: string) => truncateSync(path, 100)],
    ['is replaced', (path: string) => renameSync(sparse('other', 2 ** 26), path)],
  ])('gives no hash of a file that %s while it is read', async (_, change) => {
    const path = sparse('large', 2 ** 26);
    let changes = 0;
    const results = await hashFiles([path], { onBytes: () => void (changes++ === 0 && change(path)) });
    expect(results).toEqual([{ problem: 'changed while it was read' }]);
  });

  it('rejects with the reason of its signal, at the start and in the middle of a file', async () => {
    const reason = new Error('enough');
    await expect(hashFiles([], { signal: Abort.of(AbortSignal.abort(reason)) })).rejects.toBe(reason);
    const controller = new AbortController();
    const path = sparse('endless', 2 ** 40);
    const hashing = hashFiles([path], { signal: Abort.of(controller.signal), onBytes: () => controller.abort(reason) });
    await expect(hashing).rejects.toBe(reason);
  });

  it('hashes more files than it has threads, in order, and counts every byte', async () => {
    const contents = [(4 << 20) + 1, 0, 1, 4 << 20, 100].flatMap((size) => [0, 1, 2, 3].map(() => randomBytes(size)));
    const paths = contents.map((content, index) => {
      writeFileSync(join(root, `${index}`), content);
      return join(root, `${index}`);
    });
    const counted: number[] = [];
    const results = await hashFiles(paths, { onBytes: (count) => counted.push(count) });
    expect(results).toEqual(
      contents.map((content) => ({
        sizeBytes: content.length,
        sha256: createHash('sha256').update(content).digest('hex'),
      })),
    );
    const sumOf = (sizes: readonly number[]) => sizes.reduce((sum, size) => sum + size, 0);
    expect(sumOf(counted)).toBe(sumOf(contents.map(({ length }) => length)));
    expect(await hashFiles([])).toEqual([]);
  });
});
