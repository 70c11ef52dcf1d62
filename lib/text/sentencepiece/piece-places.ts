import type { SentencePieceModel } from './model-file.js';
import { PieceDecoder } from './piece-decoder.js';

/** `text.slice(start, end)`: the part of a text that belongs to a token. */
export interface TextPlace {
  readonly start: number;
  readonly end: number;
}

/**
 * The position of each token in the joined text. All bytes of one character have the same position. Unknown ids have no
 * text.
 */
export function placesOf(model: SentencePieceModel, ids: Iterable<number>): TextPlace[] {
  const decoder = new PieceDecoder(model);
  const places: TextPlace[] = [];
  let end = 0;
  let numWaiting = 0; // bytes of an incomplete character
  const settleAsReplacements = () => {
    for (; numWaiting > 0; numWaiting--) places.push({ start: end, end: ++end });
  };
  for (const id of ids) {
    const type = model.pieces[id]?.type;
    const isByte = type === 'byte';
    const start = end;
    const textEnd = start + (type === undefined ? decoder.flush() : decoder.push(id)).length;
    if (isByte && textEnd === start) {
      numWaiting++;
    } else if (isByte) {
      for (; numWaiting >= 0; numWaiting--) places.push({ start, end: textEnd });
      numWaiting = 0;
    } else {
      settleAsReplacements();
      places.push({ start: end, end: textEnd });
    }
    end = textEnd;
  }
  const textEnd = end + decoder.flush().length;
  settleAsReplacements();
  const last = places.pop();
  // broken bytes at the end may become more characters than bytes
  if (last) places.push({ start: last.start, end: textEnd });
  return places;
}
