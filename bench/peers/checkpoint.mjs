// Writes a network in grok-run's format: model.safetensors and config.json, in the names and layouts of xAI's ckpt-0.
import { closeSync, mkdirSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { int8Word, matrixScales, startOf, tensorsOf, vectorValues } from './network.mjs';
import { writeAll } from './write-all.mjs';

const BUFFER_WEIGHTS = 2 ** 23;
const EMBEDDING = 'language_model/in_out_embed/embeddings';

export function writeCheckpoint(folder, shape, { seed }) {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'config.json'), `${JSON.stringify(configOf(shape), null, 2)}\n`);
  const parts = tensorsOf(shape).flatMap((tensor) => partsOf(tensor, seed));
  const file = openSync(join(folder, 'model.safetensors'), 'w');
  try {
    writeAll(file, headerOf(parts));
    for (const { write } of parts) write(file);
  } finally {
    closeSync(file);
  }
}

function configOf(shape) {
  return {
    vocab_size: shape.vocabSize,
    max_position_embeddings: shape.context,
    hidden_size: shape.dModel,
    num_hidden_layers: shape.numLayers,
    num_attention_heads: shape.numQHeads,
    num_key_value_heads: shape.numKvHeads,
    head_dim: shape.headDim,
    intermediate_size: shape.dFf,
    num_experts: shape.numExperts,
    num_experts_per_tok: shape.expertsPerToken,
    embedding_multiplier_scale: shape.embeddingScale,
    output_multiplier_scale: shape.logitScale,
    attn_output_multiplier: shape.attnLogitScale,
    max_attn_value: shape.attnLogitCap,
    rope_theta: shape.ropeBase,
    rms_norm_eps: shape.normEps,
  };
}

/** The stored parts of a tensor: name in the file, dtype, shape, and the function that writes it. */
function partsOf(tensor, seed) {
  if (tensor.kind === 'vector') {
    const values = vectorValues(tensor, seed);
    const [rows, columns] = tensor.dims;
    const stored = columns === undefined ? values : transposed(values, rows, columns);
    const shape = [...tensor.dims].reverse();
    return [
      {
        name: tensor.ours,
        dtype: 'F32',
        shape,
        size: stored.byteLength,
        write: (file) => writeAll(file, bytesOf(stored)),
      },
    ];
  }
  const { ours, dOut, dIn, copies, groups } = tensor;
  if (ours === EMBEDDING) {
    const write = (file) => writeEmbedding(file, tensor, seed);
    return [{ name: ours, dtype: 'F32', shape: [dOut, dIn], size: dOut * dIn * 4, write }];
  }
  const experts = copies > 1 ? [copies] : [];
  const scales = bfloat16Scales(tensor, seed);
  return [
    {
      name: ours,
      dtype: 'I8',
      shape: [...experts, dIn, dOut],
      size: copies * dIn * dOut,
      write: (file) => writeWeights(file, tensor, seed),
    },
    {
      name: `${ours}.scales`,
      dtype: 'BF16',
      shape: [...experts, groups, dOut],
      size: scales.byteLength,
      write: (file) => writeAll(file, bytesOf(scales)),
    },
  ];
}

function headerOf(parts) {
  const entries = {};
  let offset = 0;
  for (const { name, dtype, shape, size } of parts) {
    entries[name] = { dtype, shape, data_offsets: [offset, offset + size] };
    offset += size;
  }
  const json = JSON.stringify(entries);
  const text = Buffer.from(json.padEnd(Math.ceil(json.length / 8) * 8));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  return Buffer.concat([length, text]);
}

/** [copies, dIn, dOut]. A word of the network holds 4 inputs of one output, which are a column of 4 rows here. */
function writeWeights(file, { theirs, dOut, dIn, copies }, seed) {
  const start = startOf(theirs, seed);
  const wordsPerOutput = dIn / 4;
  const wordsAtOnce = Math.max(1, Math.min(wordsPerOutput, Math.floor(BUFFER_WEIGHTS / 4 / dOut)));
  const rows = new Int8Array(wordsAtOnce * 4 * dOut);
  for (let copy = 0; copy < copies; copy++) {
    for (let first = 0; first < wordsPerOutput; first += wordsAtOnce) {
      const numWords = Math.min(wordsAtOnce, wordsPerOutput - first);
      for (let word = 0; word < numWords; word++) {
        for (let output = 0; output < dOut; output++) {
          const weights = int8Word(start, (copy * dOut + output) * wordsPerOutput + first + word);
          const at = word * 4 * dOut + output;
          rows[at] = weights;
          rows[at + dOut] = weights >> 8;
          rows[at + 2 * dOut] = weights >> 16;
          rows[at + 3 * dOut] = weights >> 24;
        }
      }
      writeAll(file, bytesOf(rows.subarray(0, numWords * 4 * dOut)));
    }
  }
}

/** [vocabSize, dModel], dequantized: xAI's checkpoint keeps the embedding in f32. */
function writeEmbedding(file, tensor, seed) {
  const start = startOf(tensor.theirs, seed);
  const scales = matrixScales(tensor, seed);
  const words = new Int32Array(tensor.dIn / 4);
  const weights = new Int8Array(words.buffer);
  for (let row = 0; row < tensor.dOut; row++) {
    for (let word = 0; word < words.length; word++) words[word] = int8Word(start, row * words.length + word);
    writeAll(file, bytesOf(Float32Array.from(weights, (weight) => weight * scales[row])));
  }
}

/** [copies, groups, dOut] */
function bfloat16Scales(tensor, seed) {
  const { dOut, copies, groups } = tensor;
  const words = new Uint32Array(matrixScales(tensor, seed).buffer);
  const scales = new Uint16Array(words.length);
  for (let copy = 0; copy < copies; copy++) {
    for (let group = 0; group < groups; group++) {
      for (let output = 0; output < dOut; output++) {
        scales[(copy * groups + group) * dOut + output] = words[(copy * dOut + output) * groups + group] >>> 16;
      }
    }
  }
  return scales;
}

function transposed(values, rows, columns) {
  return Float32Array.from(values, (_, i) => values[(i % rows) * columns + Math.floor(i / rows)]);
}

function bytesOf(array) {
  return Buffer.from(array.buffer, array.byteOffset, array.byteLength);
}
