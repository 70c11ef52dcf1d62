import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import type { Abort } from '../abort.js';
import { GrokError } from '../errors.js';

/** More threads do not read faster, and each needs a buffer of 4 MiB. */
const MOST_THREADS = 16;

// Source text instead of a file, for the reason in sentencepiece/encoding-thread.ts.
const program = `
  const fs = require('node:fs');
  const { createHash } = require('node:crypto');
  const { parentPort } = require('node:worker_threads');
  const buffer = Buffer.allocUnsafeSlow(4 << 20);

  const hashOf = (path) => {
    const file = fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK); // does not wait for a pipe
    try {
      const before = fs.fstatSync(file, { bigint: true });
      if (!before.isFile()) return { problem: 'not a regular file' };
      const hash = createHash('sha256');
      let sizeBytes = 0;
      for (let count; (count = fs.readSync(file, buffer)) > 0; sizeBytes += count) {
        hash.update(buffer.subarray(0, count));
        parentPort.postMessage({ bytes: count });
      }
      const after = fs.statSync(path, { bigint: true }); // another file may have its name by now
      const hasChanged = ['ino', 'size', 'mtimeNs'].some((field) => before[field] !== after[field]);
      return hasChanged ? { problem: 'changed while it was read' } : { sizeBytes, sha256: hash.digest('hex') };
    } finally {
      fs.closeSync(file);
    }
  };

  parentPort.on('message', (path) => {
    let result;
    try {
      result = hashOf(path);
    } catch (error) {
      result = { problem: error.message, code: error.code };
    }
    parentPort.postMessage({ result });
  });
`;

export interface FileHash {
  readonly sizeBytes: number;
  readonly sha256: string;
}

/** A file without a hash: the reason, and the system's code if there is one. */
export interface HashProblem {
  readonly problem: string;
  readonly code?: string;
}

type Message = { readonly bytes: number } | { readonly result: FileHash | HashProblem };

/**
 * SHA-256 of files, several at once on their own threads. Memory is a few MiB a thread, whatever the size of the files.
 * @throws the signal's reason when it aborts
 */
export async function hashFiles(
  paths: readonly string[],
  options: { signal?: Abort | undefined; onBytes?: ((count: number, path: string) => void) | undefined } = {},
): Promise<(FileHash | HashProblem)[]> {
  const { signal, onBytes } = options;
  signal?.throwIfAborted();
  const results = new Array<FileHash | HashProblem>(paths.length);
  const workers: Worker[] = [];
  const left = paths.entries();

  /** Starts one thread, which hashes the remaining files one after another. */
  const work = () =>
    new Promise<void>((resolve, reject) => {
      const worker = new Worker(program, { eval: true });
      workers.push(worker);
      let current: [number, string] | undefined;
      const next = () => {
        current = left.next().value;
        if (current) worker.postMessage(current[1]);
        else resolve();
      };
      worker.on('message', (message: Message) => {
        if (!current) return;
        if ('bytes' in message) return onBytes?.(message.bytes, current[1]);
        results[current[0]] = message.result;
        next();
      });
      worker.on('online', next);
      worker.on('error', reject);
      worker.on('exit', (code) => reject(new Error(`the hashing thread ended with code ${code}`)));
    });

  let stopListening: (() => void) | undefined;
  const aborted = new Promise<never>((_, reject) => {
    stopListening = signal?.listen(reject);
  });
  try {
    const threads = Math.min(availableParallelism(), MOST_THREADS, paths.length);
    const ended = await Promise.race([
      Promise.allSettled(Array.from({ length: threads }, async () => work())),
      aborted,
    ]);
    const failed = ended.find((outcome) => outcome.status === 'rejected');
    // If the system refused a thread, the others do its work.
    const isDone = Array.from(results).every((result) => result !== undefined);
    if (isDone || !failed) return results;
    const isForbidden = (failed.reason as NodeJS.ErrnoException).code === 'ERR_ACCESS_DENIED';
    throw new GrokError(`No thread could be started to hash files: ${(failed.reason as Error).message}`, {
      code: isForbidden ? 'GROK_UNSUPPORTED' : 'GROK_OUT_OF_MEMORY',
      hint: isForbidden
        ? 'Start Node with `--allow-worker`.'
        : 'Raise the limit on processes and threads (`ulimit -u`, pids.max), or end other programs.',
      cause: failed.reason,
    });
  } finally {
    stopListening?.();
    for (const worker of workers) void worker.terminate();
  }
}
