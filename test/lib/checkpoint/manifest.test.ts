import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { findManifest, formatManifest, manifestState, parseManifest } from '../../../lib/checkpoint/manifest.js';

const HASH = 'ab'.repeat(32);

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'grok-manifest-'));
});

const parse = (text: string) => parseManifest(text, '/m/SHA256SUMS');

describe('parseManifest', () => {
  it.each([
    ['a list of no file', '\n# size 3 a\n', 'expected a line for each file, found none'],
    ['a line that is no hash', 'hello', 'line 1: expected 64 hexadecimal digits'],
    ['a hash cut short', `${HASH}  a\n${HASH.slice(1)}  b`, 'line 2'],
    ['a hash without a name', `${HASH}  `, 'line 1'],
    ['a name above the folder', `${HASH}  ../../etc/passwd`, 'found "../../etc/passwd"'],
    ['a name from the root', `${HASH}  /etc/passwd`, 'found "/etc/passwd"'],
    ['a name that goes up in its middle', `${HASH}  a/../../b`, 'found "a/../../b"'],
    ['an escaped name above the folder', `\\${HASH}  ../a\\nb`, 'line 1'],
  ])('refuses %s', (_, text, message) => {
    expect(() => parse(text)).toThrow(message);
    expect(() => parse(text)).toThrow(expect.objectContaining({ code: 'GROK_BAD_CHECKPOINT' }));
  });

  it('reads what sha256sum writes: binary marks, upper case, "../", comments, empty lines and CRLF', () => {
    expect(parse(`# by hand\r\n\r\n${HASH.toUpperCase()} *./a b\r\n`)).toEqual([
      { name: 'a b', sha256: HASH, sizeBytes: undefined },
    ]);
  });

  it('reads back every name that was written', () => {
    const entries = [
      'a',
      'ckpt-0/tensor00000_000',
      'with space ',
      'line\nbreak',
      'back\\slash',
      'back\\nslash',
      '# b',
    ].map((name, index) => ({ name, sha256: HASH, sizeBytes: 2 ** 40 + index }));
    expect(parse(formatManifest(entries))).toEqual(entries);
  });

  it('is written so that sha256sum --check --strict takes it', () => {
    const sha256 = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'; // of nothing
    const names = ['a', 'b c', 'd\\e', 'f\ng'];
    for (const name of names) writeFileSync(join(root, name), '');
    writeFileSync(join(root, 'SHA256SUMS'), formatManifest(names.map((name) => ({ name, sha256, sizeBytes: 0 }))));
    execFileSync('sha256sum', ['--check', '--strict', '--quiet', 'SHA256SUMS'], { cwd: root });
  });
});

describe('findManifest', () => {
  const place = (folder: string, text: string) => {
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'SHA256SUMS'), text);
  };

  it('takes the nearest of the folder and the two above that lists files of the checkpoint', async () => {
    const checkpoint = join(root, 'xai', 'checkpoints', 'ckpt-0');
    mkdirSync(checkpoint, { recursive: true });
    expect(await findManifest(checkpoint)).toBeUndefined();
    place(join(root, 'xai'), `${HASH}  checkpoints/ckpt-0/tensor00000_000\n`);
    for (const path of [checkpoint, join(root, 'xai', 'checkpoints'), join(root, 'xai')])
      expect((await findManifest(path))?.path).toBe(join(root, 'xai', 'SHA256SUMS'));
    place(join(root, 'xai', 'checkpoints'), `${HASH}  other/file\nnonsense\n`); // of something else
    expect((await findManifest(checkpoint))?.path).toBe(join(root, 'xai', 'SHA256SUMS'));
    place(checkpoint, `${HASH}  tensor00000_000\n`);
    expect((await findManifest(checkpoint))?.path).toBe(join(checkpoint, 'SHA256SUMS'));
  });

  it('finds the one beside a file', async () => {
    place(root, `${HASH}  model.safetensors\n`);
    writeFileSync(join(root, 'model.safetensors'), '');
    expect((await findManifest(join(root, 'model.safetensors')))?.entries).toHaveLength(1);
  });

  it.each(['a folder', 'a pipe', 'too large'])('refuses %s without waiting', async (kind) => {
    const path = join(root, 'SHA256SUMS');
    if (kind === 'a folder') mkdirSync(path);
    else if (kind === 'a pipe') execFileSync('mkfifo', [path]);
    else execFileSync('truncate', ['-s', '1T', path]);
    await expect(findManifest(root)).rejects.toMatchObject({ code: 'GROK_IO' });
    expect((await manifestState(root))?.problems[0]).toContain('expected a file of at most');
  });

  it('tells of a link to nothing, which is not the same as no manifest', async () => {
    symlinkSync('../blobs/gone', join(root, 'SHA256SUMS'));
    await expect(findManifest(root)).rejects.toMatchObject({
      code: 'GROK_NOT_FOUND',
      message: expect.stringContaining('a link to ../blobs/gone, which is missing'),
    });
  });
});

describe('manifestState', () => {
  it('tells files that are missing or of another size, and no others', async () => {
    writeFileSync(join(root, 'same'), 'abc');
    writeFileSync(join(root, 'longer'), 'abcd');
    const entries = ['same', 'longer', 'gone'].map((name) => ({ name, sha256: HASH, sizeBytes: 3 }));
    writeFileSync(join(root, 'SHA256SUMS'), `${formatManifest(entries)}${HASH}  unknown size\n`);
    writeFileSync(join(root, 'unknown size'), '');
    expect(await manifestState(root)).toEqual({
      path: join(root, 'SHA256SUMS'),
      problems: ['longer: expected 3 bytes, found 4', 'gone: missing'],
    });
  });

  it('tells a manifest that cannot be understood, and is null where there is none', async () => {
    expect(await manifestState(root)).toBeNull();
    writeFileSync(join(root, 'SHA256SUMS'), 'nonsense');
    expect((await manifestState(root))?.problems[0]).toContain('line 1: expected 64 hexadecimal digits');
  });
});
