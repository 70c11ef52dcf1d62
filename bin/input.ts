import { closeSync, constants, createReadStream, fstatSync, openSync, readSync } from 'node:fs';
import { Socket } from 'node:net';
import { isatty, ReadStream } from 'node:tty';
import { permissionFix, UsageError } from './failure.js';
import type { Host } from './host.js';

/** More than fits any context. */
const maxBytes = 64 * 1024 * 1024;

const stdinNames: ReadonlySet<string> = new Set(['-', '/dev/stdin', '/dev/fd/0', '/proc/self/fd/0']);

const fixes: Readonly<Record<string, string>> = {
  ENOENT: 'check the path',
  ENOTDIR: 'check the path',
  EISDIR: 'name a file in that directory',
  EACCES: 'give this user permission to read it',
  EPERM: 'give this user permission to read it',
  ELOOP: 'remove one of the links, which lead in a circle',
  EMFILE: 'raise the limit on open files (ulimit -n)',
  ESTALE: 'run it again, or mount the network share again',
  EIO: 'look at the kernel log (dmesg): the disk or its connection failed',
};

/**
 * The text of a command: its words joined by a space, or --file, or stdin if there are no words or one `-`.
 *
 * @param what the command's name for the text, for errors
 */
export async function readInput(
  host: Host,
  words: readonly string[],
  file: string | undefined,
  what: string,
): Promise<string> {
  if (file !== undefined && words.length > 0) {
    throw new UsageError(`Expected either ${what} as words or --file, found both`, 'leave one out');
  }
  const fromStdin = file === undefined && (words.length === 0 || (words.length === 1 && words[0] === '-'));
  if (fromStdin && words.length === 0 && host.stdin.isTTY) {
    throw new UsageError(`Expected ${what} as words, with --file or on stdin, found none`);
  }
  const text = fromStdin
    ? await readStdin(host)
    : file === undefined
      ? words.join(' ')
      : await readTextFile(host, file);
  if (text === '') throw new UsageError(`Expected ${what}, found an empty text`);
  return text;
}

async function readStdin(host: Host): Promise<string> {
  return decodeText(await readAll(host.stdin, 'stdin'), 'stdin');
}

async function readTextFile(host: Host, file: string): Promise<string> {
  if (stdinNames.has(file)) return await readStdin(host);
  try {
    return decodeText(await readAll(openInput(file), file), file);
  } catch (error) {
    if (error instanceof UsageError) throw error;
    const { code = '', message } = error as NodeJS.ErrnoException;
    throw new UsageError(
      `Expected a readable file at ${file}: ${message}`,
      fixes[code] ?? permissionFix(error) ?? 'check the path',
    );
  }
}

/** Opens a file, or a pipe such as `<(...)`. Opening never waits: a named pipe without a writer is empty. */
function openInput(file: string): AsyncIterable<Uint8Array> {
  const fd = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  if (isatty(fd)) return new ReadStream(fd);
  if (fstatSync(fd).isFIFO()) return readPipe(fd);
  return createReadStream(file, { fd, highWaterMark: 1024 * 1024 });
}

async function* readPipe(fd: number): AsyncGenerator<Uint8Array> {
  const start = Buffer.alloc(65536);
  let size: number | undefined;
  try {
    size = readSync(fd, start);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error; // otherwise its writer has not written yet
  }
  if (size === 0) {
    closeSync(fd);
    return;
  }
  yield start.subarray(0, size ?? 0);
  // A socket waits in the event loop. A waiting thread of the file pool would keep the process from ending.
  yield* new Socket({ fd, readable: true, writable: false });
}

async function readAll(stream: AsyncIterable<Uint8Array | string>, from: string): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const part of stream) {
    const chunk = typeof part === 'string' ? Buffer.from(part) : part;
    size += chunk.length;
    if (size > maxBytes) {
      throw new UsageError(`Expected at most ${maxBytes} bytes of text in ${from}, found more`, 'split it into parts');
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** Drops one line break at the end, which `echo` and editors add. */
function decodeText(bytes: Uint8Array, from: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes).replace(/\r?\n$/, '');
  } catch {
    const isUtf16 = (bytes[0] === 0xff && bytes[1] === 0xfe) || (bytes[0] === 0xfe && bytes[1] === 0xff);
    throw new UsageError(
      `Expected UTF-8 text in ${from}, found ${isUtf16 ? 'UTF-16' : 'bytes that are not'}`,
      `convert it, for example with iconv${isUtf16 ? ' -f UTF-16' : ''} -t UTF-8`,
    );
  }
}
