import { Worker } from 'node:worker_threads';
import type { Abort } from '../../abort.js';
import { GrokError } from '../../errors.js';
import { requireFromPackage } from '../../package-root.js';

// Source text instead of a file: it must start from lib/ in tests, from dist/ after a build, and from inside a bundle.
const program = `
  const { parentPort, workerData } = require('node:worker_threads');
  const { SentencePieceProcessor } = require(workerData.library);
  const processor = new SentencePieceProcessor();
  // As in processor.ts.
  const loading = processor.load('').catch(() => {
    const { FS, StringView, SentencePieceProcessor } = processor.sentencepiece;
    FS.writeFile('sentencepiece.model', workerData.bytes);
    processor.processor = new SentencePieceProcessor();
    processor.processor.Load(new StringView('sentencepiece.model').getView());
  });
  parentPort.on('message', async (text) => {
    await loading;
    parentPort.postMessage(Int32Array.from(processor.encodeIds(text)));
  });
`;

// A start takes some 0.2 s; an idle thread holds some 60 MB.
const idleMs = 2000;

interface Job {
  readonly text: string;
  resolve(ids: number[]): void;
  reject(error: unknown): void;
  stopListening?: (() => void) | undefined;
}

/**
 * Encodes texts one after another on one thread: the rare long texts that cannot be cut. The thread starts with the
 * first text and ends after a while without texts. It keeps the process alive only while a text waits.
 */
export class EncodingThread {
  readonly #bytes: Uint8Array<SharedArrayBuffer>;
  /** Oldest first, without the running one. */
  readonly #waiting = new Set<Job>();
  #running: Job | undefined;
  #worker: Worker | undefined;
  #idleTimer: NodeJS.Timeout | undefined;

  /** `bytes` of a tokenizer.model. */
  constructor(bytes: Uint8Array<SharedArrayBuffer>) {
    this.#bytes = bytes;
  }

  /** @throws {GrokError} if the thread cannot start or ends; the reason of an abort */
  encode(text: string, abort?: Abort): Promise<number[]> {
    return new Promise((resolve, reject) => {
      const job: Job = { text, resolve, reject };
      job.stopListening = abort?.listen((reason) => this.#abort(job, reason));
      this.#waiting.add(job);
      this.#runNext();
    });
  }

  #runNext(): void {
    for (const job of this.#waiting) {
      if (this.#running) return;
      this.#waiting.delete(job);
      try {
        clearTimeout(this.#idleTimer);
        this.#worker ??= this.#start();
        this.#worker.ref();
        this.#worker.postMessage(job.text);
        this.#running = job;
      } catch (error) {
        job.stopListening?.();
        job.reject(threadError(error));
      }
    }
    if (!this.#running) this.#rest();
  }

  #start(): Worker {
    const library = requireFromPackage().resolve('@agnai/sentencepiece-js');
    const worker = new Worker(program, {
      ...{ eval: true, execArgv: [] }, // flags such as --input-type belong to the main program
      ...{ stdout: true, stderr: true }, // the library prints when it fails
      workerData: { library, bytes: this.#bytes },
    });
    worker.on('message', (ids: Int32Array) => {
      if (worker === this.#worker) this.#settle((job) => job.resolve(Array.from(ids)));
    });
    // The text that a lost thread was encoding fails; the next gets a new thread.
    const lose = (error: unknown) => {
      if (worker !== this.#worker) return;
      this.#worker = undefined;
      this.#settle((job) => job.reject(threadError(error)));
    };
    worker.on('error', lose);
    worker.on('exit', (code) => lose(new Error(`it ended with code ${code}`)));
    return worker;
  }

  #settle(answer: (job: Job) => void): void {
    const job = this.#running;
    this.#running = undefined;
    job?.stopListening?.();
    if (job) answer(job);
    this.#runNext();
  }

  #rest(): void {
    this.#worker?.unref();
    clearTimeout(this.#idleTimer);
    this.#idleTimer = setTimeout(() => this.#stop(), idleMs).unref();
  }

  #stop(): void {
    void this.#worker?.terminate();
    this.#worker = undefined;
  }

  #abort(job: Job, reason: unknown): void {
    job.reject(reason);
    if (this.#waiting.delete(job) || job !== this.#running) return;
    this.#running = undefined;
    this.#stop(); // the library cannot be interrupted within a text
    this.#runNext();
  }
}

function threadError(cause: unknown): GrokError {
  const { code, message } = cause as NodeJS.ErrnoException;
  const forbidden = code === 'ERR_ACCESS_DENIED';
  const starved =
    code === 'ERR_WORKER_INIT_FAILED' || code === 'ERR_WORKER_OUT_OF_MEMORY' || cause instanceof RangeError;
  return new GrokError(`The thread that encodes long texts failed: ${message}`, {
    code: forbidden ? 'GROK_UNSUPPORTED' : starved ? 'GROK_OUT_OF_MEMORY' : 'GROK_INTERNAL',
    hint: forbidden
      ? 'Start Node with `--allow-worker`.'
      : 'Raise the limits of the process: threads (`ulimit -u`, pids.max) and memory (`ulimit -v`, memory.max).',
    cause,
  });
}
