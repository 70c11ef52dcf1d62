import { readFile } from 'node:fs/promises';
import { UsageError } from './failure.js';
import type { Host } from './host.js';

function decodeUtf8(bytes: Uint8Array, from: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new UsageError(
      `Expected UTF-8 text in ${from}, found bytes that are not`,
      'convert it, for example with iconv',
    );
  }
}

async function readBytes(file: string): Promise<Uint8Array> {
  try {
    return await readFile(file);
  } catch (error) {
    throw new UsageError(`Expected a readable file at ${file}: ${(error as Error).message}`, 'check the path');
  }
}

async function readAll(stream: Host['stdin']): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(typeof chunk === 'string' ? Buffer.from(chunk) : chunk);
  return Buffer.concat(chunks);
}

/** `echo` and editors end a text with a line break that nobody means. */
function withoutLastLineBreak(text: string): string {
  return text.replace(/\r?\n$/, '');
}

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
  if (file !== undefined) return withoutLastLineBreak(decodeUtf8(await readBytes(file), file));

  const fromStdin = words.length === 1 && words[0] === '-';
  if (words.length > 0 && !fromStdin) return words.join(' ');
  if (!fromStdin && host.stdin.isTTY) {
    throw new UsageError(`Expected ${what} as words, with --file or on stdin, found none`, 'see grok-run --help');
  }
  const text = withoutLastLineBreak(decodeUtf8(await readAll(host.stdin), 'stdin'));
  if (text === '') throw new UsageError(`Expected ${what} on stdin, found nothing`, 'see grok-run --help');
  return text;
}
