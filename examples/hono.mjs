// Streams continuations as server-sent events, with Hono.
//
//   npm install grok-run hono @hono/node-server
//   node hono.mjs
//   curl -N localhost:8080/generate -H 'content-type: application/json' -d '{"prompt": "Once upon a time"}'
import { serve } from '@hono/node-server';
import { Grok } from 'grok-run';
import { Hono } from 'hono';
import { streamSSE } from 'hono/streaming';

// One model for the whole process: 16 requests share each step, 64 more wait, and the next is refused.
const grok = await Grok.load(process.env.GROK_RUN_MODEL || undefined, { maxSequences: 16, maxQueue: 64 });

const statusOf = { GROK_INVALID_ARGUMENT: 400, GROK_CONTEXT_OVERFLOW: 400, GROK_BUSY: 429, GROK_CLOSED: 503 };

const app = new Hono();

app.post('/generate', async (c) => {
  const { prompt, maxTokens, temperature, seed, stop } = await c.req.json();
  // The signal aborts if the client disconnects. The generation then ends, and another takes its place.
  const { signal } = c.req.raw;
  const generation = grok.generate(prompt, { maxTokens, temperature, seed, stop, signal });
  const chunks = generation[Symbol.asyncIterator]();
  // The answer begins with the first text, so that a request that cannot run is answered with a status.
  const first = await chunks.next();

  return streamSSE(
    c,
    async (stream) => {
      for (let next = first; !next.done; next = await chunks.next()) {
        await stream.writeSSE({ data: JSON.stringify({ text: next.value.text }) });
      }
      const { finishReason, usage } = await generation.result;
      await stream.writeSSE({ event: 'end', data: JSON.stringify({ finishReason, usage }) });
    },
    async (error, stream) => {
      // A client that has left hears nothing.
      if (!signal.aborted) await stream.writeSSE({ event: 'error', data: JSON.stringify(describe(error)) });
    },
  );
});

app.get('/stats', (c) => c.json(grok.stats()));

app.onError((error, c) => {
  const status = error instanceof SyntaxError ? 400 : (statusOf[error.code] ?? 500);
  if (status === 429) c.header('retry-after', '1');
  return c.json({ error: describe(error) }, status);
});

function describe({ code, message, hint }) {
  return { code, message, hint };
}

const port = Number(process.env.PORT ?? 8080);
const server = serve({ fetch: app.fetch, port }, (address) => console.log(`http://localhost:${address.port}`));

// In a container this process is the first one, which no signal ends by default.
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, async () => {
    server.close(); // accepts no more connections
    await grok.close(); // ends all generations with GROK_CLOSED
  });
}
