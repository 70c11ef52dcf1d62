// Loads a model with 64 threads, uses it, and prints its tokens and device, or its error: node limited.mjs [worker].
// "worker" does so in a worker, and terminates the worker afterwards.
import { isMainThread, Worker } from 'node:worker_threads';

const source = new URL('../fixtures/golden/ref-small', import.meta.url).pathname;

async function outcome() {
  const { Grok } = await import('../../dist/lib/index.js');
  try {
    const grok = await Grok.load(source, { threads: 64 });
    const { tokenIds } = await grok.complete([1, 2, 3], { maxTokens: 4, temperature: 0, ignoreEos: true });
    if (isMainThread) await grok.close();
    return { tokenIds, device: grok.info.device };
  } catch ({ code, hint, message }) {
    return { code, hint, message };
  }
}

if (isMainThread && process.argv[2] === 'worker') {
  try {
    const worker = new Worker(new URL(import.meta.url));
    const message = await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
    await worker.terminate();
    console.log(JSON.stringify(message));
  } catch ({ code }) {
    console.log(JSON.stringify({ code }));
  }
} else if (isMainThread) {
  console.log(JSON.stringify(await outcome()));
} else {
  const { parentPort } = await import('node:worker_threads');
  parentPort.postMessage(await outcome());
  setInterval(() => {}, 1000); // until it is terminated
}
