import { mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Tokenizer } from '../../../lib/text/tokenizer.js';
import { makeRandom } from '../random.js';
import { bytesField, concat, numberField, pieceField } from './protobuf-writer.js';
import { smallModel } from './tokenizer-cases.js';

let directory: string;
let small: Uint8Array;
let tokenizer: Tokenizer;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'grok-tokenizer-'));
  small = await readFile(smallModel);
  tokenizer = await Tokenizer.load(smallModel);
});

afterAll(async () => {
  await rm(directory, { recursive: true });
});

async function load(bytes: Uint8Array): Promise<Tokenizer> {
  const file = join(directory, 'candidate.model');
  await writeFile(file, bytes);
  return await Tokenizer.load(file);
}

describe('a file that is not a tokenizer', () => {
  it('is named when it does not exist, cannot be read or was not given', async () => {
    await expect(Tokenizer.load(join(directory, 'none.model'))).rejects.toMatchObject({
      code: 'GROK_NOT_FOUND',
      message: expect.stringContaining('none.model'),
      hint: expect.stringContaining('tokenizer.model'),
    });
    await expect(Tokenizer.load(directory)).rejects.toMatchObject({ code: 'GROK_IO' });
    for (const device of ['/dev/zero', '/dev/null']) {
      const link = join(directory, 'device.model');
      await symlink(device, link);
      await expect(Tokenizer.load(link)).rejects.toMatchObject({
        code: 'GROK_IO',
        message: expect.stringContaining('expected a file, found a pipe or device'),
      });
      await rm(link);
    }
    await expect(Tokenizer.load('')).rejects.toMatchObject({ code: 'GROK_INVALID_ARGUMENT' });
    await expect(Tokenizer.load(undefined as unknown as string)).rejects.toMatchObject({
      code: 'GROK_INVALID_ARGUMENT',
    });
  });

  it.each([
    ['an empty file', new Uint8Array(), 'an empty file'],
    ['text', new TextEncoder().encode('this is not a model'), 'text that begins "this is not a model"'],
    ['a web page saved under its name', new TextEncoder().encode('<!doctype html>'), 'a web page (HTML)'],
    [
      'a git-lfs pointer',
      new TextEncoder().encode('version https://git-lfs.github.com/spec/v1\n'),
      'a git-lfs pointer',
    ],
    ['a tokenizer of another format', new TextEncoder().encode('{"version": "1.0"}'), 'found JSON'],
    ['zeros', new Uint8Array(64), 'nothing but zeros'],
    [
      'a length of 2^60 bytes',
      Uint8Array.of(0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f),
      'bytes, 0 are left',
    ],
    ['a number that never ends', new Uint8Array(32).fill(0xff), 'more than ten bytes'],
    ['an empty piece', pieceField('', 1), 'piece 0 is empty'],
    ['a piece that is not UTF-8', bytesField(1, bytesField(1, Uint8Array.of(0xff))), 'piece 0 is not UTF-8'],
    ['a piece of unknown type', pieceField('a', 9), 'unknown type 9'],
    ['a byte piece of another form', pieceField('<0xZZ>', 6), '<0xZZ>'],
    ['two equal pieces', concat(pieceField('a', 1), pieceField('a', 1)), 'pieces 0 and 1 are both "a"'],
    [
      'ids beyond its pieces',
      concat(
        pieceField('a', 1),
        bytesField(2, concat(numberField(41, 0), numberField(42, 7))),
        bytesField(3, numberField(4, 0)),
      ),
      'eosId below 1',
    ],
    ['spaces after words', concat(pieceField('a', 1), bytesField(2, numberField(24, 1))), 'treat_whitespace_as_suffix'],
    [
      'spaces dropped',
      concat(pieceField('a', 1), bytesField(2, numberField(41, 0)), bytesField(2, numberField(42, 0))),
      'remove_extra_whitespaces',
    ],
    ['rewritten output', concat(pieceField('a', 1), bytesField(5, bytesField(2, Uint8Array.of(1)))), 'denormalizer'],
  ])('is refused: %s', async (_, bytes, reason) => {
    await expect(load(bytes)).rejects.toMatchObject({
      code: 'GROK_BAD_TOKENIZER',
      message: expect.stringContaining(reason),
      hint: expect.any(String),
    });
  });

  it('is refused when the SentencePiece library would load it to nothing', async () => {
    // Pieces and no <unk>: well-formed, and the library says so only by encoding to nothing.
    const normalizer = bytesField(3, numberField(4, 0));
    const ids = bytesField(2, concat(numberField(41, 0), numberField(42, 0)));
    await expect(load(concat(pieceField('a', 1), normalizer, ids))).rejects.toMatchObject({
      code: 'GROK_BAD_TOKENIZER',
    });
  });

  it('gives a coded error or a working tokenizer, whatever its bytes are', async () => {
    const random = makeRandom(3);
    let refused = 0;
    for (let round = 0; round < 60; round++) {
      const bytes = Uint8Array.from(small);
      const damaged = round % 2 === 0 ? bytes.subarray(0, random.below(bytes.length)) : bytes;
      // The parts in front of and behind the pieces decide most.
      for (let count = random.below(4) + (round % 2); count > 0; count--) {
        const index = random.below(2)
          ? random.below(damaged.length)
          : damaged.length - 1 - random.below(Math.min(damaged.length, 200));
        if (index >= 0) damaged[index] = random.below(256);
      }
      try {
        const candidate = await load(damaged);
        expect(candidate.encode('Once upon a time').length).toBeGreaterThan(0);
      } catch (error) {
        refused++;
        expect(error).toMatchObject({ code: 'GROK_BAD_TOKENIZER' });
      }
    }
    expect(refused).toBeGreaterThan(10);
  });
});

describe('encode', () => {
  it('refuses what is not text', () => {
    for (const value of [undefined, null, 7, ['a']]) {
      expect(() => tokenizer.encode(value as unknown as string)).toThrow('Expected `text` to be a string');
    }
  });

  it('refuses half of a surrogate pair, and says where', async () => {
    expect(() => tokenizer.encode('ab\ud83d')).toThrow(
      expect.objectContaining({ code: 'GROK_INVALID_ARGUMENT', hint: 'Character 2 is half of a pair.' }),
    );
    await expect(tokenizer.encodeAsync('\udc00')).rejects.toMatchObject({ code: 'GROK_INVALID_ARGUMENT' });
  });

  it('refuses unknown options and says which was meant', () => {
    expect(() => tokenizer.encode('a', { boss: true } as object)).toThrow(
      expect.objectContaining({ message: 'Unknown option `boss`', hint: 'Did you mean `bos`?' }),
    );
  });

  it('ignores no option silently, whatever holds it', async () => {
    for (const options of [null, [], new Map([['bos', true]]), { bos: 'false' }, { allowControl: 0 }]) {
      const refusal = expect.objectContaining({ code: 'GROK_INVALID_ARGUMENT' });
      expect(() => tokenizer.encode('a', options as object)).toThrow(refusal);
      await expect(tokenizer.encodeAsync('a', options as object)).rejects.toEqual(refusal);
    }
    await expect(tokenizer.encodeAsync('a', { signal: {} as never })).rejects.toThrow('`signal` to be an AbortSignal');
    await expect(tokenizer.encodeAsync('a', { sgnal: 1 } as object)).rejects.toMatchObject({
      hint: 'Did you mean `signal`?',
    });
  });

  it('gives no ids for no text, and [BOS] alone on request', () => {
    expect(tokenizer.encode('')).toEqual([]);
    expect(tokenizer.encode('', { bos: true })).toEqual([tokenizer.bosId]);
  });

  it('encodes to ids of the small model', () => {
    // Source: ids that the official SentencePiece library gives for this file.
    expect(tokenizer.encode('Once upon a time')).toEqual([1191, 791, 263, 502]);
    expect(tokenizer.encode('Once upon a time', { bos: true })).toEqual([1, 1191, 791, 263, 502]);
  });

  it.each(['\0', '\u2581', '  two  spaces ', '\n\n', '\ufeff', '🧙‍♂️ naïve 東京', '\t1\r\n', '<0x41>'])(
    'gives %j back',
    (text) => {
      expect(tokenizer.decode(tokenizer.encode(text))).toBe(text.replaceAll('\u2581', ' '));
    },
  );
});

describe('encodeAsync', () => {
  const alphabet = [
    'a',
    'e',
    ' ',
    ' ',
    'the',
    ' and',
    '\n',
    '. ',
    '7',
    '東',
    '🧙',
    '\u2581',
    'x',
    '  ',
    '\t',
    "'s",
    '<',
    'é',
  ];

  it('gives exactly the ids of the whole text, for random texts that are cut', async () => {
    const random = makeRandom(4);
    for (let round = 0; round < 60; round++) {
      let text = '';
      while (text.length < 7000) text += random.pick(alphabet);
      expect(await tokenizer.encodeAsync(text)).toEqual(tokenizer.encode(text));
    }
  });

  it('gives exactly the ids of the whole text where it offers no cut', async () => {
    for (const text of ['a'.repeat(20_000), `${'the '.repeat(2000)}${'he'.repeat(4000)}`, ' '.repeat(9000)]) {
      expect(await tokenizer.encodeAsync(text)).toEqual(tokenizer.encode(text));
    }
  });

  it('gives everyone else a turn after every 3,072 characters at the latest', async () => {
    // Counted in turns, not in milliseconds, which a busy machine would add to. 3,072 characters take some 5 ms.
    const text = 'Once upon a time there was a fox who lived in a wood. '.repeat(4000);
    let turns = 0;
    let counting = true;
    const tick = () => {
      turns++;
      if (counting) setImmediate(tick);
    };
    setImmediate(tick);
    await tokenizer.encodeAsync(text);
    counting = false;
    expect(turns).toBeGreaterThan(text.length / 3072);
  });

  it('stops with the reason of its signal, before and within', async () => {
    const reason = new Error('enough');
    await expect(tokenizer.encodeAsync('a', { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    for (const text of ['Once upon a time. '.repeat(20_000), 'a'.repeat(200_000)]) {
      const controller = new AbortController();
      const encoding = tokenizer.encodeAsync(text, { signal: controller.signal });
      setImmediate(() => controller.abort(reason));
      await expect(encoding).rejects.toBe(reason);
    }
  });

  it('encodes with the bytes that were loaded, whatever became of their file', async () => {
    const file = join(directory, 'replaced.model');
    const texts = [' '.repeat(4000), 'a'.repeat(3100)];
    for (const replacement of [concat(pieceField('a', 1)), new Uint8Array(9), undefined]) {
      await writeFile(file, small);
      const loaded = await Tokenizer.load(file);
      await (replacement ? writeFile(file, replacement) : rm(file));
      for (const text of texts) expect(await loaded.encodeAsync(text)).toEqual(tokenizer.encode(text));
    }
  });
});

describe('decode', () => {
  it.each([-1, 4096, 1.5, Number.NaN, '3' as unknown as number])('refuses %s, which is not in the vocabulary', (id) => {
    expect(() => tokenizer.decode([id])).toThrow(expect.objectContaining({ code: 'GROK_INVALID_ARGUMENT' }));
    expect(() => tokenizer.decoder().push(id)).toThrow('from 0 to 4095');
    expect(() => tokenizer.piece(id)).toThrow('from 0 to 4095');
  });

  it('gives no text for control tokens and the surface of the unknown one', () => {
    expect(tokenizer.decode([0, 1, 2])).toBe('');
    expect(tokenizer.decode([3])).toBe('[UNK]');
  });

  it('names single tokens', () => {
    expect(tokenizer.piece(2)).toBe('[EOS]');
    expect(tokenizer.piece(791)).toBe(' upon');
    expect(tokenizer.piece(5)).toMatch(/^<0x[0-9A-F]{2}>$/);
  });

  it('finds the place of each token, which the bytes of a character share', () => {
    const placesIn = (text: string) => tokenizer.places(tokenizer.encode(text)).map(({ start, end }) => [start, end]);
    const text = 'Once upon';
    expect(placesIn(text)).toEqual([
      [0, 4],
      [4, 9],
    ]);
    const fox = tokenizer.encode('a🦊b');
    const byte = { start: 1, end: 3 };
    expect(tokenizer.places(fox).filter(({ start }) => start === 1)).toEqual([byte, byte, byte, byte]);
    expect(tokenizer.places(fox).at(-1)).toEqual({ start: 3, end: 4 });
    expect(tokenizer.places([2, 99_999])).toEqual([
      { start: 0, end: 0 },
      { start: 0, end: 0 },
    ]);
  });

  it('covers any decoded text with places, in order and without a gap', () => {
    const random = makeRandom(6);
    for (let round = 0; round < 500; round++) {
      const ids = Array.from({ length: 1 + random.below(20) }, () =>
        random.below(2) ? random.below(262) : random.below(4096),
      );
      const places = tokenizer.places(ids);
      expect(places).toHaveLength(ids.length);
      let end = 0;
      for (const place of places) {
        expect(place.start).toBeLessThanOrEqual(end);
        end = Math.max(end, place.end);
      }
      expect(end, `${ids}`).toBe(tokenizer.decode(ids).length);
    }
  });

  it('gives the same text one id at a time as all at once, for 10,000 random sequences', () => {
    const random = makeRandom(5);
    for (let round = 0; round < 10_000; round++) {
      const ids = Array.from({ length: 1 + random.below(20) }, () =>
        random.below(2) ? random.below(262) : random.below(4096),
      );
      const decoder = tokenizer.decoder();
      const shown = ids.map((id) => decoder.push(id)).join('') + decoder.flush();
      expect(shown, `${ids}`).toBe(tokenizer.decode(ids));
    }
  });
});

it('installs no process listeners', () => {
  // Another port of SentencePiece does.
  const names = process.eventNames();
  const code = [process.listenerCount('uncaughtException'), process.listenerCount('unhandledRejection')];
  return Tokenizer.load(smallModel).then(() => {
    expect(process.eventNames()).toEqual(names);
    expect([process.listenerCount('uncaughtException'), process.listenerCount('unhandledRejection')]).toEqual(code);
  });
});
