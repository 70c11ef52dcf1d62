import type { Abort } from '../abort.js';
import { GrokError, type GrokErrorCode, grokErrorCodes } from '../errors.js';
import { snakeCase } from '../options/option.js';
import { optionSchema } from '../options/schema.js';
import { memoryAdvice, memoryDetails } from './memory-fits.js';
import type { NativeCall } from './types.js';

/**
 * Awaits a call of the addon. Its rejections have no JavaScript stack: wrapping them here keeps code and hint, and the
 * stack then shows the caller.
 */
export async function callNative<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throw fromNative(error);
  }
}

/**
 * Awaits a call of the addon that reads files. An abort rejects at once and abandons the call, because a mount may
 * never respond.
 */
export async function callReading<T>(call: () => NativeCall<T>, abort: Abort | undefined): Promise<T> {
  abort?.throwIfAborted();
  let ignore = () => {};
  try {
    return await new Promise<T>((resolve, reject) => {
      const reading = call();
      ignore =
        abort?.listen((reason) => {
          reading.abandon();
          reject(reason);
        }) ?? ignore;
      reading.then(resolve, reject);
    });
  } catch (error) {
    throw abort?.aborted ? error : fromNative(error);
  } finally {
    ignore();
  }
}

/** The library's name of each option in the addon's messages. */
function optionNames(): Readonly<Record<string, string>> {
  const names = Object.values(optionSchema).flatMap((schema) => Object.keys(schema));
  const bySnakeCase = Object.fromEntries(names.map((name) => [snakeCase(name), name]));
  return { ...bySnakeCase, context_length: 'contextSize', num_layers: 'layers', num_threads: 'threads' };
}

const codesAboutOptions: ReadonlySet<unknown> = new Set([
  'GROK_INVALID_ARGUMENT',
  'GROK_UNSUPPORTED',
  'GROK_OUT_OF_MEMORY',
  'GROK_CONTEXT_OVERFLOW',
  'GROK_CUDA_UNAVAILABLE',
]);

/**
 * Replaces the addon's option names with the library's. Errors with other codes mean fields of a config.json by the
 * same names.
 */
function inOptions(code: unknown, text: string): string {
  if (!codesAboutOptions.has(code)) return text;
  const names = optionNames();
  return text
    .replace(/\b[a-z]+_[a-z]+(?:_[a-z]+)?\b/g, (name) => (names[name] ? `\`${names[name]}\`` : name))
    .replace(/\b(device|weights) (?=")/gi, (_, name: string) => `\`${name}\` `);
}

/** Converts an error of the addon to a GrokError if it has a code. */
export function fromNative(error: unknown): unknown {
  if (error instanceof GrokError || typeof error !== 'object' || error === null || !('code' in error)) return error;
  const { code } = error;
  if (!grokErrorCodes.includes(code as GrokErrorCode)) return error;
  const message = inOptions(code, 'message' in error ? String(error.message) : String(code));
  const details = memoryDetails(error);
  const hint = details ? memoryAdvice(details) : 'hint' in error ? inOptions(code, String(error.hint)) : undefined;
  return new GrokError(message, { code: code as GrokErrorCode, hint, details, cause: error });
}
