// Sizes of the networks that both sides run, by their names in `grok-run bench --shape`.
import { readFileSync } from 'node:fs';

const grok1Layer = { dModel: 6144, numQHeads: 48, numKvHeads: 8, headDim: 128, dFf: 32768 };

const SHAPES = {
  // For checks: 11 MB.
  tiny: {
    numLayers: 2,
    dModel: 256,
    numQHeads: 8,
    numKvHeads: 2,
    headDim: 32,
    dFf: 768,
    vocabSize: 1024,
    context: 8192,
  },
  // Grok-1 divided by 4 in every width: 2 GB.
  mid: {
    numLayers: 6,
    dModel: 1536,
    numQHeads: 12,
    numKvHeads: 2,
    headDim: 128,
    dFf: 8192,
    vocabSize: 32768,
    context: 8192,
  },
  // Layers of Grok-1 in full width with a small vocabulary: 5 GB each.
  slice1: { ...grok1Layer, numLayers: 1, vocabSize: 8192, context: 8192 },
  slice: { ...grok1Layer, numLayers: 2, vocabSize: 8192, context: 8192 },
};

const Q8_0_BLOCK = 32;
const SCALE_GROUPS = 8; // of attention-out and down, along their input, as in xAI's checkpoint

/** The shape of that name, or in that JSON file, with all sizes derived from it. */
export function shapeOf(nameOrFile) {
  const sizes = nameOrFile.endsWith('.json') ? JSON.parse(readFileSync(nameOrFile, 'utf8')) : SHAPES[nameOrFile];
  if (!sizes)
    throw new RangeError(`Expected a shape: ${Object.keys(SHAPES).join(', ')} or a .json file, found ${nameOrFile}`);
  const shape = {
    numExperts: 8,
    expertsPerToken: 2,
    // Both are rounded to bfloat16, like in xAI's code, so that both sides compute the same function.
    embeddingScale: toBfloat16(Math.sqrt(sizes.dModel)),
    logitScale: 0.578125,
    attnLogitScale: 1 / Math.sqrt(sizes.headDim),
    attnLogitCap: 30,
    ropeBase: 10000,
    normEps: 1e-5,
    ...sizes,
  };
  const { numQHeads, headDim, dModel, dFf } = shape;
  if (numQHeads * headDim !== dModel) {
    throw new RangeError(
      `Expected numQHeads * headDim to be dModel, as llama.cpp needs it, found ${numQHeads} * ${headDim} and ${dModel}`,
    );
  }
  for (const width of [dModel, dFf]) {
    if (width % (SCALE_GROUPS * Q8_0_BLOCK) !== 0) {
      throw new RangeError(`Expected widths to be multiples of ${SCALE_GROUPS * Q8_0_BLOCK}, found ${width}`);
    }
  }
  return { ...shape, scaleGroups: SCALE_GROUPS, kvWidth: shape.numKvHeads * headDim };
}

/** Rounds to the nearest bfloat16, ties to even. */
export function toBfloat16(value) {
  const word = new DataView(new ArrayBuffer(4));
  word.setFloat32(0, value);
  const bits = word.getUint32(0);
  word.setUint32(0, (bits + 0x7fff + ((bits >>> 16) & 1)) & 0xffff0000);
  return word.getFloat32(0);
}
