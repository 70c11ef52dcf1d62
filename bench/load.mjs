// Measures the cost of many requests at once: `node --expose-gc bench/load.mjs [queue] [readers] [texts]`; without
// names, all three. Needs `npm run build`. Figures are of this process: CPU time includes all of its threads.
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Grok } from '../dist/lib/index.js';

const prompt = 'Once upon a time';

function cpuMs() {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

function rssMb() {
  globalThis.gc?.();
  return process.memoryUsage().rss / 1e6;
}

function numThreads() {
  return Number(/Threads:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1]);
}

/** CPU time per token and memory per waiting request, for growing numbers of short requests at once. */
async function queue() {
  let msPerToken256;
  for (const numRequests of [256, 256, 1000, 2000, 4000, 8000]) {
    const grok = await Grok.load(undefined, { threads: 1, maxQueue: 10_000 });
    await grok.complete(prompt, { maxTokens: 4 });
    const before = { rss: rssMb(), cpu: cpuMs(), now: performance.now() };
    let firstMs;
    const completions = Array.from({ length: numRequests }, async (_, seed) => {
      const { usage } = await grok.complete(prompt, { maxTokens: 4, seed, ignoreEos: true });
      firstMs ??= performance.now() - before.now;
      return usage.completionTokens;
    });
    await sleep(0); // all wait, few have run
    const kbEach = ((rssMb() - before.rss) * 1000) / numRequests;
    const numTokens = (await Promise.all(completions)).reduce((sum, count) => sum + count, 0);
    const msPerToken = (cpuMs() - before.cpu) / numTokens;
    msPerToken256 ??= msPerToken;
    if (numRequests === 256) msPerToken256 = msPerToken; // measured after a warm-up
    const ratio = (msPerToken / msPerToken256).toFixed(2);
    console.log(
      `${numRequests} requests: ${msPerToken.toFixed(3)} CPU ms a token (${ratio} of 256), ` +
        `first after ${firstMs.toFixed(0)} ms, ${kbEach.toFixed(1)} KB a request`,
    );
    await grok.close();
  }
}

/** Waiting time of a new request behind readers that have stopped reading. */
async function readers() {
  const readTimeout = 2000;
  for (const maxSequences of [64, 4]) {
    const grok = await Grok.load(undefined, { maxSequences, readTimeout });
    const held = []; // keeps them from being collected
    for (let seed = 0; seed < 64; seed++) {
      const iterator = grok.generate(prompt, { maxTokens: 480, seed, ignoreEos: true })[Symbol.asyncIterator]();
      await iterator.next();
      held.push(iterator);
    }
    const started = performance.now();
    await grok.complete(prompt, { maxTokens: 3 });
    const waitedMs = (performance.now() - started).toFixed(0);
    const failed = await Promise.all(
      held.map((iterator) =>
        iterator.next().then(
          () => 0,
          () => 1,
        ),
      ),
    );
    const numFailed = failed.reduce((sum, count) => sum + count, 0);
    console.log(
      `64 stalled readers, ${maxSequences} at once: served after ${waitedMs} ms of ${readTimeout}, ${numFailed} ended`,
    );
    await grok.close();
  }
}

/** Memory and threads of texts that cannot be cut. */
async function texts() {
  const grok = await Grok.load();
  await grok.tokenizer.encodeAsync(prompt);
  const rest = { rss: rssMb(), threads: numThreads() };
  let most = { rss: 0, threads: 0 };
  const watch = setInterval(() => {
    most = { rss: Math.max(most.rss, process.memoryUsage().rss / 1e6), threads: Math.max(most.threads, numThreads()) };
  }, 10);
  const started = performance.now();
  await Promise.all(Array.from({ length: 60 }, () => grok.tokenizer.encodeAsync('a'.repeat(4000))));
  clearInterval(watch);
  console.log(
    `60 texts of 4,000 characters: ${(most.rss - rest.rss).toFixed(0)} MB and ${most.threads - rest.threads} threads above rest, ` +
      `${(performance.now() - started).toFixed(0)} ms`,
  );
  await grok.close();
}

const parts = { queue, readers, texts };
const wanted = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(parts);
for (const name of wanted) await parts[name]();
