// Grok-1's forward pass in float64 on a network of network.mjs, written plainly: the reference for both sides. For
// `tiny`. Source: xai-org/grok-1 model.py
import { int8Word, matrixScales, startOf, tensorsOf, vectorValues } from './network.mjs';

/** Logits after each token: [tokens][vocabSize]. */
export function exactLogits(shape, ids, { seed }) {
  const network = new Map(
    tensorsOf(shape).map((tensor) => [tensor.theirs.replace('.weight', ''), loaded(tensor, seed)]),
  );
  const caches = Array.from({ length: shape.numLayers }, () => ({ keys: [], values: [] }));
  return ids.map((id, position) => {
    let stream = rowOf(network.get('token_embd'), id).map((value) => value * shape.embeddingScale);
    for (const [layer, cache] of caches.entries()) {
      const weights = (name) => network.get(`blk.${layer}.${name}`);
      const norm = (values, name) => rmsNorm(values, weights(name), shape.normEps);
      const attended = attention(norm(stream, 'attn_norm'), weights, cache, position, shape);
      stream = added(stream, norm(attended, 'attn_output_norm'));
      stream = added(stream, norm(experts(norm(stream, 'ffn_norm'), weights, shape), 'layer_output_norm'));
    }
    const last = rmsNorm(stream, network.get('output_norm'), shape.normEps);
    return product(network.get('token_embd'), last).map((value) => value * shape.logitScale);
  });
}

/**
 * Distance of `logits` from the exact ones, position by position: the RMS of the difference divided by that of the
 * exact ones.
 */
export function distance(exact, logits) {
  const positions = exact.map((row, position) => {
    const other = logits[position];
    const squares = row.map((value, id) => (value - other[id]) ** 2);
    return Math.sqrt(sum(squares) / sum(row.map((value) => value ** 2)));
  });
  const sameTop1 = exact.filter((row, position) => likeliest(row) === likeliest(logits[position])).length;
  return { positions, sameTop1 };
}

function loaded(tensor, seed) {
  if (tensor.kind === 'vector') return vectorValues(tensor, seed);
  const start = startOf(tensor.theirs, seed);
  const words = Int32Array.from({ length: (tensor.copies * tensor.dOut * tensor.dIn) / 4 }, (_, i) =>
    int8Word(start, i),
  );
  return { ...tensor, weights: new Int8Array(words.buffer), scales: matrixScales(tensor, seed) };
}

function rowOf({ weights, scales, dIn, groups }, row) {
  const scaleOf = (input) => scales[row * groups + Math.floor((input * groups) / dIn)];
  return Float64Array.from({ length: dIn }, (_, input) => weights[row * dIn + input] * scaleOf(input));
}

/** y = W x; `copy` is the expert, if there are several. */
function product(matrix, inputs, copy = 0) {
  const { dOut } = matrix;
  return Float64Array.from({ length: dOut }, (_, output) => dot(rowOf(matrix, copy * dOut + output), inputs));
}

function attention(inputs, weights, { keys, values }, position, shape) {
  const { numQHeads, numKvHeads, headDim, attnLogitScale, attnLogitCap } = shape;
  const head = (vector, index) => vector.subarray(index * headDim, (index + 1) * headDim);
  const queries = rotated(product(weights('attn_q'), inputs), position, shape);
  keys.push(rotated(product(weights('attn_k'), inputs), position, shape));
  values.push(product(weights('attn_v'), inputs));
  const attended = new Float64Array(numQHeads * headDim);
  for (let query = 0; query < numQHeads; query++) {
    const shared = Math.floor((query * numKvHeads) / numQHeads);
    const logits = keys.map((key) => dot(head(queries, query), head(key, shared)) * attnLogitScale);
    const shares = softmax(logits.map((logit) => attnLogitCap * Math.tanh(logit / attnLogitCap)));
    for (const [past, share] of shares.entries()) {
      const value = head(values[past], shared);
      for (let i = 0; i < headDim; i++) attended[query * headDim + i] += share * value[i];
    }
  }
  return product(weights('attn_output'), attended);
}

/** Rotates the two halves of a head together. */
function rotated(vector, position, { headDim, ropeBase }) {
  const half = headDim / 2;
  const turned = Float64Array.from(vector);
  for (let first = 0; first < vector.length; first += headDim) {
    for (let i = 0; i < half; i++) {
      const angle = position / ropeBase ** (i / half);
      const [x, y] = [vector[first + i], vector[first + i + half]];
      turned[first + i] = x * Math.cos(angle) - y * Math.sin(angle);
      turned[first + i + half] = y * Math.cos(angle) + x * Math.sin(angle);
    }
  }
  return turned;
}

function experts(inputs, weights, { numExperts, expertsPerToken, dModel }) {
  const router = weights('ffn_gate_inp');
  const logits = Array.from({ length: numExperts }, (_, expert) => dot(router.subarray(expert * dModel), inputs));
  const gates = softmax(logits);
  const best = [...logits.keys()].sort((a, b) => logits[b] - logits[a]).slice(0, expertsPerToken);
  const outputs = best.map((expert) => {
    const up = product(weights('ffn_up_exps'), inputs, expert);
    const hidden = product(weights('ffn_gate_exps'), inputs, expert).map((gate, i) => gelu(gate) * up[i]);
    return product(weights('ffn_down_exps'), hidden, expert).map((value) => value * gates[expert]);
  });
  return outputs.reduce(added);
}

/** Source: jax.nn.gelu, approximate */
function gelu(value) {
  return 0.5 * value * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (value + 0.044715 * value ** 3)));
}

function rmsNorm(values, scale, eps) {
  const factor = 1 / Math.sqrt(dot(values, values) / values.length + eps);
  return values.map((value, i) => value * factor * scale[i]);
}

function softmax(logits) {
  const largest = Math.max(...logits);
  const powers = logits.map((logit) => Math.exp(logit - largest));
  const total = sum(powers);
  return powers.map((power) => power / total);
}

function dot(left, right) {
  let total = 0;
  for (let i = 0; i < right.length; i++) total += left[i] * right[i];
  return total;
}

function sum(values) {
  return values.reduce((total, value) => total + value, 0);
}

function added(left, right) {
  return left.map((value, i) => value + right[i]);
}

function likeliest(logits) {
  return logits.indexOf(logits.reduce((most, logit) => Math.max(most, logit)));
}
