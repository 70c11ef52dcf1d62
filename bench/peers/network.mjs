// The numbers of a random network. Both files that make-model.mjs writes hold exactly these.
//
// A matrix is int8 times a scale for each output channel, as in xAI's checkpoint; attention-out and down have a scale
// for each eighth of their input. Every scale is exact in binary16 and in bfloat16, so neither file rounds.
// Weights are a hash of (seed, tensor, index), uniform in -127 to 127: the hardest case for saturating arithmetic.

const GOLDEN_RATIO = 0x9e3779b9 | 0;
const INT8_DEVIATION = Math.sqrt((255 * 255 - 1) / 12);

/**
 * All tensors of the network, in the order of a GGUF file. `ours` is the name in xAI's checkpoint, `theirs` in GGUF.
 */
export function tensorsOf(shape) {
  const { dModel, dFf, kvWidth, numExperts, scaleGroups } = shape;
  const norm = (theirs, ours) => vector(theirs, ours, [dModel], (unit) => 0.5 + unit);
  const tensors = [
    matrix('token_embd', 'language_model/in_out_embed/embeddings', shape.vocabSize, dModel, 1 / shape.embeddingScale),
  ];
  for (let layer = 0; layer < shape.numLayers; layer++) {
    const add = (make, theirs, ours, ...rest) =>
      tensors.push(make(`blk.${layer}.${theirs}`, `transformer/decoder_layer_${layer}/${ours}`, ...rest));
    const keep = 1 / Math.sqrt(dModel); // keeps outputs about as large as inputs
    add(norm, 'attn_norm', 'rms_norm/scale');
    add(matrix, 'attn_q', 'multi_head_attention/query/w', dModel, dModel, keep);
    add(matrix, 'attn_k', 'multi_head_attention/key/w', kvWidth, dModel, keep);
    add(matrix, 'attn_v', 'multi_head_attention/value/w', kvWidth, dModel, keep);
    add(matrix, 'attn_output', 'multi_head_attention/linear/w', dModel, dModel, keep, { groups: scaleGroups });
    add(norm, 'attn_output_norm', 'rms_norm_1/scale');
    add(norm, 'ffn_norm', 'rms_norm_2/scale');
    // Wide, so that two experts are rarely so close that rounding chooses another one.
    const spread = 3 * Math.sqrt(3) * keep;
    add(vector, 'ffn_gate_inp', 'router/w', [numExperts, dModel], (unit) => (2 * unit - 1) * spread);
    add(matrix, 'ffn_gate_exps', 'moe/linear/w', dFf, dModel, keep, { copies: numExperts });
    add(matrix, 'ffn_up_exps', 'moe/linear_v/w', dFf, dModel, keep, { copies: numExperts });
    // Twice as large, so that its scales are normal binary16 numbers at full width, too.
    const down = 2 / Math.sqrt(dFf);
    add(matrix, 'ffn_down_exps', 'moe/linear_1/w', dModel, dFf, down, { copies: numExperts, groups: scaleGroups });
    add(norm, 'layer_output_norm', 'rms_norm_3/scale');
  }
  tensors.push(norm('output_norm', 'language_model/rms_norm/scale'));
  return tensors;
}

/** [copies, dOut, dIn], 4 weights a word along dIn; scales [copies, dOut, groups]. */
function matrix(theirs, ours, dOut, dIn, deviation, { copies = 1, groups = 1 } = {}) {
  return { kind: 'matrix', theirs: `${theirs}.weight`, ours, dOut, dIn, copies, groups, deviation };
}

/** f32, the last dimension contiguous. */
function vector(theirs, ours, dims, draw) {
  return { kind: 'vector', theirs: `${theirs}.weight`, ours, dims, draw };
}

export function vectorValues({ theirs, dims, draw }, seed) {
  const start = startOf(theirs, seed);
  const length = dims.reduce((product, dim) => product * dim, 1);
  return Float32Array.from({ length }, (_, index) => draw(unitAt(start, index)));
}

/** [copies, dOut, groups], each with 8 significant bits and no smaller than the smallest normal binary16. */
export function matrixScales({ theirs, dOut, copies, groups, deviation }, seed) {
  const start = startOf(`${theirs}#scale`, seed);
  const scales = new Float32Array(copies * dOut * groups);
  for (let i = 0; i < scales.length; i++) scales[i] = (deviation / INT8_DEVIATION) * (0.5 + unitAt(start, i));
  const words = new Uint32Array(scales.buffer);
  for (let i = 0; i < words.length; i++) words[i] &= 0xffff0000;
  const smallest = scales.reduce((least, scale) => Math.min(least, scale));
  if (smallest < 2 ** -14)
    throw new RangeError(`Expected scales of ${theirs} to be normal binary16, found ${smallest}`);
  return scales;
}

/** Weights 4 * word .. 4 * word + 3 of [copies, dOut, dIn], as the bytes of an integer, lowest first. */
export function int8Word(start, word) {
  const bits = hash((start + Math.imul(word, GOLDEN_RATIO)) | 0);
  // A byte of -128 becomes -127: its lowest bit is set.
  const flipped = bits ^ 0x80808080;
  return bits | (~(((flipped & 0x7f7f7f7f) + 0x7f7f7f7f) | flipped | 0x7f7f7f7f) >>> 7);
}

/** Start of a tensor's numbers. */
export function startOf(name, seed) {
  let fnv = 0x811c9dc5;
  for (const byte of Buffer.from(name)) fnv = Math.imul(fnv ^ byte, 0x01000193);
  return (fnv ^ Math.imul(seed, GOLDEN_RATIO)) | 0;
}

/** A number from 0 (included) to 1 (excluded). */
function unitAt(start, index) {
  return (hash((start + Math.imul(index, GOLDEN_RATIO)) | 0) >>> 8) / 2 ** 24;
}

/** Source: skeeto/hash-prospector, the two-round function [16 21f0aaad 15 735a2d97 15]. */
function hash(seed) {
  let bits = seed;
  bits = Math.imul(bits ^ (bits >>> 16), 0x21f0aaad);
  bits = Math.imul(bits ^ (bits >>> 15), 0x735a2d97);
  return bits ^ (bits >>> 15);
}
