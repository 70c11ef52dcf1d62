import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { distance, exactLogits } from '../../../bench/peers/exact.mjs';
import { bytesReadPerToken } from '../../../bench/peers/gguf.mjs';
import { ensureModel } from '../../../bench/peers/make-model.mjs';
import { Grok } from '../../../lib/index.js';

// The smallest that both sides' rules allow, with several layers, shared key-value heads, and a router with a choice.
const SIZES = {
  numLayers: 2,
  dModel: 256,
  numQHeads: 4,
  numKvHeads: 2,
  headDim: 64,
  dFf: 256,
  vocabSize: 320,
  context: 64,
};
const IDS = [5, 300, 17, 311, 42, 9];

let folder: string;
let paths: { gguf: string; checkpoint: string; shape: object };

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'grok-run-peers-'));
  writeFileSync(join(folder, 'small.json'), JSON.stringify(SIZES));
  paths = ensureModel(folder, join(folder, 'small.json'));
});
afterAll(() => rmSync(folder, { recursive: true }));

interface Tensor {
  dims: number[];
  type: number;
  bytes: Buffer;
}

/** Metadata and tensors of a GGUF file. Source: ggml-org/ggml docs/gguf.md */
function readGguf(path: string): { metadata: Map<string, unknown>; tensors: Map<string, Tensor> } {
  const file = readFileSync(path);
  let at = 0;
  const take = (size: number) => {
    at += size;
    return file.subarray(at - size, at);
  };
  const u32 = () => take(4).readUInt32LE();
  const u64 = () => Number(take(8).readBigUInt64LE());
  const string = () => take(u64()).toString();
  const value = (type: number): unknown => {
    if (type === 8) return string();
    if (type === 7) return take(1)[0] !== 0;
    if (type === 6) return take(4).readFloatLE();
    if (type === 5) return take(4).readInt32LE();
    if (type === 4) return u32();
    expect(type).toBe(9);
    const elementType = u32();
    return Array.from({ length: u64() }, () => value(elementType));
  };

  expect(take(4).toString()).toBe('GGUF');
  expect(u32()).toBe(3);
  const [numTensors, numKeys] = [u64(), u64()];
  const metadata = new Map(Array.from({ length: numKeys }, () => [string(), value(u32())]));
  const places = Array.from({ length: numTensors }, () => {
    const name = string();
    const dims = Array.from({ length: u32() }, u64);
    return { name, dims, type: u32(), offset: u64() };
  });
  const data = Math.ceil(at / 32) * 32;
  const tensors = places.map(({ name, dims, type, offset }): [string, Tensor] => {
    const numElements = dims.reduce((product, dim) => product * dim, 1);
    const size = type === 8 ? (numElements / 32) * 34 : numElements * 4;
    expect(offset % 32).toBe(0);
    expect(data + offset + size).toBeLessThanOrEqual(file.length);
    return [name, { dims, type, bytes: file.subarray(data + offset, data + offset + size) }];
  });
  return { metadata, tensors: new Map(tensors) };
}

/** Values of a tensor, [.., out, in], dequantized like in ggml. */
function valuesOf({ type, bytes }: Tensor): Float32Array {
  const f32 = (from: Buffer) => new Float32Array(Uint8Array.from(from).buffer);
  if (type === 0) return f32(bytes);
  return Float32Array.from({ length: (bytes.length / 34) * 32 }, (_, i) => {
    const block = Math.floor(i / 32) * 34;
    const half = bytes.readUInt16LE(block);
    const scale = 2 ** ((half >> 10) - 15) * (1 + (half & 1023) / 1024);
    return scale * bytes.readInt8(block + 2 + (i % 32));
  });
}

interface Stored {
  dtype: string;
  shape: number[];
  bytes: Buffer;
}

function readSafetensors(path: string): Map<string, Stored> {
  const file = readFileSync(path);
  const data = 8 + Number(file.readBigUInt64LE());
  const header: Record<string, { dtype: string; shape: number[]; data_offsets: [number, number] }> = JSON.parse(
    file.subarray(8, data).toString(),
  );
  return new Map(
    Object.entries(header).map(
      ([
        name,
        {
          dtype,
          shape,
          data_offsets: [from, to],
        },
      ]) => [name, { dtype, shape, bytes: file.subarray(data + from, data + to) }],
    ),
  );
}

/** W[expert][input][output] of a quantised matrix, dequantized. */
function weightsOf(stored: Map<string, Stored>, name: string) {
  const [weights, scales] = [stored.get(name), stored.get(`${name}.scales`)];
  if (!weights || !scales) throw new Error(`${name} is not there`);
  const [dIn = 0, dOut = 0] = weights.shape.slice(-2);
  const groups = scales.shape.at(-2) ?? 0;
  return (expert: number, input: number, output: number) => {
    const scale = scales.bytes.readUInt16LE(
      2 * ((expert * groups + Math.floor((input * groups) / dIn)) * dOut + output),
    );
    const word = new DataView(new ArrayBuffer(4));
    word.setUint16(0, scale);
    return word.getFloat32(0) * weights.bytes.readInt8((expert * dIn + input) * dOut + output);
  };
}

describe('the two files of a network', () => {
  it.each([
    ['attn_output', 'multi_head_attention/linear/w'],
    ['attn_k', 'multi_head_attention/key/w'],
    ['ffn_gate_exps', 'moe/linear/w'],
    ['ffn_up_exps', 'moe/linear_v/w'],
    ['ffn_down_exps', 'moe/linear_1/w'],
  ])('hold the same numbers in %s', (theirs, ours) => {
    const tensor = readGguf(paths.gguf).tensors.get(`blk.1.${theirs}.weight`);
    if (!tensor) throw new Error('no such tensor');
    const values = valuesOf(tensor);
    const weight = weightsOf(
      readSafetensors(join(paths.checkpoint, 'model.safetensors')),
      `transformer/decoder_layer_1/${ours}`,
    );
    const [dIn = 0, dOut = 0] = tensor.dims;
    const differing = values.findIndex((value, i) => {
      const row = Math.floor(i / dIn);
      return weight(Math.floor(row / dOut), i % dIn, row % dOut) !== value;
    });
    expect(differing).toBe(-1);
  });

  it('hold the same embedding, in f32 on request, and no separate head', () => {
    const f32Head = ensureModel(folder, join(folder, 'small.json'), { type: 'f32-head' });
    expect(f32Head.checkpoint).toBe(paths.checkpoint);
    const stored = readSafetensors(join(paths.checkpoint, 'model.safetensors')).get(
      'language_model/in_out_embed/embeddings',
    );
    const [q8, f32] = [paths.gguf, f32Head.gguf].map((path) => readGguf(path).tensors.get('token_embd.weight'));
    if (!q8 || !f32 || !stored) throw new Error('no embedding');
    expect([q8.type, f32.type]).toEqual([8, 0]);
    expect(f32.bytes.equals(stored.bytes)).toBe(true);
    expect(valuesOf(q8)).toEqual(valuesOf(f32));
    expect(readGguf(paths.gguf).tensors.has('output.weight')).toBe(false);
  });

  it('are never left half written', () => {
    expect(readdirSync(folder).sort()).toEqual(['small', 'small-f32-head.gguf', 'small.gguf', 'small.json']);
  });

  it('say what both sides need to know', () => {
    const { metadata } = readGguf(paths.gguf);
    expect(metadata.get('general.architecture')).toBe('grok');
    expect(metadata.get('grok.embedding_scale')).toBe(16);
    expect(metadata.get('grok.logit_scale')).toBe(0.578125);
    expect(metadata.get('tokenizer.ggml.tokens')).toHaveLength(SIZES.vocabSize);
  });

  it('have the bytes per token that the shapes imply', () => {
    const { dModel, dFf, numLayers, vocabSize } = SIZES;
    const attention = 2 * dModel * dModel + 2 * dModel * 128;
    const q8Bytes = (numLayers * (attention + 2 * 3 * dModel * dFf) + vocabSize * dModel) * (34 / 32);
    const f32Bytes = (numLayers * (4 + 8) + 1) * dModel * 4; // norms and routers
    expect(bytesReadPerToken(paths.shape, 'q8_0')).toBe(q8Bytes + f32Bytes);
  });
});

describe('exact arithmetic', () => {
  // Wide enough for 16-bit activations (3e-5 a product); a wrong layout, scale or order of heads causes 0.1 and more.
  it('is within 1e-3 of grok-run on the same network', async () => {
    const exact = exactLogits(paths.shape, IDS, { seed: 1 });
    await using grok = await Grok.load(paths.checkpoint, { device: 'cpu' });
    const { data, shape } = await grok.logits(IDS);
    const rows = IDS.map((_, position) => data.subarray(position * shape[1], (position + 1) * shape[1]));
    const { positions, sameTop1 } = distance(exact, rows);
    expect(Math.max(...positions)).toBeLessThan(1e-3);
    expect(sameTop1).toBe(IDS.length);
  });

  it('is far from the logits of another position', () => {
    const exact = exactLogits(paths.shape, IDS, { seed: 1 });
    expect(Math.min(...distance(exact, [...exact.slice(1), exact[0]]).positions)).toBeGreaterThan(0.1);
  });
});
