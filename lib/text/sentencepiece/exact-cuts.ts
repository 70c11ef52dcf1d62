import type { SentencePieceModel } from './model-file.js';

const spaceSymbol = 0x2581; // SentencePiece's replacement for a space

/**
 * A part of a text that can be encoded separately.
 * `dummy`: the space that SentencePiece puts before a text also stands there in the whole text.
 * `bare`: that space is not in the whole text, and its token must be dropped.
 */
export interface TextPart {
  readonly text: string;
  readonly lead: 'dummy' | 'bare';
}

/**
 * Finds places to cut a text so that its parts, encoded one by one, give exactly the tokens of the whole.
 *
 * Byte-pair encoding makes a token by merging neighbouring pieces, and only into pieces of the vocabulary. If no piece
 * contains the adjacent characters a|b, no token can span them, and the two sides do not affect each other.
 */
export class ExactCuts {
  /** Number of tokens of the space before a text if nothing merges with it. */
  readonly dummyTokens: number;
  readonly #neighbours = new Set<number>();
  readonly #guards: readonly string[];

  /** `model.isPlainBytePair` and `model.addDummyPrefix` must hold. */
  constructor(model: SentencePieceModel) {
    for (const { text } of model.pieces) {
      let previous = -1;
      for (const character of text) {
        const codePoint = character.codePointAt(0) ?? 0;
        if (previous >= 0) this.#neighbours.add(pairKey(previous, codePoint));
        previous = codePoint;
      }
    }
    const hasSpacePiece = model.pieces.some(({ text }) => text === String.fromCodePoint(spaceSymbol));
    this.dummyTokens = hasSpacePiece ? 1 : 3; // otherwise its three bytes
    this.#guards = model.pieces
      .filter(({ type, text }) => type === 'user-defined' && text.length === 1 && text !== ' ')
      .map(({ text }) => text)
      .filter((guard) => this.standsAfterDummy(guard.codePointAt(0) ?? 0));
  }

  /** Whether no token can contain the two characters next to each other. Both are code points of the text. */
  separate(left: number, right: number): boolean {
    return !this.#neighbours.has(pairKey(asSymbol(left), asSymbol(right)));
  }

  /** Whether the space before a text stays a separate token in front of this character. */
  standsAfterDummy(first: number): boolean {
    return this.separate(spaceSymbol, first);
  }

  /** The first place in [from, to) at which `text` can be cut, or -1. */
  next(text: string, from: number, to: number): number {
    for (let index = Math.max(from, 1); index < Math.min(to, text.length); index++) {
      if (isLowSurrogate(text.charCodeAt(index))) continue;
      const left = text.codePointAt(isLowSurrogate(text.charCodeAt(index - 1)) ? index - 2 : index - 1) ?? 0;
      const right = text.codePointAt(index) ?? 0;
      if (!this.separate(left, right)) continue;
      // A space becomes the next part's dummy space. Something must follow it, because the empty text has no tokens.
      const canFollow = right === 0x20 ? index + 1 < text.length : this.standsAfterDummy(right);
      if (canFollow) return index;
    }
    return -1;
  }

  /** A character with its own token that can stand before `first` without merging with it. */
  guardFor(first: number): string | undefined {
    return this.#guards.find((guard) => this.separate(guard.codePointAt(0) ?? 0, first));
  }
}

/** The part that starts at a place found by {@link ExactCuts.next}. */
export function partFrom(text: string, cut: number): TextPart {
  if (text[cut] === ' ') return { text: text.slice(cut + 1), lead: 'dummy' };
  return { text: text.slice(cut), lead: 'bare' };
}

function asSymbol(codePoint: number): number {
  return codePoint === 0x20 ? spaceSymbol : codePoint;
}

function pairKey(left: number, right: number): number {
  return left * 0x110000 + right;
}

function isLowSurrogate(unit: number): boolean {
  return unit >= 0xdc00 && unit <= 0xdfff;
}
