import { readFile } from 'node:fs/promises';
import { UsageError } from './failure.js';
import type { Host } from './host.js';

/**
 * The text a command works on: its words joined by a space, or --file, or stdin when there are no words or one `-`.
 *
 * @param what how the command calls it, for the errors
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
    throw new UsageError(`Expected ${what} as words, with --file or on stdin, found none`, 'see grok-run --help');
  }
  const text = fromStdin ? await readStdin(host) : file === undefined ? words.join(' ') : await readTextFile(file);
  if (text === '') throw new UsageError(`Expected ${what}, found an empty text`, 'see grok-run --help');
  return text;
}

async function readStdin(host: Host): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of host.stdin) chunks.push(typeof chunk === 'string' ? Buffer.from(chunk) : chunk);
  return decodeText(Buffer.concat(chunks), 'stdin');
}

async function readTextFile(file: string): Promise<string> {
  let bytes: Uint8Array;
  try {
    bytes = await readFile(file);
  } catch (error) {
    throw new UsageError(`Expected a readable file at ${file}: ${(error as Error).message}`, 'check the path');
  }
  return decodeText(bytes, file);
}

/** `echo` and editors end a text with a line break that nobody means: one is dropped. */
function decodeText(bytes: Uint8Array, from: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes).replace(/\r?\n$/, '');
  } catch {
    throw new UsageError(
      `Expected UTF-8 text in ${from}, found bytes that are not`,
      'convert it, for example with iconv',
    );
  }
}
