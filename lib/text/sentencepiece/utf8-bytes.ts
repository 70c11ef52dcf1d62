const replacement = '\uFFFD';

/**
 * Joins single bytes into characters. Like SentencePiece, it replaces every byte that belongs to no character by a
 * separate U+FFFD (TextDecoder gives one per broken sequence). It holds back only an unfinished character.
 */
export class Utf8Bytes {
  #held: number[] = [];

  /** Returns the text that is certain now. */
  push(byte: number): string {
    this.#held.push(byte);
    let text = '';
    while (this.#held.length > 0) {
      const length = sequenceLength(this.#held);
      if (length === 'unfinished') break;
      if (length === 'invalid') {
        text += replacement;
        this.#held.shift();
      } else {
        text += Buffer.from(this.#held.splice(0, length)).toString('utf8');
      }
    }
    return text;
  }

  /** No more bytes follow: the bytes held back belong to no character. */
  flush(): string {
    const text = replacement.repeat(this.#held.length);
    this.#held = [];
    return text;
  }
}

/** Source: The Unicode Standard, table 3-7 (well-formed UTF-8 byte sequences). */
function sequenceLength(bytes: readonly number[]): number | 'unfinished' | 'invalid' {
  const [lead = 0, second] = bytes;
  if (lead < 0x80) return 1;
  if (lead < 0xc2 || lead > 0xf4) return 'invalid';
  const length = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  if (second === undefined) return 'unfinished';
  const lowest = lead === 0xe0 ? 0xa0 : lead === 0xf0 ? 0x90 : 0x80; // shorter forms exist
  const highest = lead === 0xed ? 0x9f : lead === 0xf4 ? 0x8f : 0xbf; // surrogates; beyond U+10FFFF
  if (second < lowest || second > highest) return 'invalid';
  for (const byte of bytes.slice(2, length)) if (byte < 0x80 || byte > 0xbf) return 'invalid';
  return bytes.length < length ? 'unfinished' : length;
}
