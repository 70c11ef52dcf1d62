// Writes a network in llama.cpp's format: a GGUF file of architecture `grok`.
import { closeSync, openSync } from 'node:fs';
import { int8Word, matrixScales, startOf, tensorsOf, vectorValues } from './network.mjs';
import { writeAll } from './write-all.mjs';

// Source: ggml-org/ggml docs/gguf.md
const VALUE_TYPES = { u32: 4, i32: 5, f32: 6, bool: 7, string: 8, array: 9 };
const GGML_F32 = 0;
const GGML_Q8_0 = 8;
const FILE_TYPE_F32 = 0;
const FILE_TYPE_Q8_0 = 7;
const ALIGNMENT = 32;

const BLOCK = 32; // weights, after one binary16 scale
const BLOCK_WORDS16 = 17;
const BUFFER_WEIGHTS = 2 ** 23;

/** Available types, by the matrices that are in Q8_0. The others are in f32, dequantized, like all vectors. */
export const GGUF_TYPES = {
  q8_0: () => true,
  'f32-head': ({ theirs }) => theirs !== 'token_embd.weight', // the embedding is also the head
  f32: () => false,
};

export function writeGguf(path, shape, { seed, type }) {
  const tensors = tensorsOf(shape).map((tensor) => ({
    ...tensor,
    isQ8: tensor.kind === 'matrix' && GGUF_TYPES[type](tensor),
  }));
  const file = openSync(path, 'w');
  try {
    writeAll(file, padded(headerOf(shape, tensors, type)));
    for (const tensor of tensors) {
      if (tensor.kind === 'vector') writeAll(file, Buffer.from(vectorValues(tensor, seed).buffer));
      else writeMatrix(file, tensor, seed);
      writeAll(file, Buffer.alloc(alignedSize(sizeOf(tensor)) - sizeOf(tensor)));
    }
  } finally {
    closeSync(file);
  }
}

/**
 * Bytes that decoding one token reads of such a file: everything once, but only the chosen experts, and the embedding
 * as head.
 */
export function bytesReadPerToken(shape, type) {
  return tensorsOf(shape).reduce((total, tensor) => {
    const isQ8 = tensor.kind === 'matrix' && GGUF_TYPES[type](tensor);
    const share = tensor.copies > 1 ? shape.expertsPerToken / tensor.copies : 1;
    return total + sizeOf({ ...tensor, isQ8 }) * share;
  }, 0);
}

function headerOf(shape, tensors, type) {
  const metadata = metadataOf(shape, type);
  const parts = [Buffer.from('GGUF'), u32(3), u64(tensors.length), u64(metadata.length)];
  for (const [key, type, value] of metadata) {
    const [, elementType] = type.split(':');
    parts.push(string(key), u32(VALUE_TYPES[elementType ? 'array' : type]));
    if (elementType) parts.push(u32(VALUE_TYPES[elementType]), u64(value.length));
    for (const element of elementType ? value : [value]) parts.push(scalar(elementType ?? type, element));
  }
  let offset = 0;
  for (const tensor of tensors) {
    const dims = ggmlDims(tensor);
    parts.push(string(tensor.theirs), u32(dims.length), ...dims.map(u64));
    parts.push(u32(tensor.isQ8 ? GGML_Q8_0 : GGML_F32), u64(offset));
    offset += alignedSize(sizeOf(tensor));
  }
  return Buffer.concat(parts);
}

function metadataOf(shape, type) {
  const vocabulary = vocabularyOf(shape.vocabSize);
  return [
    ['general.architecture', 'string', 'grok'],
    ['general.name', 'string', 'random weights'],
    ['general.alignment', 'u32', ALIGNMENT],
    ['general.file_type', 'u32', type === 'f32' ? FILE_TYPE_F32 : FILE_TYPE_Q8_0],
    ['grok.block_count', 'u32', shape.numLayers],
    ['grok.context_length', 'u32', shape.context],
    ['grok.embedding_length', 'u32', shape.dModel],
    ['grok.feed_forward_length', 'u32', shape.dFf],
    ['grok.expert_feed_forward_length', 'u32', shape.dFf],
    ['grok.attention.head_count', 'u32', shape.numQHeads],
    ['grok.attention.head_count_kv', 'u32', shape.numKvHeads],
    ['grok.attention.key_length', 'u32', shape.headDim],
    ['grok.attention.value_length', 'u32', shape.headDim],
    ['grok.attention.layer_norm_rms_epsilon', 'f32', shape.normEps],
    ['grok.attention.output_scale', 'f32', shape.attnLogitScale],
    ['grok.attn_logit_softcapping', 'f32', shape.attnLogitCap],
    ['grok.rope.dimension_count', 'u32', shape.headDim],
    ['grok.rope.freq_base', 'f32', shape.ropeBase],
    ['grok.expert_count', 'u32', shape.numExperts],
    ['grok.expert_used_count', 'u32', shape.expertsPerToken],
    ['grok.logit_scale', 'f32', shape.logitScale],
    ['grok.embedding_scale', 'f32', shape.embeddingScale],
    ['tokenizer.ggml.model', 'string', 'llama'],
    ['tokenizer.ggml.tokens', 'array:string', vocabulary.map(({ piece }) => piece)],
    ['tokenizer.ggml.scores', 'array:f32', vocabulary.map(({ score }) => score)],
    ['tokenizer.ggml.token_type', 'array:i32', vocabulary.map(({ type }) => type)],
    ['tokenizer.ggml.unknown_token_id', 'u32', 0],
    ['tokenizer.ggml.bos_token_id', 'u32', 1],
    ['tokenizer.ggml.eos_token_id', 'u32', 2],
    ['tokenizer.ggml.add_bos_token', 'bool', false],
  ];
}

/** A file needs a vocabulary that contains all 256 bytes; only ids are ever used. */
function vocabularyOf(vocabSize) {
  const NORMAL = 1;
  const UNKNOWN = 2;
  const CONTROL = 3;
  const BYTE = 6;
  const pieces = [
    { piece: '<unk>', score: 0, type: UNKNOWN },
    { piece: '<s>', score: 0, type: CONTROL },
    { piece: '</s>', score: 0, type: CONTROL },
  ];
  for (let byte = 0; byte < 256; byte++) {
    pieces.push({ piece: `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`, score: 0, type: BYTE });
  }
  for (let id = pieces.length; id < vocabSize; id++) pieces.push({ piece: `\u2581t${id}`, score: -id, type: NORMAL });
  return pieces;
}

function writeMatrix(file, tensor, seed) {
  const { dOut, dIn, copies, groups, isQ8 } = tensor;
  const start = startOf(tensor.theirs, seed);
  const scales = matrixScales(tensor, seed);
  const numRows = copies * dOut;
  const rowsAtOnce = Math.max(1, Math.min(numRows, Math.floor(BUFFER_WEIGHTS / dIn)));
  const words = new Int32Array((rowsAtOnce * dIn) / 4);
  for (let row = 0; row < numRows; row += rowsAtOnce) {
    const rows = Math.min(rowsAtOnce, numRows - row);
    const numWords = (rows * dIn) / 4;
    const firstWord = (row * dIn) / 4;
    for (let word = 0; word < numWords; word++) words[word] = int8Word(start, firstWord + word);
    const ofRows = scales.subarray(row * groups, (row + rows) * groups);
    const weights = words.subarray(0, numWords);
    writeAll(file, isQ8 ? q8Blocks(weights, ofRows, dIn / groups) : multipliedOut(weights, ofRows, dIn / groups));
  }
}

/** Blocks of a scale and 32 weights. All blocks of a group have the group's scale. */
function q8Blocks(words, scales, groupSize) {
  const pairs = new Uint16Array(words.buffer, words.byteOffset, words.length * 2);
  const blocks = new Uint16Array((pairs.length / (BLOCK / 2)) * BLOCK_WORDS16);
  const blocksPerGroup = groupSize / BLOCK;
  let from = 0;
  let to = 0;
  for (const scale of scales) {
    const half = toBinary16(scale);
    for (let block = 0; block < blocksPerGroup; block++) {
      blocks[to++] = half;
      for (let pair = 0; pair < BLOCK / 2; pair++) blocks[to++] = pairs[from++];
    }
  }
  return Buffer.from(blocks.buffer);
}

function multipliedOut(words, scales, groupSize) {
  const weights = new Int8Array(words.buffer, words.byteOffset, words.length * 4);
  return Buffer.from(Float32Array.from(weights, (weight, i) => weight * scales[Math.floor(i / groupSize)]).buffer);
}

/** Converts the bits of a normal binary16 number. */
function toBinary16(value) {
  const word = new Uint32Array(Float32Array.of(value).buffer)[0];
  return (((word >>> 23) - 112) << 10) | ((word & 0x7fffff) >>> 13);
}

/** GGML counts dimensions from the contiguous one. */
function ggmlDims({ kind, dims, dOut, dIn, copies }) {
  if (kind === 'vector') return [...dims].reverse();
  return copies > 1 ? [dIn, dOut, copies] : [dIn, dOut];
}

function sizeOf(tensor) {
  const numElements = ggmlDims(tensor).reduce((product, dim) => product * dim, 1);
  return tensor.isQ8 ? (numElements / BLOCK) * BLOCK_WORDS16 * 2 : numElements * 4;
}

function alignedSize(size) {
  return Math.ceil(size / ALIGNMENT) * ALIGNMENT;
}

function padded(bytes) {
  return Buffer.concat([bytes, Buffer.alloc(alignedSize(bytes.length) - bytes.length)]);
}

function scalar(type, value) {
  if (type === 'string') return string(value);
  if (type === 'u32') return u32(value);
  const bytes = Buffer.alloc(type === 'bool' ? 1 : 4);
  if (type === 'bool') bytes.writeUInt8(value ? 1 : 0);
  else if (type === 'i32') bytes.writeInt32LE(value);
  else bytes.writeFloatLE(value);
  return bytes;
}

function u32(value) {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function u64(value) {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

function string(text) {
  const bytes = Buffer.from(text);
  return Buffer.concat([u64(bytes.length), bytes]);
}
