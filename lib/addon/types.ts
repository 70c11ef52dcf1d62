import type { Sampling } from '../options/schema.js';

/** The types of the addon's functions and values. */

/** Mirrors `KvCacheType` in native/backend/backend.h. */
export type KvCacheType = 'f32' | 'bf16' | 'int8';

/** Mirrors `WeightStorage` in native/backend/backend.h. */
export type WeightStorage = 'packed' | 'mapped';

/** Mirrors `EngineOptions` in native/runtime/options.h; 0 and '' mean the engine's own default. */
export interface NativeOpenOptions {
  device: 'auto' | 'cpu' | 'cuda';
  threads: number;
  isa: string;
  contextSize: number;
  maxSequences: number;
  prefillChunk: number;
  kvCacheType: KvCacheType;
  weights: WeightStorage;
  prefixCache: boolean;
  memoryLimit: number;
}

/** Mirrors `GrokConfig` in native/model/config.h. */
export interface NativeConfig {
  vocabSize: number;
  contextLength: number;
  dModel: number;
  numLayers: number;
  numQHeads: number;
  numKvHeads: number;
  headDim: number;
  dFf: number;
  numExperts: number;
  expertsPerToken: number;
  embeddingScale: number;
  logitScale: number;
  attnLogitScale: number;
  attnLogitCap: number;
  ropeBase: number;
  normEps: number;
  padId: number;
  bosId: number;
  eosId: number;
}

/** Mirrors `GenerationConfig` in native/model/generation_config.h. Absent fields have no value. */
export interface NativeGenerationConfig extends Partial<Sampling> {
  maxTokens?: number;
  /** Empty: those of the config. */
  eosIds: number[];
}

/** Mirrors `Inspection`; sizes in bytes. */
export interface NativeInspection {
  path: string;
  format: string;
  configFrom: string;
  /** '' if no tokenizer.model lies beside the checkpoint. */
  tokenizer: string;
  config: NativeConfig;
  generation: NativeGenerationConfig;
  tensors: {
    name: string;
    file: string;
    dtype: 'f32' | 'bf16' | 'i8';
    shape: number[];
    scalesShape: number[];
    sizeBytes: number;
  }[];
  fileBytes: number;
  numParameters: number;
  numActiveParameters: number;
  /** Bytes of weights, in the backend's layout, that are read to decode one token by itself. */
  weightBytesPerToken: number;
  memory: {
    /** Without weights that stay in the files. */
    weights: number;
    weightStorage: WeightStorage;
    kvCache: number;
    kvCacheType: KvCacheType;
    /** Activations of a step, and scratch of the operations. */
    workspace: number;
    /** Bytes that must stay free beside all allocations. */
    reserve: number;
    total: number;
    /** The limit, or the free memory of the device; null: there is no such device, or it is unknown. */
    available: number | null;
  };
  /** The device that a load would choose. */
  device: 'cpu' | 'cuda';
  /** Why device 'auto' is the CPU; '': the device was named, or is a GPU. */
  whyCpu: string;
  /** The known shapes of Grok-1; no file was read. */
  isPlan: boolean;
}

export interface NativeLoadProgress {
  tensor: string;
  loadedBytes: number;
  totalBytes: number;
  done: boolean;
}

/** Mirrors `SequenceRequest`. */
export interface NativeRequest extends Sampling {
  prompt: Int32Array;
  maxTokens: number;
  promptOutputs: 'none' | 'logprobs' | 'logits';
  numLogprobs: number;
  biasTokens: Int32Array;
  biasValues: Float32Array;
  /** An integer in [0, 2^53). */
  seed: number;
  stopTokens: Int32Array;
}

export interface NativeToken {
  token: number;
  logprob: number;
  /** The likeliest tokens, best first: ids and natural logarithms. */
  topTokens: Int32Array;
  topLogprobs: Float32Array;
}

export interface NativeOutput {
  sequence: number;
  promptTokensDone: number;
  token: NativeToken | null;
  /**
   * Prompt tokens scored in this step, in order. The first token of a prompt has no predecessor and is never included.
   */
  prompt: NativeToken[];
  /** [rows, vocabSize] of this step, or null. */
  logits: Float32Array | null;
  finish: 'no' | 'stop' | 'length';
  /**
   * The first position whose logits have a NaN or infinity, or null. It ended the sequence, and the rest is invalid.
   */
  notFiniteAt: number | null;
}

/** The promise of a call that reads files. */
export type NativeCall<T> = Promise<T> & {
  /** For a caller that stops waiting: interrupts the call, and lets the process end before the call returns. */
  abandon(): void;
};

/** The bytes of a tokenizer.model. */
export interface NativeTokenizerFile {
  /** Empty if the file is larger than the requested maximum. */
  bytes: Uint8Array;
  sizeBytes: number;
  /** The kind of another file under its name, such as `a web page (HTML)`, and the fix; else ''. */
  mistake: string;
  fix: string;
}

/** Mirrors `EngineStats`. */
export interface NativeStats {
  steps: number;
  promptTokens: number;
  reusedTokens: number;
  generatedTokens: number;
  cachePages: number;
  /** Used by no sequence. */
  freeCachePages: number;
  /** Whose contents other sequences can find. */
  prefixCachePages: number;
  /** Positions per page. */
  pageTokens: number;
}

/** One engine. Calls run one after another on its own thread; promises reject with `{ code, message, hint }`. */
export interface NativeModel {
  readonly inspection: NativeInspection;
  readonly device: string;
  readonly contextSize: number;
  readonly maxSequences: number;
  loadNext(): NativeCall<NativeLoadProgress>;
  /** Throws at once if the request cannot run. */
  submit(request: NativeRequest): Promise<number>;
  /** Sets the sequences of later steps, starting with the next step that begins. */
  setRunnable(sequences: Float64Array): void;
  /** Runs one forward pass. A call during another pass begins as soon as that has ended. */
  step(): Promise<NativeOutput[]>;
  release(sequence: number): Promise<void>;
  /** Gives the cache of a sequence back. It waits for a place again, and goes on with the same tokens. */
  suspend(sequence: number): void;
  stats(): NativeStats;
  /** Stops the current step, then frees everything. Idempotent; pending and later calls reject with GROK_CLOSED. */
  close(): Promise<void>;
}

/** Rates of the repeats, in 1e9 a second. */
export interface NativeRate {
  min: number;
  median: number;
  max: number;
}

/** Mirrors `Probe` in native/backend/cpu/probe/probe.h. */
export interface NativeProbe {
  isa: string;
  threads: number;
  bufferBytes: number;
  /** GB/s. */
  read: NativeRate;
  /** GMAC/s, `f32` first. A multiply-add of this instruction set's products needs `perProduct` of them; 0: none. */
  multiplyAdds: (NativeRate & { name: string; perProduct: number })[];
}

/** Mirrors `cuda::Probe` in native/backend/cuda/cuda.h; GB/s. */
export interface NativeCudaProbe {
  /** The name and compute capability of the device. */
  device: string;
  bufferBytes: number;
  read: NativeRate;
  /** Bytes read plus bytes written. */
  copy: NativeRate;
}

export interface NativeAddon {
  open(path: string, options: NativeOpenOptions): NativeCall<NativeModel>;
  /** A model with synthetic weights. `name` is a known shape or the path of a config.json; 0 layers: the shape's own. */
  openSynthetic(shape: { name: string; layers: number }, options: NativeOpenOptions): Promise<NativeModel>;
  /** Measures what the machine can do at most, for a few seconds. 0 threads are as many as an engine takes. */
  probe(threads: number, isa: string): Promise<NativeProbe>;
  /** The same of the memory of the CUDA device. */
  probeCuda(): Promise<NativeCudaProbe>;
  /** Reading from the disk of a folder past the page cache, in GB/s; null: it cannot be measured. */
  probeDisk(folder: string): Promise<number | null>;
  inspect(path: string, options: NativeOpenOptions): NativeCall<NativeInspection>;
  readTokenizer(path: string, maxBytes: number): NativeCall<NativeTokenizerFile>;
  /** Instruction sets for which this binary has kernels and which this CPU runs, best first. */
  cpuIsas(): string[];
  /** Default threads of an engine on the CPU. */
  cpuThreads(): number;
  /** Why CUDA cannot be used, or '' if it can. */
  cudaUnavailable(): string;
  /** Every code that an error of the addon can have. */
  errorCodes(): string[];
}
