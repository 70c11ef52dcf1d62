import { setImmediate } from 'node:timers/promises';
import type { SentencePieceProcessor } from '@agnai/sentencepiece-js';
import type { Abort, AbortSignalLike } from '../abort.js';
import { GrokError, invalidArgument } from '../errors.js';
import type { ResolvedOf } from '../options/option.js';
import { resolveOptions } from '../options/resolve.js';
import { type EncodeOptions, encodeAsyncOptions, encodeOptions, tokenizerOptions } from '../options/schema.js';
import { EncodingThread } from './sentencepiece/encoding-thread.js';
import { ExactCuts, partFrom, type TextPart } from './sentencepiece/exact-cuts.js';
import { badTokenizer, parseModel, readModelFile, type SentencePieceModel } from './sentencepiece/model-file.js';
import { PieceDecoder } from './sentencepiece/piece-decoder.js';
import { placesOf, type TextPlace } from './sentencepiece/piece-places.js';
import { loadProcessor, startLibrary } from './sentencepiece/processor.js';

type CheckedOptions = ResolvedOf<typeof encodeOptions>;

/** A part of a text that is encoded apart from its neighbours, so that no token spans two of them. */
export interface TextSegment {
  readonly text: string;
  /** As in {@link EncodeOptions}. */
  readonly allowControl: boolean;
}

/** Turns ids into text one at a time. */
export interface IncrementalDecoder {
  /** Returns the text that became certain: '' while a character is incomplete. */
  push(id: number): string;
  /** Returns the rest, at the end: U+FFFD for each byte of an incomplete character. */
  flush(): string;
}

// A character takes some 10 µs at worst, so a part stays well below 10 ms; most take a fifth of that.
const partCharacters = 1024;
const longestPartCharacters = 3072;

/** Converts text to token ids and back, with a SentencePiece model such as Grok-1's tokenizer.model. */
export class Tokenizer {
  readonly path: string;
  readonly vocabSize: number;
  /** -1 if the model has no such token; the same for the next two. */
  readonly bosId: number;
  readonly eosId: number;
  readonly padId: number;
  /** Characters of the longest token. */
  readonly longestPiece: number;

  readonly #thread: EncodingThread;
  readonly #model: SentencePieceModel;
  readonly #processor: SentencePieceProcessor;
  readonly #controlPieces: readonly string[];
  #knownCuts: ExactCuts | undefined;
  /** Ids of segments that allow control tokens. They are texts of templates, of which there are few. */
  readonly #templateIds = new Map<string, readonly number[]>();

  private constructor(path: string, bytes: Uint8Array, model: SentencePieceModel, processor: SentencePieceProcessor) {
    this.path = path;
    this.#thread = new EncodingThread(sharedCopy(bytes));
    this.#model = model;
    this.#processor = processor;
    this.vocabSize = model.pieces.length;
    this.bosId = model.bosId;
    this.eosId = model.eosId;
    this.padId = model.padId;
    this.longestPiece = model.pieces.reduce((longest, { text }) => Math.max(longest, text.length), 0);
    this.#controlPieces = model.pieces
      .filter(({ type, text }) => type === 'user-defined' && /^<.+>$/s.test(text))
      .map(({ text }) => text);
  }

  /**
   * Reads a SentencePiece model. Later changes of the file have no effect.
   * @throws {GrokError} GROK_NO_BINARY, GROK_NOT_FOUND, GROK_IO, GROK_BAD_TOKENIZER,
   *   GROK_OUT_OF_MEMORY, GROK_UNSUPPORTED; the signal's reason when it aborts
   */
  static async load(file: string, options: { signal?: AbortSignalLike | undefined } = {}): Promise<Tokenizer> {
    if (typeof file !== 'string' || file === '') throw invalidArgument('file', 'the path of a tokenizer.model', file);
    const { signal } = resolveOptions(tokenizerOptions, options);
    const bytes = await readModelFile(file, signal);
    const starting = startLibrary(); // other threads compile it while this one parses
    const model = parseModel(bytes, file);
    let processor: SentencePieceProcessor;
    try {
      processor = await loadProcessor(bytes, starting);
    } catch (error) {
      if (error instanceof GrokError) throw error;
      throw badTokenizer(file, `the SentencePiece library refused it: ${(error as Error).message}`, error);
    }
    const tokenizer = new Tokenizer(file, bytes, model, processor);
    tokenizer.#proveThatItEncodes();
    return tokenizer;
  }

  /**
   * Converts text to ids, like the SentencePiece library. Runs on the calling thread: about 100,000 tokens a second.
   * @throws {GrokError} GROK_INVALID_ARGUMENT if the text has half of a surrogate pair
   */
  encode(text: string, options: EncodeOptions = {}): number[] {
    const checked = resolveOptions(encodeOptions, options);
    const ids = this.#start(text, checked);
    for (const part of this.#partsByControl({ text, lead: 'dummy' }, checked.allowControl))
      append(ids, this.#encodePart(part));
    return ids;
  }

  /**
   * Returns the same ids without blocking the event loop: in parts if that is exact, otherwise on one thread for all
   * such texts.
   */
  async encodeAsync(
    text: string,
    options: EncodeOptions & { signal?: AbortSignalLike | undefined } = {},
  ): Promise<number[]> {
    const { signal, ...checked } = resolveOptions(encodeAsyncOptions, options);
    signal?.throwIfAborted();
    const ids = this.#start(text, checked);
    for (const part of this.#partsByControl({ text, lead: 'dummy' }, checked.allowControl)) {
      for await (const some of this.#encodeSlowly(part, signal)) append(ids, some);
    }
    return ids;
  }

  /**
   * A function that encodes the segments of a text, call by call. The ids are those of the whole text if no piece of the
   * vocabulary spans a border. A control token comes only from a segment that allows it. Does not block the event loop.
   * @internal
   */
  segmentEncoder(signal: Abort | undefined): (segments: readonly TextSegment[]) => Promise<number[]> {
    let isStart = true;
    let charactersAtOnce = 0;
    return async (segments) => {
      signal?.throwIfAborted();
      const ids: number[] = [];
      for (const { text, allowControl } of segments) {
        const segment: TextPart = isStart ? { text, lead: 'dummy' } : partFrom(text, 0);
        isStart = false;
        if (allowControl) {
          append(ids, this.#encodeTemplate(segment));
          continue;
        }
        for (const part of this.#partsByControl(segment, allowControl)) {
          for await (const some of this.#encodeSlowly(part, signal)) append(ids, some);
        }
        charactersAtOnce += text.length;
        if (charactersAtOnce < partCharacters) continue;
        charactersAtOnce = 0;
        await setImmediate(); // lets other work of the process run
        signal?.throwIfAborted();
      }
      return ids;
    };
  }

  /**
   * Converts ids to text. Control tokens such as [EOS] have no text.
   * @throws {GrokError} GROK_INVALID_ARGUMENT if an id is not in the vocabulary
   */
  decode(ids: Iterable<number>): string {
    const decoder = this.decoder();
    let text = '';
    for (const id of ids) text += decoder.push(id);
    return text + decoder.flush();
  }

  /** The position of each token in the text of {@link decode}. Unknown ids have no text. */
  places(ids: Iterable<number>): TextPlace[] {
    return placesOf(this.#model, ids);
  }

  /** For streams: its joined output equals that of {@link decode} for all ids at once. */
  decoder(): IncrementalDecoder {
    const decoder = new PieceDecoder(this.#model);
    return {
      push: (id) => {
        this.#checkId(id);
        return decoder.push(id);
      },
      flush: () => decoder.flush(),
    };
  }

  /** A single token: its text with spaces, or its name if it has no text (`[EOS]`, `<0x0A>`). */
  piece(id: number): string {
    this.#checkId(id);
    return (this.#model.pieces[id]?.text ?? '').replaceAll('\u2581', ' ');
  }

  /** Whether {@link segmentEncoder} works: texts of other kinds of models cannot be cut. @internal */
  get canEncodeSegments(): boolean {
    return this.#model.isPlainBytePair && this.#model.addDummyPrefix;
  }

  /**
   * undefined: texts of this kind of model cannot be cut with certainty. Created at first use, because few texts are
   * long.
   */
  get #cuts(): ExactCuts | undefined {
    if (this.canEncodeSegments) this.#knownCuts ??= new ExactCuts(this.#model);
    return this.#knownCuts;
  }

  #checkId(id: number): void {
    if (!Number.isInteger(id) || id < 0 || id >= this.vocabSize) {
      throw invalidArgument('id', `an integer from 0 to ${this.vocabSize - 1}, the vocabulary`, id);
    }
  }

  #start(text: string, { bos }: CheckedOptions): number[] {
    if (typeof text !== 'string') throw invalidArgument('text', 'a string', text);
    const lone = /\p{Surrogate}/u.exec(text);
    if (lone) {
      throw invalidArgument(
        'text',
        'well-formed Unicode',
        text.slice(0, 20),
        `Character ${lone.index} is half of a pair.`,
      );
    }
    if (!bos) return [];
    if (this.bosId < 0) throw invalidArgument('bos', 'false, because this tokenizer has no [BOS]', true);
    return [this.bosId];
  }

  /** Without control tokens, text is cut inside the name of each one, so that no part contains the whole name. */
  #partsByControl({ text, lead }: TextPart, allowControl: boolean): TextPart[] {
    const parts: TextPart[] = [];
    let start = 0;
    while (!allowControl) {
      const found = this.#nextControl(text, start);
      if (found < 0) break;
      parts.push({ text: text.slice(start, found + 1), lead: start === 0 ? lead : 'bare' });
      start = found + 1;
    }
    parts.push({ text: text.slice(start), lead: start === 0 ? lead : 'bare' });
    return parts;
  }

  #nextControl(text: string, from: number): number {
    for (let index = text.indexOf('<', from); index >= 0; index = text.indexOf('<', index + 1)) {
      if (this.#controlPieces.some((piece) => text.startsWith(piece, index))) return index;
    }
    return -1;
  }

  /** Yields ids part by part; long texts that cannot be cut are encoded whole on another thread. */
  async *#encodeSlowly(part: TextPart, signal: Abort | undefined): AsyncGenerator<number[]> {
    let rest = part;
    while (rest.text.length > longestPartCharacters) {
      const cut = this.#cuts?.next(rest.text, partCharacters, longestPartCharacters) ?? -1;
      if (cut < 0) {
        const { text, extraTokens } = this.#standalone(rest);
        yield (await this.#thread.encode(text, signal)).slice(extraTokens);
        return;
      }
      yield this.#encodePart({ text: rest.text.slice(0, cut), lead: rest.lead });
      rest = partFrom(rest.text, cut);
      await setImmediate(); // lets other work of the process run
      signal?.throwIfAborted();
    }
    yield this.#encodePart(rest);
  }

  #encodeTemplate(part: TextPart): readonly number[] {
    const key = `${part.lead} ${part.text}`;
    const ids = this.#templateIds.get(key) ?? this.#encodePart(part);
    this.#templateIds.set(key, ids);
    return ids;
  }

  #encodePart(part: TextPart): number[] {
    const { text, extraTokens } = this.#standalone(part);
    return this.#processor.encodeIds(text).slice(extraTokens);
  }

  /** A text to encode instead of the part, and the number of tokens to drop from its front. */
  #standalone({ text, lead }: TextPart): { text: string; extraTokens: number } {
    if (lead === 'dummy') return { text, extraTokens: 0 };
    const cuts = this.#cuts;
    if (cuts === undefined) {
      throw new GrokError(
        `${this.path} cannot encode text without control tokens: it is not plain byte-pair encoding`,
        {
          code: 'GROK_UNSUPPORTED',
          hint: 'Leave `allowControl` at true, and remove control names from the text yourself.',
        },
      );
    }
    const first = text.codePointAt(0) ?? 0;
    if (cuts.standsAfterDummy(first)) return { text, extraTokens: cuts.dummyTokens };
    const guard = cuts.guardFor(first);
    if (guard === undefined) {
      throw new GrokError(`${this.path} has no token that can stand alone before ${JSON.stringify(text.slice(0, 1))}`, {
        code: 'GROK_UNSUPPORTED',
        hint: 'Leave `allowControl` at true, and remove control names from the text yourself.',
      });
    }
    return { text: guard + text, extraTokens: cuts.dummyTokens + 1 };
  }

  /** The library loads a damaged file without an error, and then encodes every text to nothing. */
  #proveThatItEncodes(): void {
    const samples = this.#model.pieces.filter(({ type }) => type === 'normal' || type === 'user-defined').slice(0, 8);
    for (const { text } of [...samples, { text: 'a' }]) {
      const sample = text.replaceAll('\u2581', ' ');
      const ids = this.#processor.encodeIds(sample);
      if (ids.length === 0 || ids.some((id) => id >= this.vocabSize)) {
        throw badTokenizer(
          this.path,
          `the SentencePiece library loaded it, but encodes ${JSON.stringify(sample)} to [${ids}]`,
        );
      }
    }
  }
}

// A spread would put every id on the stack.
function append(ids: number[], more: readonly number[]): void {
  for (const id of more) ids.push(id);
}

function sharedCopy(bytes: Uint8Array): Uint8Array<SharedArrayBuffer> {
  const copy = new Uint8Array(new SharedArrayBuffer(bytes.length));
  copy.set(bytes);
  return copy;
}
