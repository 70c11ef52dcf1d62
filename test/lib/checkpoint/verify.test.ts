import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { inspect } from '../../../lib/checkpoint/inspection.js';
import { verify } from '../../../lib/checkpoint/verify.js';
import { addonIsBuilt, withoutTokenizer } from '../checkpoints.js';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'grok-verify-'));
});

/** A checkpoint with its manifest. */
async function sealed(): Promise<string> {
  cpSync(withoutTokenizer, root, { recursive: true });
  await verify(root, { write: true });
  return root;
}

const wrong = async (path: string) => (await verify(path)).files.filter(({ status }) => status !== 'ok');

describe.skipIf(!addonIsBuilt())('verify', () => {
  it('refuses bad options, and says how to make the manifest that is missing', async () => {
    await expect(verify(root, { writ: true } as object)).rejects.toMatchObject({ code: 'GROK_INVALID_ARGUMENT' });
    await expect(verify(root, { write: 1 as never })).rejects.toMatchObject({ code: 'GROK_INVALID_ARGUMENT' });
    await expect(verify(root, { onProgress: 1 as never })).rejects.toMatchObject({ code: 'GROK_INVALID_ARGUMENT' });
    await expect(verify(root)).rejects.toMatchObject({
      code: 'GROK_NOT_FOUND',
      hint: expect.stringContaining('--write'),
    });
    const reason = new Error('enough');
    await expect(verify(root, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });

  it('writes no manifest of a checkpoint that cannot be loaded, and replaces none without `force`', async () => {
    await expect(verify(root, { write: true })).rejects.toMatchObject({ code: 'GROK_NOT_FOUND' });
    const manifest = join(await sealed(), 'SHA256SUMS');
    writeFileSync(manifest, 'precious');
    await expect(verify(root, { write: true })).rejects.toMatchObject({ code: 'GROK_INVALID_ARGUMENT' });
    expect(readFileSync(manifest, 'utf8')).toBe('precious');
    expect((await verify(root, { write: true, force: true })).manifest).toBe(manifest);
    expect((await verify(root)).ok).toBe(true);
  });

  it('lists all that a checkpoint is loaded from, and nothing beside it, as sha256sum does', async () => {
    cpSync(withoutTokenizer, root, { recursive: true });
    writeFileSync(join(root, 'README.md'), '');
    writeFileSync(join(root, 'generation_config.json'), '{}');
    const { manifest, files } = await verify(join(root, 'ckpt-0'), { write: true });
    expect(manifest).toBe(join(root, 'SHA256SUMS'));
    const names = files.map(({ name }) => name);
    expect(names).toContain('ckpt-0/tensor00000_000');
    expect(names.filter((name) => !name.startsWith('ckpt-0/'))).toEqual(['config.json', 'generation_config.json']);
    execFileSync('sha256sum', ['--check', '--strict', '--quiet', 'SHA256SUMS'], { cwd: root });
  });

  it('tells every file that is not as it was, in its own words', async () => {
    await sealed();
    const at = (number: number) => join(root, 'ckpt-0', `tensor0000${number}_000`);
    const bytes = readFileSync(at(0));
    bytes[bytes.length - 9] = (bytes[bytes.length - 9] ?? 0) ^ 1; // one bit
    writeFileSync(at(0), bytes);
    truncateSync(at(1), 100);
    rmSync(at(2));
    rmSync(at(3));
    symlinkSync('../blobs/gone', at(3));
    rmSync(at(4));
    mkdirSync(at(4));
    writeFileSync(join(root, 'ckpt-0', 'tensor00999_000'), '');
    writeFileSync(join(root, 'tokenizer.model'), '');
    writeFileSync(join(root, 'ckpt-0', 'notes.txt'), '');
    expect(await wrong(root)).toEqual([
      expect.objectContaining({ name: 'ckpt-0/tensor00000_000', status: 'differs', sizeBytes: bytes.length }),
      expect.objectContaining({ status: 'differs', problem: expect.stringMatching(/^expected \d+ bytes, found 100$/) }),
      { name: 'ckpt-0/tensor00002_000', status: 'missing', problem: 'no such file' },
      { name: 'ckpt-0/tensor00003_000', status: 'missing', problem: 'a link to ../blobs/gone, which is missing' },
      { name: 'ckpt-0/tensor00004_000', status: 'unreadable', problem: 'not a regular file' },
      { name: 'ckpt-0/tensor00999_000', status: 'extra', problem: 'not in SHA256SUMS' },
      { name: 'tokenizer.model', status: 'extra', problem: 'not in SHA256SUMS' },
    ]);
  });

  it('tells every file that would be loaded and that no line lists, in whatever folder it lies', async () => {
    const manifest = join(await sealed(), 'SHA256SUMS');
    writeFileSync(manifest, readFileSync(manifest, 'utf8').replace(/^(# size \d+|[0-9a-f]+ ) ckpt-0.*\n/gm, ''));
    const { ok, files } = await verify(root);
    expect(ok).toBe(false);
    expect(files).toContainEqual({ name: 'ckpt-0/tensor00000_000', status: 'extra', problem: 'not in SHA256SUMS' });
    expect(files.filter(({ status }) => status === 'ok')).toMatchObject([{ name: 'config.json' }]);
  });

  it('tells that nothing is there, rather than no manifest', async () => {
    await expect(verify(join(root, 'gone'))).rejects.toThrow('gone: no such file or directory');
  });

  it.each(['a pipe', 'a link to nothing', 'a file'])('replaces %s when told to, and not before', async (kind) => {
    cpSync(withoutTokenizer, root, { recursive: true });
    const manifest = join(root, 'SHA256SUMS');
    if (kind === 'a pipe') execFileSync('mkfifo', [manifest]);
    else if (kind === 'a file') writeFileSync(manifest, '');
    else symlinkSync('gone', manifest);
    await expect(verify(root, { write: true })).rejects.toThrow(`Expected no file ${manifest}, found one`);
    await verify(root, { write: true, force: true });
    expect((await verify(root)).ok).toBe(true);
  });

  it('keeps the manifest that is there when the new one cannot be written', async () => {
    const manifest = join(await sealed(), 'SHA256SUMS');
    const before = readFileSync(manifest, 'utf8');
    mkdirSync(`${manifest}.part`);
    await expect(verify(root, { write: true, force: true })).rejects.toMatchObject({ code: 'GROK_IO' });
    expect(readFileSync(manifest, 'utf8')).toBe(before);
  });

  it.skipIf(process.getuid?.() === 0)('tells a file that this user may not read', async () => {
    await sealed();
    chmodSync(join(root, 'config.json'), 0);
    expect(await wrong(root)).toMatchObject([{ name: 'config.json', status: 'unreadable' }]);
  });

  it('verifies files that are links to others, as Hugging Face lays them out', async () => {
    const blobs = join(root, 'blobs');
    const snapshot = join(root, 'snapshot');
    cpSync(withoutTokenizer, blobs, { recursive: true });
    mkdirSync(snapshot);
    for (const name of ['ckpt-0', 'config.json']) symlinkSync(join(blobs, name), join(snapshot, name));
    await verify(snapshot, { write: true });
    expect((await verify(snapshot)).ok).toBe(true);
    truncateSync(join(blobs, 'config.json'), 1);
    expect(await wrong(snapshot)).toMatchObject([{ name: 'config.json', status: 'differs' }]);
  });

  it('reports each byte that it reads', async () => {
    await sealed();
    const seen: { hashedBytes: number; totalBytes: number; file: string }[] = [];
    const { hashedBytes } = await verify(root, { onProgress: (progress) => seen.push(progress) });
    expect(seen.at(-1)).toMatchObject({ hashedBytes, totalBytes: hashedBytes });
    expect(seen.some(({ file }) => file === 'ckpt-0/tensor00000_000')).toBe(true);
  });

  it('is told by inspect: no manifest, one that fits, one of other sizes', async () => {
    cpSync(withoutTokenizer, root, { recursive: true });
    expect((await inspect(root)).manifest).toBeNull();
    await verify(root, { write: true });
    expect((await inspect(root)).manifest).toEqual({ path: join(root, 'SHA256SUMS'), problems: [] });
    writeFileSync(join(root, 'config.json'), `${readFileSync(join(root, 'config.json'))}\n\n`);
    expect((await inspect(root)).manifest?.problems).toEqual([
      expect.stringMatching(/^config.json: expected \d+ bytes/),
    ]);
  });
});
