import type {
  NativeGenerationConfig,
  NativeInspection,
  NativeModel,
  NativeOutput,
  NativeRequest,
  NativeStats,
  NativeToken,
} from '../../../lib/addon/types.js';

const nothingDone = {
  ...{ promptTokens: 0, reusedTokens: 0, generatedTokens: 0 },
  ...{ cachePages: 4, freeCachePages: 4, prefixCachePages: 0, pageTokens: 16 },
};

interface FakeSequence {
  readonly id: number;
  readonly request: NativeRequest;
  promptDone: number;
  generated: number;
  holdsCache: boolean;
}

export interface FakeOptions {
  /** Maximum number of sequences that hold cache. */
  maxSequences?: number;
  prefillChunk?: number;
  vocabSize?: number;
  contextSize?: number;
  generation?: NativeGenerationConfig;
  /** The token that a sequence generates at position n. */
  script?: (index: number, request: NativeRequest) => number;
}

/** Behaves like the engine (native/runtime/engine.h) without a network: a script gives the generated tokens. */
export class FakeModel implements NativeModel {
  readonly device = 'fake';
  readonly contextSize: number;
  readonly maxSequences: number;
  readonly inspection: NativeInspection;
  /** The sequences of each step. */
  readonly steps: number[][] = [];
  readonly requests: NativeRequest[] = [];
  readonly released: number[] = [];
  readonly suspended: number[] = [];
  /** Rejects the next step. */
  failNextStep: Error | undefined;
  closed = false;

  readonly #sequences = new Map<number, FakeSequence>();
  #gate: Promise<void> | undefined;
  #runnable: number[] = [];
  #inStep: readonly number[] = [];
  readonly #suspendedInStep: number[] = [];
  #lastStep: Promise<unknown> = Promise.resolve();
  readonly #script: (index: number, request: NativeRequest) => number;
  readonly #prefillChunk: number;
  #nextId = 1;

  constructor(options: FakeOptions = {}) {
    this.maxSequences = options.maxSequences ?? 4;
    this.contextSize = options.contextSize ?? 1024;
    this.#prefillChunk = options.prefillChunk ?? 16;
    this.#script = options.script ?? ((index) => 300 + (index % 50));
    const vocabSize = options.vocabSize ?? 4096;
    this.inspection = {
      path: '/fake',
      tokenizer: '',
      config: { vocabSize, eosId: 2 },
      generation: options.generation ?? { eosIds: [] },
    } as unknown as NativeInspection;
  }

  get numSequences(): number {
    return this.#sequences.size;
  }

  loadNext() {
    const progress = { tensor: 'all', loadedBytes: 1, totalBytes: 1, done: true };
    return Object.assign(Promise.resolve(progress), { abandon: () => {} });
  }

  async submit(request: NativeRequest): Promise<number> {
    await turn();
    this.#refuseWhenClosed();
    const id = this.#nextId++;
    this.requests.push(request);
    this.#sequences.set(id, { id, request, promptDone: 0, generated: 0, holdsCache: false });
    return id;
  }

  setRunnable(ids: Float64Array): void {
    this.#runnable = [...ids];
  }

  step(): Promise<NativeOutput[]> {
    const step = this.#lastStep.then(() => this.#step());
    this.#lastStep = step.catch(() => {});
    return step;
  }

  async #step(): Promise<NativeOutput[]> {
    const ids = this.#runnable;
    this.steps.push(ids);
    this.#inStep = ids;
    await turn();
    await this.#gate;
    this.#inStep = [];
    this.#refuseWhenClosed();
    const failure = this.failNextStep;
    this.failNextStep = undefined;
    if (failure) throw Object.assign(failure, { sequences: this.#drop(ids) });
    const outputs: NativeOutput[] = [];
    for (const id of ids) {
      const sequence = this.#sequences.get(id);
      if (sequence && this.#holdsCache(sequence)) outputs.push(this.#advance(sequence));
    }
    for (const id of this.#suspendedInStep.splice(0)) this.#takeCache(id);
    return outputs;
  }

  /** Those of `ids` that no longer hold cache. */
  #drop(ids: readonly number[]): Float64Array {
    const inStep = ids.filter((id) => {
      const sequence = this.#sequences.get(id);
      return sequence !== undefined && this.#holdsCache(sequence);
    });
    for (const id of inStep) this.#sequences.delete(id);
    return Float64Array.from(inStep);
  }

  /** Steps wait, in the middle, until the returned function is called. */
  hold(): () => void {
    let open!: () => void;
    this.#gate = new Promise((resolve) => {
      open = resolve;
    });
    return open;
  }

  async release(id: number): Promise<void> {
    this.#refuseWhenClosed();
    this.released.push(id);
    this.#sequences.delete(id);
  }

  suspend(id: number): void {
    this.suspended.push(id);
    if (this.#inStep.includes(id)) this.#suspendedInStep.push(id);
    else this.#takeCache(id);
  }

  #takeCache(id: number): void {
    const sequence = this.#sequences.get(id);
    if (sequence) sequence.holdsCache = false;
  }

  stats(): NativeStats {
    return { ...nothingDone, steps: this.steps.length };
  }

  async close(): Promise<void> {
    this.closed = true;
    this.#sequences.clear();
  }

  #holdsCache(sequence: FakeSequence): boolean {
    const holders = [...this.#sequences.values()].filter(({ holdsCache }) => holdsCache).length;
    sequence.holdsCache ||= holders < this.maxSequences;
    return sequence.holdsCache;
  }

  #advance(sequence: FakeSequence): NativeOutput {
    const { id, request } = sequence;
    const output: NativeOutput = {
      sequence: id,
      promptTokensDone: 0,
      token: null,
      prompt: [],
      logits: null,
      finish: 'no',
      notFiniteAt: null,
    };
    const prompt = [...request.prompt];
    if (sequence.promptDone < prompt.length) {
      const from = sequence.promptDone;
      sequence.promptDone = Math.min(prompt.length, from + this.#prefillChunk);
      if (request.promptOutputs === 'logprobs') {
        output.prompt = prompt
          .slice(Math.max(1, from), sequence.promptDone)
          .map((token) => this.#token(token, request));
      }
      if (request.promptOutputs === 'logits') {
        const { vocabSize } = this.inspection.config;
        const rows = prompt.slice(from, sequence.promptDone);
        output.logits = Float32Array.from(rows.flatMap((token) => new Array<number>(vocabSize).fill(token)));
      }
    }
    output.promptTokensDone = sequence.promptDone;
    if (sequence.promptDone === prompt.length) {
      if (request.maxTokens > 0) output.token = this.#token(this.#script(sequence.generated++, request), request);
      if (output.token && request.stopTokens.includes(output.token.token)) output.finish = 'stop';
      else if (sequence.generated >= request.maxTokens) output.finish = 'length';
    }
    if (output.finish !== 'no') this.#sequences.delete(id);
    return output;
  }

  #token(token: number, { numLogprobs }: NativeRequest): NativeToken {
    const ranks = Array.from({ length: numLogprobs }, (_, rank) => rank);
    return {
      token,
      logprob: -token / 1000,
      topTokens: Int32Array.from(ranks),
      topLogprobs: Float32Array.from(ranks, (rank) => 0 - rank),
    };
  }

  #refuseWhenClosed(): void {
    if (this.closed) throw Object.assign(new Error('the engine was closed'), { code: 'GROK_CLOSED', hint: '' });
  }
}

/** One turn of the event loop, the minimum of a real step. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Until `condition` holds; the test's own time limit ends it otherwise. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await turn();
}
