import type { SentencePieceProcessor } from '@agnai/sentencepiece-js';
import { GrokError } from '../../errors.js';

/** The library starts only by loading a file. This one is empty. */
const emptyFile = '/dev/null';
const nameInLibrary = 'sentencepiece.model';

/** Loads a model from memory: the library's own load() takes a path, whose file may have changed since it was checked. */
export async function loadProcessor(bytes: Uint8Array): Promise<SentencePieceProcessor> {
  const processor = await newProcessor();
  await processor.load(emptyFile);
  const { FS, StringView } = processor.sentencepiece;
  FS.writeFile(nameInLibrary, bytes);
  const name = new StringView(nameInLibrary);
  const view = name.getView();
  const status = processor.processor.Load(view);
  const answer = status.ToString();
  for (const handle of [status, view, name]) handle.delete();
  if (answer !== 'OK') throw new Error(answer);
  return processor;
}

/** Loads the library at the first call: in a bundle it may not load, and importing ours must work there. */
async function newProcessor(): Promise<SentencePieceProcessor> {
  try {
    const { SentencePieceProcessor } = await import('@agnai/sentencepiece-js');
    return new SentencePieceProcessor();
  } catch (error) {
    throw new GrokError(`The SentencePiece library cannot be loaded: ${(error as Error).message}`, {
      code: 'GROK_NO_BINARY',
      hint: 'In a bundled application, mark grok-run as external.',
      cause: error,
    });
  }
}
