// Aborts many loads of files that do not answer, then prints how they ended. Run by file_turn.test.ts, with stall.c.
import { readdirSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { Grok } from '../../../dist/lib/index.js';

const [checkpoint, numLoads] = process.argv.slice(2);
const numThreads = () => readdirSync('/proc/self/task').length;
const outcomes = {};
let slowestMs = 0;

async function abortOne() {
  const controller = new AbortController();
  const reason = new Error('enough');
  const ending = Grok.load(checkpoint, { signal: controller.signal }).then(
    () => 'loaded',
    (error) => (error === reason ? 'aborted' : (error.code ?? String(error))),
  );
  await setTimeout(Math.random() * 20);
  const start = performance.now();
  controller.abort(reason);
  const outcome = await ending;
  slowestMs = Math.max(slowestMs, performance.now() - start);
  outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
}

const before = numThreads();
for (let done = 0; done < Number(numLoads); done += 20) await Promise.all(Array.from({ length: 20 }, abortOne));
// On a busy machine all aborts may have come before the file was reached.
let refusal;
for (let tries = 0; tries < 5 && refusal?.code !== 'GROK_IO'; tries++) {
  const signal = AbortSignal.timeout(1000);
  refusal = await Grok.load(checkpoint, { signal }).catch(({ code, message }) => ({ code, message }));
}
// Threads that only waited for their turn end, but on a busy machine not at once.
let stuckThreads = numThreads() - before;
for (const deadline = performance.now() + 10_000; stuckThreads > 4 && performance.now() < deadline; ) {
  await setTimeout(50);
  stuckThreads = numThreads() - before;
}
console.log(JSON.stringify({ outcomes, slowestMs, stuckThreads, refusal }));
