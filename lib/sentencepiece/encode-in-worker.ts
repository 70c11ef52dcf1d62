import { createRequire } from 'node:module';
import { Worker } from 'node:worker_threads';
import type { Abort } from '../abort.js';

// Text of its own, not a file: it must start from lib/ in tests, from dist/ once built and from inside a bundle.
const program = `
  const { parentPort, workerData } = require('node:worker_threads');
  const { SentencePieceProcessor } = require(workerData.library);
  const processor = new SentencePieceProcessor();
  // As in processor.ts.
  processor.load('/dev/null').then(() => {
    const { FS, StringView } = processor.sentencepiece;
    FS.writeFile('sentencepiece.model', workerData.bytes);
    processor.processor.Load(new StringView('sentencepiece.model').getView());
    parentPort.postMessage(Int32Array.from(processor.encodeIds(workerData.text)));
  });
`;

/**
 * Encodes on a thread of its own that ends with the answer. Loading the model there costs some 0.2 s: meant for the rare
 * long text that has no place to cut.
 */
export function encodeInWorker(bytes: Uint8Array<SharedArrayBuffer>, text: string, signal?: Abort): Promise<number[]> {
  return new Promise((resolve, reject) => {
    const library = createRequire(import.meta.url).resolve('@agnai/sentencepiece-js');
    const worker = new Worker(program, { eval: true, workerData: { library, bytes, text } });
    const settle = (answer: () => void) => {
      stopListening?.();
      answer();
      void worker.terminate();
    };
    const stopListening = signal?.listen((reason) => settle(() => reject(reason)));
    worker.once('message', (ids: Int32Array) => settle(() => resolve(Array.from(ids))));
    worker.once('error', (error) => settle(() => reject(error)));
    worker.once('exit', (code) => settle(() => reject(new Error(`the encoding thread ended with code ${code}`))));
  });
}
