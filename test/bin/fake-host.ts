import { Readable, Writable } from 'node:stream';
import { expect } from 'vitest';
import type { Host, Library } from '../../bin/host.js';
import { runProgram } from '../../bin/program.js';

/** The requests to the fake library, in order. */
export interface Call {
  readonly name: string;
  readonly args: readonly unknown[];
}

export interface Scene {
  readonly stdin?: string | Uint8Array;
  /** The streams that are terminals. */
  readonly terminals?: readonly ('stdin' | 'stdout' | 'stderr')[];
  readonly env?: Record<string, string>;
  readonly library?: Partial<Record<keyof Library, unknown>>;
}

export interface Outcome {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly calls: readonly Call[];
}

export const COMPLETION = {
  text: ' there was a fox.',
  tokenIds: [7, 8],
  finishReason: 'length',
  usage: { promptTokens: 5, completionTokens: 2, totalTokens: 7 },
  timings: { queueMs: 0, prefillMs: 10, firstTokenMs: 10, decodeMs: 20, tokensPerSecond: 50 },
  seed: 1234,
};

export const INSPECTION = {
  path: '/models/small/ckpt-0',
  format: 'ckpt-0 (26 files)',
  configFrom: 'config.json',
  tokenizer: '/models/small/tokenizer.model',
  config: { vocabSize: 4096, numLayers: 2, numKvHeads: 2 },
  generation: { maxTokens: 256, temperature: 0.6, eosIds: [2, 7] },
  tensors: [0, 1].map((layer) => ({
    name: `transformer/decoder_layer_${layer}/moe/linear/w`,
    file: `tensor0000${layer}_000`,
    dtype: 'i8',
    shape: [8, 256, 512],
    scalesShape: [8, 1, 512],
    sizeBytes: 1_048_576,
  })),
  fileBytes: 15 * 2 ** 20,
  numParameters: 11_700_000,
  numActiveParameters: 4_600_000,
  memory: {
    weights: 16 * 2 ** 20,
    weightStorage: 'packed',
    kvCache: 2 ** 20,
    kvCacheType: 'f32',
    workspace: 2 ** 20,
    reserve: 0,
    total: 18 * 2 ** 20,
    available: 2 ** 30,
  },
  device: 'cpu',
  whyCpu: 'no driver',
  isPlan: false,
  manifest: null,
};

export const PLAN = {
  settings: [
    { weights: 'packed', kvCacheType: 'f32', memoryBytes: 18 * 2 ** 20, tokensPerSecond: undefined },
    { weights: 'mapped', kvCacheType: 'int8', memoryBytes: 3 * 2 ** 20, tokensPerSecond: 0.1234 },
  ],
  memory: { availableBytes: 8 * 2 ** 20, gigabytesPerSecond: 10, tokensPerSecond: 23.4 },
  disk: { directory: '/data', freeBytes: 2 ** 20, gigabytesPerSecond: 1.5, loadSeconds: 90 },
};

const SERIES = { min: 90, median: 100, max: 110.5, values: [90, 100, 110.5], disturbed: 0, discarded: 0 };
const RATE = { min: 9, median: 10, max: 11 };
const LIMITS = {
  isa: 'avx2',
  threads: 2,
  bufferBytes: 2 ** 30,
  read: RATE,
  multiplyAdds: [
    { name: 'f32', perProduct: 0, ...RATE },
    { name: 's16 x s16', perProduct: 1, ...RATE, median: 20 },
  ],
  disturbed: false,
};

export const BENCH_REPORT = {
  version: '1.2.3',
  date: '2024-03-17T00:00:00.000Z',
  machine: { cpu: 'Fake CPU', cpuThreads: 4, memoryBytes: 2 ** 34, kernel: '6', node: 'v20' },
  model: {
    name: 'tiny',
    isSynthetic: true,
    config: {},
    parameters: { total: 10_000_000, active: 4_000_000 },
    weightBytes: 10 * 2 ** 20,
    weightBytesPerToken: 4 * 2 ** 20,
    weightStorage: 'packed',
    kvCacheType: 'f32',
  },
  runs: [
    {
      threads: 2,
      device: 'cpu (fake, 2 threads)',
      loadMs: 1500,
      peakMemoryBytes: 64 * 2 ** 20,
      prefill: [
        {
          tokens: 128,
          tokensPerSecond: { ...SERIES, discarded: 3 },
          firstTokenMs: { ...SERIES, median: 1280 },
          gmacsPerSecond: 4,
          shareOfPeak: { 's16 x s16': 0.2 },
        },
      ],
      decode: {
        promptTokens: 8,
        tokens: 32,
        tokensPerSecond: { ...SERIES, median: 12.345, disturbed: 2 },
        firstTokenMs: { ...SERIES, median: 40 },
        gigabytesPerSecond: 7,
        shareOfBandwidth: 0.7,
      },
      limits: LIMITS,
    },
  ],
  oneThreadLimits: { ...LIMITS, threads: 1, disturbed: true },
};

function fakeLibrary(calls: Call[]): Record<keyof Library, unknown> {
  const called = (name: string, ...args: unknown[]) => calls.push({ name, args });
  const pieces = [' there', ' was a fox.'];
  const grok = {
    info: { device: 'cpu (fake)', whyCpu: 'no driver', parameters: { total: 11_700_000, active: 4_600_000 } },
    async check(...args: unknown[]) {
      called('check', ...args);
    },
    generate(prompt: string, options: { echo?: boolean }) {
      called('generate', prompt, options);
      const start = options.echo ? [prompt] : [];
      return {
        result: Promise.resolve({ ...COMPLETION, text: [...start, ...pieces].join('') }),
        async *[Symbol.asyncIterator]() {
          for (const [index, text] of [...start, ...pieces].entries()) yield { text, tokenIds: [index] };
        },
      };
    },
    async score(text: string) {
      called('score', text);
      return [
        { id: 3, text: 'a', logprob: null },
        { id: 4, text: ' b', logprob: -1 },
        { id: 5, text: '\n', logprob: -3 },
      ];
    },
    async [Symbol.asyncDispose]() {
      called('close');
    },
  };
  return {
    version: '1.2.3',
    Grok: {
      async load(source: unknown, { onOpened, ...options }: { onOpened?: (opened: object) => Promise<void> }) {
        called('load', source, options);
        await onOpened?.(grok);
        return grok;
      },
    },
    Tokenizer: {
      async load(...args: unknown[]) {
        called('loadTokenizer', ...args);
        return {
          encodeAsync: async (text: string) => [...text].map((letter) => letter.codePointAt(0)),
          piece: (id: number) => String.fromCodePoint(id),
          decoder: () => ({ push: (id: number) => String.fromCodePoint(id), flush: () => '' }),
        };
      },
    },
    async inspect(...args: unknown[]) {
      called('inspect', ...args);
      return INSPECTION;
    },
    async plan(...args: unknown[]) {
      called('plan', ...args);
      return PLAN;
    },
    async benchmark(options: { onProgress?: (what: string) => void }) {
      called('benchmark', options);
      options.onProgress?.('loading');
      return BENCH_REPORT;
    },
    verify: async () => expect.unreachable(),
    report: async () => expect.unreachable(),
    diagnose: () => ({
      binary: '/fake/grok-run.node',
      cpuIsas: ['avx2', 'portable'],
      cpuThreads: 2,
      cudaUnavailable: 'no driver',
    }),
  };
}

function collector(isTTY: boolean): { stream: Writable & { isTTY: boolean }; read: () => string } {
  const chunks: string[] = [];
  const stream = new Writable({
    write(chunk, _encoding, done) {
      chunks.push(String(chunk));
      done();
    },
  });
  return { stream: Object.assign(stream, { isTTY }), read: () => chunks.join('') };
}

/** Runs the command line in this process, on a library that answers at once and records its requests. */
export async function invoke(args: readonly string[], scene: Scene = {}): Promise<Outcome> {
  const { stdin = '', terminals = [], env = {}, library = {} } = scene;
  const calls: Call[] = [];
  const stdout = collector(terminals.includes('stdout'));
  const stderr = collector(terminals.includes('stderr'));
  const host = {
    library: { ...fakeLibrary(calls), ...library } as unknown as Library,
    stdin: Object.assign(Readable.from([stdin]), { isTTY: terminals.includes('stdin') }),
    stdout: stdout.stream,
    stderr: stderr.stream,
    env,
  } as Host;
  const exitCode = await runProgram(host, args);
  return { exitCode, stdout: stdout.read(), stderr: stderr.read(), calls };
}

/** An error as the library throws it. */
export function grokError(code: string, message: string, hint?: string): Error {
  return Object.assign(new Error(message), { name: 'GrokError', code, hint });
}
