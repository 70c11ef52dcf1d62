// Time to the first token through HTTP and through the library, in turn, in one process; and texts at once.
//
//   node bench/server.mjs [--rounds N] [--streams 1,8,32]      after `npm run build`

import { Agent, request } from 'node:http';
import { parseArgs } from 'node:util';
import { Grok } from '../dist/lib/index.js';
import { createServer } from '../dist/server/index.js';

const { values } = parseArgs({
  options: { rounds: { type: 'string', default: '200' }, streams: { type: 'string', default: '1,8,32' } },
});
const prompt = 'Once upon a time there was a little girl who liked to walk in the woods behind her house';
const tokensPerStream = 128;

const grok = await Grok.load(undefined, { maxSequences: 64 });
const server = createServer(grok);
const { port } = await server.listen(0);
const agent = new Agent({ keepAlive: true });

/** Milliseconds until the first token, and until the end. */
function overHttp(maxTokens, seed) {
  const body = JSON.stringify({ prompt, max_tokens: maxTokens, seed, temperature: 1, ignore_eos: true, stream: true });
  const startedAt = performance.now();
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
    const sent = request({ port, path: '/v1/completions', method: 'POST', headers, agent }, (response) => {
      let first;
      response.on('data', () => {
        first ??= performance.now() - startedAt;
      });
      response.on('end', () => resolve({ first, whole: performance.now() - startedAt }));
    });
    sent.on('error', reject).end(body);
  });
}

async function byLibrary(maxTokens, seed) {
  const startedAt = performance.now();
  let first;
  for await (const _ of grok.generate(prompt, { maxTokens, seed, temperature: 1, ignoreEos: true }))
    first ??= performance.now() - startedAt;
  return { first, whole: performance.now() - startedAt };
}

const quantile = (numbers, share) =>
  numbers.toSorted((left, right) => left - right)[Math.floor(share * (numbers.length - 1))];
const summary = (numbers) =>
  `median ${quantile(numbers, 0.5).toFixed(2)} ms, p95 ${quantile(numbers, 0.95).toFixed(2)} ms`;

for (let warm = 0; warm < 10; warm++) {
  await overHttp(4, warm);
  await byLibrary(4, warm);
}
const times = { http: [], library: [] };
for (let round = 0; round < Number(values.rounds); round++) {
  times.http.push((await overHttp(4, round)).first);
  times.library.push((await byLibrary(4, round)).first);
}
console.log(`first token through HTTP:    ${summary(times.http)}`);
console.log(`first token by the library:  ${summary(times.library)}`);
console.log(`difference of the medians:   ${(quantile(times.http, 0.5) - quantile(times.library, 0.5)).toFixed(2)} ms`);

for (const count of values.streams.split(',').map(Number)) {
  const startedAt = performance.now();
  await Promise.all(Array.from({ length: count }, (_, seed) => overHttp(tokensPerStream, seed)));
  const seconds = (performance.now() - startedAt) / 1000;
  console.log(`${count} at once: ${((count * tokensPerStream) / seconds).toFixed(0)} tokens/s through HTTP`);
}
agent.destroy();
await server.close();
await grok.close();
