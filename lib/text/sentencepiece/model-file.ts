import type { Abort } from '../../abort.js';
import { callReading } from '../../addon/calls.js';
import { loadNative } from '../../addon/loader.js';
import type { NativeTokenizerFile } from '../../addon/types.js';
import { GrokError } from '../../errors.js';
import { fields, ProtobufError } from './protobuf.js';

export type PieceType = 'normal' | 'unknown' | 'control' | 'user-defined' | 'unused' | 'byte';

export interface Piece {
  /** As in the file: U+2581 means a space, `<0x0A>` a byte. */
  readonly text: string;
  readonly score: number;
  readonly type: PieceType;
}

/** The fields of a tokenizer.model that decoding and safe cutting need. */
export interface SentencePieceModel {
  readonly pieces: readonly Piece[];
  /** -1: the model has none. */
  readonly bosId: number;
  readonly eosId: number;
  readonly padId: number;
  /** The text of an unknown piece. */
  readonly unknownSurface: string;
  /** A space is put before every text, and removed by decoding. */
  readonly addDummyPrefix: boolean;
  /**
   * Byte-pair merging of unchanged text: pieces result only from merging neighbouring pieces, and characters outside
   * the vocabulary become bytes. exact-cuts.ts relies on that.
   */
  readonly isPlainBytePair: boolean;
}

// Source: google/sentencepiece sentencepiece_model.proto (SentencePiece.Type)
const pieceTypes: Record<number, PieceType> = {
  1: 'normal',
  2: 'unknown',
  3: 'control',
  4: 'user-defined',
  5: 'unused',
  6: 'byte',
};
const bytePairModel = 2; // TrainerSpec.ModelType.BPE

// xAI's file has 2.2 MB. A file far larger than that is not a tokenizer and is refused before it is read.
const maxFileBytes = 256 * 1024 * 1024;

/** Bytes of a tokenizer.model. @throws {GrokError} GROK_NOT_FOUND, GROK_IO, GROK_BAD_TOKENIZER */
export async function readModelFile(path: string, abort?: Abort): Promise<Uint8Array> {
  const { bytes, sizeBytes, mistake, fix } = await readBytes(path, abort);
  if (sizeBytes > maxFileBytes) throw badTokenizer(path, `expected at most ${maxFileBytes} bytes, found ${sizeBytes}`);
  if (mistake !== '') throw badTokenizer(path, `found ${mistake}`, undefined, fix);
  return bytes;
}

/** Parses the bytes of a tokenizer.model. `path` appears in messages. @throws {GrokError} GROK_BAD_TOKENIZER */
export function parseModel(bytes: Uint8Array, path: string): SentencePieceModel {
  try {
    return parseFields(bytes);
  } catch (error) {
    if (error instanceof ProtobufError || error instanceof BadModel) throw badTokenizer(path, error.message, error);
    throw error;
  }
}

async function readBytes(path: string, abort: Abort | undefined): Promise<NativeTokenizerFile> {
  const addon = loadNative();
  try {
    return await callReading(() => addon.readTokenizer(path, maxFileBytes), abort);
  } catch (error) {
    if (!(error instanceof GrokError)) throw error;
    throw new GrokError(`The tokenizer cannot be read: ${error.message}`, {
      code: error.code,
      hint: error.hint ?? 'Give the path of a SentencePiece model, usually named tokenizer.model.',
      cause: error,
    });
  }
}

export function badTokenizer(path: string, reason: string, cause?: unknown, fix?: string): GrokError {
  return new GrokError(`${path} is not a usable SentencePiece model: ${reason}`, {
    code: 'GROK_BAD_TOKENIZER',
    hint:
      fix ?? "Grok-1's tokenizer.model has 2229219 bytes and comes with github.com/xai-org/grok-1; download it again.",
    cause,
  });
}

class BadModel extends Error {}

function parseFields(bytes: Uint8Array): SentencePieceModel {
  const pieces: Piece[] = [];
  // The defaults of the file format.
  const trainer = {
    modelType: 1,
    byteFallback: false,
    suffix: false,
    bosId: 1,
    eosId: 2,
    padId: -1,
    unknownSurface: ' \u2047 ',
  };
  const normalizer = { charsMap: false, addDummyPrefix: true, removeExtraWhitespaces: true, escapeWhitespaces: true };

  for (const field of fields(bytes)) {
    if (field.kind !== 'bytes') continue;
    if (field.number === 1) pieces.push(parsePiece(field.value, pieces.length));
    else if (field.number === 2) parseTrainer(field.value, trainer);
    else if (field.number === 3) parseNormalizer(field.value, normalizer);
    else if (field.number === 5) refuseDenormalizer(field.value);
  }

  if (pieces.length === 0) throw new BadModel('expected pieces, found none');
  refuseDuplicates(pieces);
  if (trainer.suffix)
    throw new BadModel('it writes spaces after words (treat_whitespace_as_suffix), which is not supported');
  if (normalizer.removeExtraWhitespaces) {
    throw new BadModel('it drops spaces (remove_extra_whitespaces), so that text cannot be given back');
  }
  for (const name of ['bosId', 'eosId', 'padId'] as const) {
    const id = trainer[name];
    if (id >= pieces.length)
      throw new BadModel(`expected ${name} below ${pieces.length}, the number of pieces, found ${id}`);
  }
  return {
    pieces,
    bosId: trainer.bosId,
    eosId: trainer.eosId,
    padId: trainer.padId,
    unknownSurface: trainer.unknownSurface,
    addDummyPrefix: normalizer.addDummyPrefix,
    isPlainBytePair:
      trainer.modelType === bytePairModel &&
      trainer.byteFallback &&
      !normalizer.charsMap &&
      normalizer.escapeWhitespaces,
  };
}

function parsePiece(bytes: Uint8Array, id: number): Piece {
  let text = '';
  let score = 0;
  let type: PieceType = 'normal';
  for (const field of fields(bytes)) {
    if (field.number === 1 && field.kind === 'bytes') text = utf8(field.value, `piece ${id}`);
    else if (field.number === 2 && field.kind === 'fixed32') score = field.value;
    else if (field.number === 3 && field.kind === 'varint') {
      const known = pieceTypes[field.int32];
      if (known === undefined) throw new BadModel(`piece ${id} has unknown type ${field.int32}`);
      type = known;
    }
  }
  if (text === '') throw new BadModel(`piece ${id} is empty`);
  if (type === 'byte' && !/^<0x[0-9A-F]{2}>$/.test(text)) {
    throw new BadModel(
      `expected byte piece ${id} to be written like <0x0A>, found ${JSON.stringify(text.slice(0, 20))}`,
    );
  }
  return { text, score, type };
}

function parseTrainer(
  bytes: Uint8Array,
  trainer: {
    modelType: number;
    byteFallback: boolean;
    suffix: boolean;
    bosId: number;
    eosId: number;
    padId: number;
    unknownSurface: string;
  },
): void {
  for (const field of fields(bytes)) {
    if (field.kind === 'varint') {
      const value = field.int32;
      if (field.number === 3) trainer.modelType = value;
      else if (field.number === 24) trainer.suffix = value !== 0;
      else if (field.number === 35) trainer.byteFallback = value !== 0;
      else if (field.number === 41) trainer.bosId = Math.max(-1, value);
      else if (field.number === 42) trainer.eosId = Math.max(-1, value);
      else if (field.number === 43) trainer.padId = Math.max(-1, value);
    } else if (field.kind === 'bytes' && field.number === 44) {
      trainer.unknownSurface = utf8(field.value, 'the unknown surface');
    }
  }
}

function parseNormalizer(
  bytes: Uint8Array,
  normalizer: {
    charsMap: boolean;
    addDummyPrefix: boolean;
    removeExtraWhitespaces: boolean;
    escapeWhitespaces: boolean;
  },
): void {
  for (const field of fields(bytes)) {
    if (field.kind === 'bytes' && field.number === 2) normalizer.charsMap = field.value.length > 0;
    else if (field.kind !== 'varint') continue;
    else if (field.number === 3) normalizer.addDummyPrefix = field.int32 !== 0;
    else if (field.number === 4) normalizer.removeExtraWhitespaces = field.int32 !== 0;
    else if (field.number === 5) normalizer.escapeWhitespaces = field.int32 !== 0;
  }
}

function refuseDenormalizer(bytes: Uint8Array): void {
  for (const field of fields(bytes)) {
    if (field.number === 2 && field.kind === 'bytes' && field.value.length > 0) {
      throw new BadModel('it rewrites decoded text (denormalizer), which is not supported');
    }
  }
}

function refuseDuplicates(pieces: readonly Piece[]): void {
  const firstId = new Map<string, number>();
  pieces.forEach(({ text }, id) => {
    const earlier = firstId.get(text);
    if (earlier !== undefined)
      throw new BadModel(`pieces ${earlier} and ${id} are both ${JSON.stringify(text.slice(0, 20))}`);
    firstId.set(text, id);
  });
}

const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function utf8(bytes: Uint8Array, what: string): string {
  try {
    return strictUtf8.decode(bytes);
  } catch {
    throw new BadModel(`${what} is not UTF-8`);
  }
}
