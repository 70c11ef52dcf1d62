import { lstat, readdir, readlink, rename, rm, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, join, relative, resolve } from 'node:path';
import type { Abort } from '../abort.js';
import { GrokError } from '../errors.js';
import { resolveOptions } from '../options/resolve.js';
import { type VerifyOptions, verifyOptions } from '../options/schema.js';
import { type FileHash, type HashProblem, hashFiles } from './hash-files.js';
import { type Inspection, inspect, sourcePath } from './inspection.js';
import { findManifest, formatManifest, type Manifest, manifestName } from './manifest.js';

/** SHA-256 of Grok-1's tokenizer.model in github.com/xai-org/grok-1. No other hash of Grok-1's files is published. */
export const publishedTokenizer = '5c69d7cbad192fa2c9d14e2a77fbfdc11597c68907b043ddb0260e3d28eddd7f';

export interface VerifyProgress {
  readonly hashedBytes: number;
  readonly totalBytes: number;
  /** The file being read, relative to the manifest's folder. */
  readonly file: string;
}

export interface VerifiedFile {
  /** Relative to the manifest's folder. */
  readonly name: string;
  /** `'extra'`: loading would use a file that the manifest does not list. */
  readonly status: 'ok' | 'differs' | 'missing' | 'extra' | 'unreadable';
  /** Present if the file was read. */
  readonly sha256?: string;
  readonly sizeBytes?: number;
  /** The difference, in words. */
  readonly problem?: string;
}

export interface Verification {
  /** Path of the manifest. */
  readonly manifest: string;
  /** Every file matches the manifest. */
  readonly ok: boolean;
  readonly files: readonly VerifiedFile[];
  /** Number of bytes read. */
  readonly hashedBytes: number;
}

export async function verify(source?: string, options?: VerifyOptions): Promise<Verification> {
  const path = resolve(sourcePath(source));
  const { write, force, ...run } = resolveOptions(verifyOptions, options);
  run.signal?.throwIfAborted();
  if (write) return await writeManifest(path, force, run);
  const manifest = await findManifest(path);
  if (manifest) return await compare(path, manifest, run);
  if (!(await exists(path))) throw new GrokError(`${path}: no such file or directory`, { code: 'GROK_NOT_FOUND' });
  throw new GrokError(`${path}: expected a ${manifestName} beside the checkpoint, found none`, {
    code: 'GROK_NOT_FOUND',
    hint: 'Create one from files that you trust with `grok-run verify --write`. In a program, verify() takes `write`.',
  });
}

type Run = Pick<VerifyOptions, 'onProgress'> & { signal: Abort | undefined };

// ---------------------------------------------------------------- comparing

async function compare(path: string, manifest: Manifest, run: Run): Promise<Verification> {
  const folder = dirname(manifest.path);
  const hashes = await hashIn(
    folder,
    manifest.entries.map(({ name }) => name),
    run,
  );
  const files = await Promise.all(
    manifest.entries.map(async ({ name, sha256, sizeBytes }, index): Promise<VerifiedFile> => {
      const found = hashes[index] ?? { problem: 'was not read' };
      if ('problem' in found) return await unreadable(folder, name, found);
      if (found.sha256 === sha256) return { name, status: 'ok', ...found };
      const hasOtherSize = sizeBytes !== undefined && sizeBytes !== found.sizeBytes;
      const problem = hasOtherSize
        ? `expected ${sizeBytes} bytes, found ${found.sizeBytes}`
        : `expected SHA-256 ${sha256}`;
      return { name, status: 'differs', ...found, problem };
    }),
  );
  files.push(...(await extraFiles(path, folder, manifest)));
  return {
    manifest: manifest.path,
    ok: files.every(({ status }) => status === 'ok'),
    files,
    hashedBytes: files.reduce((sum, { sizeBytes = 0 }) => sum + sizeBytes, 0),
  };
}

async function unreadable(folder: string, name: string, { problem, code }: HashProblem): Promise<VerifiedFile> {
  if (code !== 'ENOENT') return { name, status: 'unreadable', problem };
  const target = await readlink(join(folder, name)).catch(() => undefined);
  return {
    name,
    status: 'missing',
    problem: target === undefined ? 'no such file' : `a link to ${target}, which is missing`,
  };
}

/** Files below `folder` that loading reads or finds by name, but that the manifest does not list. */
async function extraFiles(checkpoint: string, folder: string, { entries }: Manifest): Promise<VerifiedFile[]> {
  const listed = new Set(entries.map(({ name }) => name));
  // If the checkpoint is too damaged to open, the folders of the manifest are searched.
  const loaded = await inspect(checkpoint)
    .then(pathsOf)
    .catch(() => []);
  const lookedFor = await Promise.all(
    [...new Set(entries.map(({ name }) => dirname(name)))].map(async (inner) => {
      const names = await readdir(join(folder, inner)).catch(() => []);
      return names.filter((name) => isLookedFor(name)).map((name) => join(inner, name));
    }),
  );
  const found = new Set([...loaded.map((path) => relative(folder, path)), ...lookedFor.flat()]);
  return [...found]
    .filter((name) => !listed.has(name) && !name.startsWith('../'))
    .map((name) => ({ name, status: 'extra', problem: `not in ${manifestName}` }));
}

// ---------------------------------------------------------------- writing

async function writeManifest(path: string, force: boolean, run: Run): Promise<Verification> {
  const inspection = await inspect(path); // a checkpoint that cannot be loaded gets no manifest
  const { folder, names } = await filesOf(inspection);
  const manifest = join(folder, manifestName);
  const refuseToReplace = async () => {
    const found = !force && (await lstat(manifest).catch(() => undefined));
    if (!found) return;
    throw new GrokError(`Expected no file ${manifest}, found one`, {
      code: 'GROK_INVALID_ARGUMENT',
      hint: 'Compare with it first, without `write`, or replace it with `force`.',
    });
  };
  await refuseToReplace();
  const files = await hashAll(folder, names, run);
  // The file is written beside the manifest and then renamed, so the manifest is always complete.
  const part = `${manifest}.part`;
  try {
    await rm(part, { force: true }); // prevents waiting for a pipe and following a link
    await writeFile(part, formatManifest(files), { flag: 'wx' });
    await refuseToReplace();
    await rename(part, manifest);
  } catch (error) {
    await rm(part, { force: true }).catch(() => {}); // the first error is reported
    if (error instanceof GrokError) throw error;
    const { message } = error as NodeJS.ErrnoException;
    throw new GrokError(`${manifest}: cannot be written: ${message}`, { code: 'GROK_IO', cause: error });
  }
  return {
    manifest,
    ok: true,
    files,
    hashedBytes: files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
  };
}

/** The hashes of a checkpoint that has no manifest. */
export async function hashCheckpoint(inspection: Inspection, run: Run): Promise<VerifiedFile[]> {
  const { folder, names } = await filesOf(inspection);
  return await hashAll(folder, names, run);
}

async function hashAll(folder: string, names: readonly string[], run: Run) {
  return (await hashIn(folder, names, run)).map((found, index): FileHash & VerifiedFile => {
    const name = names[index] ?? '';
    if (!('problem' in found)) return { name, status: 'ok', ...found };
    throw new GrokError(`${join(folder, name)}: ${found.problem}`, { code: 'GROK_IO' });
  });
}

/** All files that a checkpoint is loaded from, relative to their common folder. */
async function filesOf(inspection: Inspection): Promise<{ folder: string; names: string[] }> {
  const paths = await pathsOf(inspection);
  let folder = dirname(paths[0] ?? inspection.path);
  while (paths.some((path) => !path.startsWith(join(folder, '/')))) folder = dirname(folder);
  return { folder, names: paths.map((path) => relative(folder, path)) };
}

async function pathsOf({ path: tensors, tokenizer }: Inspection): Promise<string[]> {
  const absolute = resolve(tensors);
  const isFolder = (await stat(absolute)).isDirectory();
  const folder = isFolder ? absolute : dirname(absolute);
  const paths = new Set(isFolder ? [] : [absolute]);
  for (const name of await readdir(folder)) {
    const isTensors = isFolder && (isLookedFor(name) || name.endsWith('.safetensors'));
    if (isTensors || isConfiguration(name)) paths.add(join(folder, name));
  }
  if (basename(folder) === 'ckpt-0') {
    for (const name of await readdir(dirname(folder)))
      if (isConfiguration(name)) paths.add(join(dirname(folder), name));
  }
  if (tokenizer !== '') paths.add(resolve(tokenizer));
  return [...paths].sort();
}

const configurations: readonly string[] = ['config.json', 'generation_config.json', 'tokenizer.model'];

function isConfiguration(name: string): boolean {
  return configurations.includes(name);
}

/** Whether loading finds such a file by its name. */
function isLookedFor(name: string): boolean {
  return isConfiguration(name) || /^(tensor\d{5}_\d{3}|model\.safetensors(\.index\.json)?)$/.test(name);
}

// ---------------------------------------------------------------- both

async function hashIn(folder: string, names: readonly string[], { signal, onProgress }: Run) {
  const paths = names.map((name) => join(folder, name));
  let hashedBytes = 0;
  let totalBytes = 0;
  if (onProgress) {
    const sizes = await Promise.all(
      paths.map((path) =>
        stat(path)
          .then(({ size }) => size)
          .catch(() => 0),
      ),
    );
    for (const size of sizes) totalBytes += size;
  }
  const onBytes = (count: number, path: string) => {
    hashedBytes += count;
    onProgress?.({ hashedBytes, totalBytes, file: relative(folder, path) });
  };
  return await hashFiles(paths, { signal, onBytes: onProgress && onBytes });
}

async function exists(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    () => false,
  );
}
