// Runs a model repeatedly, and makes the k-th call of one kind fail in each run: node inject.mjs KIND STRIDE. Prints
// how often each outcome occurred, and the threads and open files before and after. Needs fault.c in LD_PRELOAD, and
// --expose-gc.
import { openSync, readdirSync } from 'node:fs';

/** Arms the fault. True if the one before has happened. */
function arm(kind, k) {
  try {
    openSync(`/fault/${kind}/${k}`);
  } catch (error) {
    return error.code === 'EEXIST';
  }
  throw new Error('fault.c is not preloaded');
}

const [kind = 'new', stride = '1'] = process.argv.slice(2);
const source = new URL('../fixtures/golden/ref-small', import.meta.url).pathname;

async function run() {
  const { Grok } = await import('../../dist/lib/index.js');
  const grok = await Grok.load(source, { threads: 3, maxSequences: 1 });
  try {
    const sampled = { maxTokens: 4, seed: 5, logprobs: 2, ignoreEos: true, logitBias: { 7: 1 } };
    const results = await Promise.allSettled([
      grok.complete([1, 2, 3], sampled),
      grok.complete([1, 5], { maxTokens: 3, temperature: 0, seed: 0, ignoreEos: true }),
      grok.logits([1, 2, 3, 4]),
      grok.score([1, 2, 3, 4]),
    ]);
    const failed = results.filter(({ status }) => status === 'rejected');
    if (failed.length > 1) throw new Error(`one fault failed ${failed.length} requests`);
    if (failed.length > 0) throw failed[0].reason;
    return JSON.stringify(results, (key, value) => (key === 'timings' ? undefined : value));
  } finally {
    await grok.close();
  }
}

/** The outcome of a run: "ok", a code, or an injected fault in words. */
async function outcomeOf(running, expected) {
  let timer;
  const patience = new Promise((resolve) => {
    timer = setTimeout(() => resolve('a promise that never settled'), 30_000);
  });
  const outcome = running.then(
    (result) => (expected === undefined || result === expected ? 'ok' : 'a wrong result'),
    (error) => error.code ?? `an error without a code: ${error.stack}`,
  );
  const first = await Promise.race([outcome, patience]);
  clearTimeout(timer);
  return first;
}

/** Threads and open files of this process, after garbage collection. */
async function held() {
  for (let round = 0; round < 5; round++) {
    globalThis.gc();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return { threads: readdirSync('/proc/self/task').length, files: readdirSync('/proc/self/fd').length };
}

const tally = {};
let expected;
let before;
let k = 1;
for (; ; k += Number(stride)) {
  arm(kind, k);
  const outcome = await outcomeOf(run(), expected);
  if (!arm('none', 0)) break;
  tally[outcome] = (tally[outcome] ?? 0) + 1;
  expected ??= await run();
  before ??= await held();
}
const works = await outcomeOf(run(), expected);
const after = await held();
console.log(JSON.stringify({ kind, points: k - 1, tally, works, before, after }));
