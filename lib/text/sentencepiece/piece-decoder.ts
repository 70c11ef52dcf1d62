import type { SentencePieceModel } from './model-file.js';
import { Utf8Bytes } from './utf8-bytes.js';

/**
 * Decodes token ids one at a time, from the piece table. Text is returned as soon as it is certain and never changes
 * later. All of it joined equals SentencePiece's text of all ids at once.
 */
export class PieceDecoder {
  readonly #model: SentencePieceModel;
  readonly #bytes = new Utf8Bytes();
  /** The next visible piece is the first: it loses the space that encoding put before the text. */
  #atStart: boolean;

  constructor(model: SentencePieceModel) {
    this.#model = model;
    this.#atStart = model.addDummyPrefix;
  }

  /** `id` must be in the vocabulary. */
  push(id: number): string {
    const piece = this.#model.pieces[id];
    if (piece === undefined) throw new RangeError(`id ${id} is not in the vocabulary`);
    if (piece.type === 'byte') {
      this.#atStart = false;
      return this.#bytes.push(Number.parseInt(piece.text.slice(3, 5), 16));
    }
    const before = this.#bytes.flush();
    if (piece.type === 'control') return before;
    const isFirst = this.#atStart;
    this.#atStart = false;
    if (piece.type === 'unknown') return before + this.#model.unknownSurface;
    const text = isFirst && piece.text.startsWith('\u2581') ? piece.text.slice(1) : piece.text;
    return before + text.replaceAll('\u2581', ' ');
  }

  flush(): string {
    return this.#bytes.flush();
  }
}
