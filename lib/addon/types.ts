import type { Sampling } from '../options/schema.js';

/** The addon's surface. */

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

/** Mirrors `GenerationConfig` in native/model/generation_config.h. A field that is not there has no value. */
export interface NativeGenerationConfig {
  temperature?: number;
  topP?: number;
  topK?: number;
  minP?: number;
  repetitionPenalty?: number;
  maxTokens?: number;
  /** Empty: the config's. */
  eosIds: number[];
}

/** Mirrors `Inspection`; sizes in bytes. */
export interface NativeInspection {
  path: string;
  format: string;
  configFrom: string;
  /** '' when no tokenizer.model lies beside the checkpoint. */
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
  /** Bytes of weights, as the backend has them, that decoding one token by itself reads. */
  weightBytesPerToken: number;
  memory: {
    /** What stays in the files is not counted. */
    weights: number;
    weightStorage: WeightStorage;
    kvCache: number;
    kvCacheType: KvCacheType;
    /** Activations of a step, and what operations need while they run. */
    workspace: number;
    /** What must stay free beside all that is allocated. */
    reserve: number;
    total: number;
    /** What the limit or the device allows; null: there is no such device, or the system does not tell. */
    available: number | null;
  };
  /** Device that a load would choose. */
  device: 'cpu' | 'cuda';
  /** Why device 'auto' is the CPU; '': a device was asked for by name. */
  whyCpu: string;
  /** The known shapes of Grok-1: no file was read. */
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
  /** Prompt tokens scored in this step, in order; the first of a prompt has no predecessor and is never among them. */
  prompt: NativeToken[];
  /** [rows, vocabSize] of this step, or null. */
  logits: Float32Array | null;
  finish: 'no' | 'stop' | 'length';
  /** The first position whose logits have a NaN or infinity, or null: it ended the sequence, and the rest is void. */
  notFiniteAt: number | null;
}

/** The promise of a call that reads files. */
export type NativeCall<T> = Promise<T> & {
  /** Interrupts the call, and lets the process end before it answers: for a caller who stops waiting. */
  abandon(): void;
};

/** The bytes of a tokenizer.model. */
export interface NativeTokenizerFile {
  /** None when the file has more than asked for. */
  bytes: Uint8Array;
  sizeBytes: number;
  /** The kind of another file under its name, such as `a web page (HTML)`, and what to do; else ''. */
  mistake: string;
  fix: string;
}

/** Mirrors `EngineStats`. */
export interface NativeStats {
  steps: number;
  promptTokens: number;
  generatedTokens: number;
  cachePages: number;
  freeCachePages: number;
  /** Positions of a page. */
  pageTokens: number;
}

/** One engine. Calls run one after another on its own thread; promises reject with `{ code, message, hint }`. */
export interface NativeModel {
  readonly inspection: NativeInspection;
  readonly device: string;
  readonly contextSize: number;
  readonly maxSequences: number;
  loadNext(): NativeCall<NativeLoadProgress>;
  /** Throws at once when the request cannot be run. */
  submit(request: NativeRequest): Promise<number>;
  /** The sequences that steps are for, from the next one to begin on. */
  setRunnable(sequences: Float64Array): void;
  /** One forward pass. One that is called for while another runs begins as soon as that has ended. */
  step(): Promise<NativeOutput[]>;
  release(sequence: number): Promise<void>;
  stats(): NativeStats;
  /** Stops the step in progress, then frees everything. Idempotent; pending and later calls reject with GROK_CLOSED. */
  close(): Promise<void>;
}

/** Of the repeats, in 1e9 a second. */
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
  /** GMAC/s, `f32` first. `perProduct` of them make a multiply-add of the products of this instruction set; 0: none. */
  multiplyAdds: (NativeRate & { name: string; perProduct: number })[];
}

/** Mirrors `CudaProbe` in native/backend/cuda/cuda.h; GB/s. */
export interface NativeCudaProbe {
  /** Its name and compute capability. */
  device: string;
  bufferBytes: number;
  read: NativeRate;
  /** What is read and what is written together. */
  copy: NativeRate;
}

export interface NativeAddon {
  open(path: string, options: NativeOpenOptions): NativeCall<NativeModel>;
  /** A model with made-up weights. `name` is a known shape or the path of a config.json; 0 layers are the shape's own. */
  openSynthetic(shape: { name: string; layers: number }, options: NativeOpenOptions): Promise<NativeModel>;
  /** Measures what the machine can do at most, for a few seconds. 0 threads are as many as an engine takes. */
  probe(threads: number, isa: string): Promise<NativeProbe>;
  /** The same of the memory of the CUDA device. */
  probeCuda(): Promise<NativeCudaProbe>;
  /** Reading from the disk of a folder past the page cache, in GB/s; null: it cannot be measured. */
  probeDisk(folder: string): Promise<number | null>;
  inspect(path: string, options: NativeOpenOptions): NativeCall<NativeInspection>;
  readTokenizer(path: string, maxBytes: number): NativeCall<NativeTokenizerFile>;
  /** Instruction sets with kernels in this binary that this CPU runs, best first. */
  cpuIsas(): string[];
  /** Threads that an engine on the CPU takes unless asked for a number. */
  cpuThreads(): number;
  /** Why CUDA cannot be used, or '' when it can. */
  cudaUnavailable(): string;
  /** Every code an error of the addon can carry. */
  errorCodes(): string[];
}
