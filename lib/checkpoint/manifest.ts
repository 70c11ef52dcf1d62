import { constants } from 'node:fs';
import { open, readlink, stat } from 'node:fs/promises';
import { dirname, join, relative, resolve } from 'node:path';
import { GrokError } from '../errors.js';

/** The file with a checkpoint's hashes. `sha256sum -c` reads it, too. */
export const manifestName = 'SHA256SUMS';

/**
 * Levels above a checkpoint's folder at which its manifest may lie: xAI's tokenizer.model lies two above the tensors.
 */
const MOST_LEVELS_UP = 2;
const MOST_BYTES = 16 * 2 ** 20;

export interface ManifestEntry {
  /** Relative to the manifest's folder, with `/`. */
  readonly name: string;
  /** 64 lower-case hexadecimal digits. */
  readonly sha256: string;
  /** undefined in a manifest that another program wrote. */
  readonly sizeBytes: number | undefined;
}

export interface Manifest {
  readonly path: string;
  readonly entries: readonly ManifestEntry[];
}

// sha256sum skips lines that begin with '#', and writes a backslash in front of a line with an escaped name.
const entryLine = /^(\\?)([0-9a-f]{64}) [ *](.+)$/i;
const sizeLine = /^# size (\d+) (.+)$/;
const lettersOfEscapes: Readonly<Record<string, string>> = { '\\\\': '\\', '\\n': '\n', '\\r': '\r' };

/** The text of a manifest: each file's size as a comment, then its hash. */
export function formatManifest(entries: readonly (ManifestEntry & { sizeBytes: number })[]): string {
  const lines = entries.flatMap(({ name, sha256, sizeBytes }) => {
    const written = name.replace(
      /[\\\n\r]/g,
      (letter) => ({ '\\': '\\\\', '\n': '\\n', '\r': '\\r' })[letter] ?? letter,
    );
    return [`# size ${sizeBytes} ${written}`, `${written === name ? '' : '\\'}${sha256}  ${written}`];
  });
  return `${lines.join('\n')}\n`;
}

/** @throws {GrokError} GROK_BAD_CHECKPOINT for a list of no file, a line of another form, a name outside of the manifest's folder */
export function parseManifest(text: string, path: string): ManifestEntry[] {
  const { entries, problem } = read(text);
  if (problem === undefined) return entries;
  throw new GrokError(`${path}: ${problem}`, {
    code: 'GROK_BAD_CHECKPOINT',
    hint: 'Get the file again, or write it anew from files that you trust.',
    details: { path },
  });
}

function read(text: string): { entries: ManifestEntry[]; problem: string | undefined } {
  const sizes = new Map<string, number>();
  const hashes: { name: string; sha256: string }[] = [];
  let problem: string | undefined;
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    const size = sizeLine.exec(line);
    if (size) sizes.set(unescaped(size[2] ?? ''), Number(size[1]));
    if (line.trim() === '' || line.startsWith('#')) continue;
    const [, isEscaped, sha256 = '', written = ''] = entryLine.exec(line) ?? [];
    const name = isEscaped ? unescaped(written) : written;
    if (name === '') problem ??= `line ${index + 1}: expected 64 hexadecimal digits, two spaces and a file's name`;
    else if (name.startsWith('/') || name.split('/').includes('..'))
      problem ??= `line ${index + 1}: expected the name of a file in this folder, found ${JSON.stringify(name)}`;
    else hashes.push({ name: name.replace(/^(\.\/)+/, ''), sha256: sha256.toLowerCase() });
  }
  if (hashes.length === 0) problem ??= 'expected a line for each file, found none';
  return { entries: hashes.map((entry) => ({ ...entry, sizeBytes: sizes.get(entry.name) })), problem };
}

function unescaped(text: string): string {
  return text.replace(/\\[\\nr]/g, (escaped) => lettersOfEscapes[escaped] ?? escaped);
}

/**
 * Finds the nearest manifest that lists files of a checkpoint: in its folder or up to two levels above. Skips lists of
 * other files.
 * @throws {GrokError} the errors of {@link parseManifest}, and GROK_IO
 */
export async function findManifest(checkpoint: string): Promise<Manifest | undefined> {
  const target = resolve(checkpoint);
  const isFile = await stat(target).then(
    (found) => !found.isDirectory(),
    () => false,
  );
  let folder = isFile ? dirname(target) : target;
  for (let level = 0; level <= MOST_LEVELS_UP; level++, folder = dirname(folder)) {
    const path = join(folder, manifestName);
    const text = await readIfThere(path);
    if (text === undefined) continue;
    const inside = relative(folder, target);
    const isOurs = ({ name }: ManifestEntry) => inside === '' || name === inside || name.startsWith(`${inside}/`);
    if (level === 0 || read(text).entries.some(isOurs)) return { path, entries: parseManifest(text, path) };
  }
  return undefined;
}

async function readIfThere(path: string): Promise<string | undefined> {
  // NONBLOCK: opening a pipe must not wait for its writer.
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch(async (error) => {
    const target = await readlink(path).catch(() => undefined);
    if (target === undefined && ['ENOENT', 'ENOTDIR'].includes(error.code)) return undefined;
    if (target !== undefined && error.code === 'ENOENT') {
      throw new GrokError(`${path}: a link to ${target}, which is missing`, {
        code: 'GROK_NOT_FOUND',
        hint: 'Restore the file that the link leads to, or remove the link.',
        details: { path },
        cause: error,
      });
    }
    throw new GrokError(`${path}: cannot be opened: ${error.message}`, {
      code: 'GROK_IO',
      details: { path },
      cause: error,
    });
  });
  if (!file) return undefined;
  try {
    const found = await file.stat();
    if (found.isFile() && found.size <= MOST_BYTES) return await file.readFile('utf8');
    const kind = found.isFile() ? `one of ${found.size}` : 'something else';
    throw new GrokError(`${path}: expected a file of at most ${MOST_BYTES} bytes, found ${kind}`, {
      code: 'GROK_IO',
      details: { path },
    });
  } finally {
    await file.close();
  }
}

/** A manifest compared with the names and sizes of its files. */
export interface ManifestState {
  readonly path: string;
  /** Files that are missing or of another size, each in a sentence. */
  readonly problems: readonly string[];
}

/** The state of a checkpoint's manifest, or null if there is none. Reads no file of the checkpoint. */
export async function manifestState(checkpoint: string): Promise<ManifestState | null> {
  try {
    const manifest = await findManifest(checkpoint);
    return manifest ? { path: manifest.path, problems: await sizeProblems(manifest) } : null;
  } catch (error) {
    if (!(error instanceof GrokError)) throw error;
    return { path: String(error.details?.path), problems: [error.message] };
  }
}

async function sizeProblems({ path, entries }: Manifest): Promise<string[]> {
  const problems = await Promise.all(
    entries.map(async ({ name, sizeBytes }) => {
      const found = await stat(join(dirname(path), name)).catch((error: NodeJS.ErrnoException) => error.code ?? 'EIO');
      if (typeof found === 'string') return `${name}: ${found === 'ENOENT' ? 'missing' : `cannot be read, ${found}`}`;
      if (sizeBytes === undefined || found.size === sizeBytes) return undefined;
      return `${name}: expected ${sizeBytes} bytes, found ${found.size}`;
    }),
  );
  return problems.filter((problem) => problem !== undefined);
}
