import type * as library from '@agnai/sentencepiece-js';
import type { SentencePieceProcessor } from '@agnai/sentencepiece-js';
import { BUNDLE_FIX } from '../../addon/load-fix.js';
import { GrokError } from '../../errors.js';
import { requireFromPackage } from '../../package-root.js';
import { isOutOfMemory, noWasmMemory, requireWasmMemory } from './wasm-memory.js';

/** The library starts only by loading a file. It has started when it reports that this file does not exist. */
const absentFile = '';
const nameInLibrary = 'sentencepiece.model';

/**
 * Starts the library without a model, which takes longer than everything else in a tokenizer. The caller need not await
 * it.
 * @throws {GrokError} GROK_OUT_OF_MEMORY, GROK_UNSUPPORTED, GROK_NO_BINARY
 */
export function startLibrary(): Promise<SentencePieceProcessor> {
  const starting = start();
  starting.catch(() => {}); // callers that await it get the error
  return starting;
}

async function start(): Promise<SentencePieceProcessor> {
  requireWasmMemory();
  const processor = newProcessor();
  await processor.load(absentFile).catch((error) => {
    if (!('sentencepiece' in processor)) throw isOutOfMemory(error) ? noWasmMemory(error) : error;
  });
  return processor;
}

/**
 * Loads a model from memory. The library's own load() takes a path, whose file may have changed since it was checked.
 */
export async function loadProcessor(
  bytes: Uint8Array,
  starting: Promise<SentencePieceProcessor>,
): Promise<SentencePieceProcessor> {
  const processor = await starting;
  const { FS, StringView, SentencePieceProcessor: Compiled } = processor.sentencepiece;
  FS.writeFile(nameInLibrary, bytes);
  processor.processor = new Compiled();
  const name = new StringView(nameInLibrary);
  const view = name.getView();
  const status = processor.processor.Load(view);
  const answer = status.ToString();
  for (const handle of [status, view, name]) handle.delete();
  if (answer !== 'OK') throw new Error(answer);
  return processor;
}

/**
 * Loads the library at the first call: it may fail to load in a bundle, in which importing grok-run must still work.
 * `import` would read its megabyte twice more, to find its exported names.
 */
function newProcessor(): SentencePieceProcessor {
  try {
    const { SentencePieceProcessor } = requireFromPackage()('@agnai/sentencepiece-js') as typeof library;
    return new SentencePieceProcessor();
  } catch (error) {
    throw new GrokError(`The SentencePiece library cannot be loaded: ${(error as Error).message}`, {
      code: 'GROK_NO_BINARY',
      hint: BUNDLE_FIX,
      cause: error,
    });
  }
}
