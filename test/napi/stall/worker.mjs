// Terminates a worker that loads files that do not answer. Run by file_turn.test.ts, with stall.c.
import { setTimeout } from 'node:timers/promises';
import { isMainThread, Worker, workerData } from 'node:worker_threads';
import { Grok } from '../../../dist/lib/index.js';

if (isMainThread) {
  const worker = new Worker(new URL(import.meta.url), { workerData: process.argv[2] });
  await new Promise((resolve) => worker.once('message', resolve));
  await setTimeout(100);
  const start = performance.now();
  await worker.terminate();
  console.log(JSON.stringify({ terminateMs: performance.now() - start }));
} else {
  const { parentPort } = await import('node:worker_threads');
  parentPort.postMessage('loading');
  await Grok.load(workerData);
}
