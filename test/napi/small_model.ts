import { readFileSync } from 'node:fs';
import { loadNative } from '../../lib/addon/loader.js';
import type { NativeModel, NativeOpenOptions, NativeRequest } from '../../lib/addon/types.js';
import { neutralSampling } from '../../lib/options/schema.js';

export const addon = loadNative();
export const checkpoint = 'test/fixtures/golden/ref-small';
export const defaults: NativeOpenOptions = {
  device: 'auto',
  threads: 1,
  isa: '',
  contextSize: 0,
  maxSequences: 0,
  prefillChunk: 0,
  kvCacheType: 'f32',
  weights: 'packed',
  prefixCache: true,
  memoryLimit: 0,
};

export const requestFor = (prompt: number[], changes: Partial<NativeRequest> = {}): NativeRequest => ({
  prompt: Int32Array.from(prompt),
  maxTokens: 4,
  promptOutputs: 'none',
  ...neutralSampling,
  numLogprobs: 0,
  biasTokens: new Int32Array(),
  biasValues: new Float32Array(),
  seed: 0,
  stopTokens: new Int32Array(),
  ...changes,
});

export async function openLoaded(changes: Partial<NativeOpenOptions> = {}): Promise<NativeModel> {
  const model = await addon.open(checkpoint, { ...defaults, ...changes });
  while (!(await model.loadNext()).done);
  return model;
}

export function stepOf(model: NativeModel, ...sequences: number[]) {
  model.setRunnable(Float64Array.from(sequences));
  return model.step();
}

export const numThreads = () => Number(/Threads:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]);

/** A value of any type, as JavaScript may pass it. */
export const untyped = (value: unknown) => value as never;
