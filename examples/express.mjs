// Streams continuations as server-sent events, with Express.
//
//   npm install grok-run express
//   node express.mjs
//   curl -N localhost:8080/generate -H 'content-type: application/json' -d '{"prompt": "Once upon a time"}'
import { once } from 'node:events';
import express from 'express';
import { Grok } from 'grok-run';

// One model for the whole process: 16 requests share each step, 64 more wait, and the next is refused.
const grok = await Grok.load(process.env.GROK_RUN_MODEL || undefined, { maxSequences: 16, maxQueue: 64 });

const statusOf = { GROK_INVALID_ARGUMENT: 400, GROK_CONTEXT_OVERFLOW: 400, GROK_BUSY: 429, GROK_CLOSED: 503 };

const app = express();
app.use(express.json());

app.post('/generate', async (request, response) => {
  const { prompt, maxTokens, temperature, seed, stop } = request.body ?? {};
  // If the client disconnects, the generation ends, and another takes its place.
  const client = new AbortController();
  response.once('close', () => client.abort());
  const { signal } = client;

  const generation = grok.generate(prompt, { maxTokens, temperature, seed, stop, signal });
  const chunks = generation[Symbol.asyncIterator]();
  // The answer begins with the first text, so that a request that cannot run is answered with a status.
  const first = await chunks.next();

  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' });
  for (let next = first; !next.done; next = await chunks.next()) {
    const isSent = response.write(`data: ${JSON.stringify({ text: next.value.text })}\n\n`);
    if (!isSent) await once(response, 'drain', { signal }); // a slow client slows down its own generation only
  }
  const { finishReason, usage } = await generation.result;
  response.end(`event: end\ndata: ${JSON.stringify({ finishReason, usage })}\n\n`);
});

app.get('/stats', (_, response) => response.json(grok.stats()));

app.use((error, _request, response, _next) => {
  const { code, message, hint } = error;
  if (response.destroyed) return; // the client has left
  const body = { error: { code, message, hint } };
  if (response.headersSent) {
    response.end(`event: error\ndata: ${JSON.stringify(body.error)}\n\n`);
    return;
  }
  const status = error.status ?? statusOf[code] ?? 500;
  if (status === 429) response.set('retry-after', '1');
  response.status(status).json(body);
});

const port = Number(process.env.PORT ?? 8080);
const server = app.listen(port, () => console.log(`http://localhost:${server.address().port}`));

// In a container this process is the first one, which no signal ends by default.
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, async () => {
    server.close(); // accepts no more connections
    await grok.close(); // ends all generations with GROK_CLOSED
  });
}
