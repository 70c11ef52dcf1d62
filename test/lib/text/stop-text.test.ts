import { describe, expect, it } from 'vitest';
import { StopText } from '../../../lib/text/stop-text.js';
import { makeRandom } from '../random.js';

/** All that is shown of `pieces`, and the stop text found. */
function read(stops: string[], pieces: readonly string[]): { text: string; found: string | undefined } {
  const stopText = new StopText(stops);
  let shown = '';
  for (const piece of pieces) {
    const { text, found } = stopText.push(piece);
    shown += text;
    if (found !== undefined) return { text: shown, found };
  }
  return { text: shown + stopText.flush(), found: undefined };
}

describe('StopText', () => {
  it('shows everything at once when there is nothing to look for', () => {
    expect(new StopText([]).push('abc')).toEqual({ text: 'abc' });
  });

  it('holds back what could begin a stop text, and shows it when it does not', () => {
    const stopText = new StopText(['END']);
    expect(stopText.push('x E').text).toBe('x ');
    expect(stopText.push('N').text).toBe('');
    expect(stopText.push('T').text).toBe('ENT');
    expect(stopText.push('E').text).toBe('');
    expect(stopText.flush()).toBe('E');
  });

  it('shows nothing of a stop text that came in pieces', () => {
    expect(read(['END'], ['a', 'E', 'N', 'D', 'b'])).toEqual({ text: 'a', found: 'END' });
    expect(read(['\n\n'], ['a\n', '\n', 'b'])).toEqual({ text: 'a', found: '\n\n' });
  });

  it('finds a stop text that begins within a false start of itself', () => {
    expect(read(['aab'], ['a', 'a', 'a', 'b'])).toEqual({ text: 'a', found: 'aab' });
  });

  it('takes the one that is complete first, and of those the longest', () => {
    expect(read(['abcd', 'bc'], ['xabcd'])).toEqual({ text: 'xa', found: 'bc' });
    expect(read(['c', 'abc'], ['xabc'])).toEqual({ text: 'x', found: 'abc' });
  });

  it('finds the same however the text is cut', () => {
    const random = makeRandom(6);
    for (let round = 0; round < 2000; round++) {
      const letters = (length: number) => Array.from({ length }, () => random.pick(['a', 'b', '\n'])).join('');
      const stops = Array.from({ length: 1 + random.below(3) }, () => letters(1 + random.below(4)));
      const text = letters(random.below(24));
      const pieces: string[] = [];
      for (let start = 0; start < text.length; ) {
        const end = start + 1 + random.below(5);
        pieces.push(text.slice(start, end));
        start = end;
      }
      const result = read(stops, pieces);
      expect(result, JSON.stringify({ stops, pieces })).toEqual(read(stops, [...text]));
      for (const stop of stops) expect(result.text).not.toContain(stop);
    }
  });
});
