// A route handler of Next.js that streams a continuation. Save it as app/api/generate/route.js.
//
//   npm install grok-run
//   curl -N localhost:3000/api/generate -H 'content-type: application/json' -d '{"prompt": "Once upon a time"}'
import { Grok } from 'grok-run';

/**
 * Loads one model for the process at the first request: `next build` runs this file, too. `next dev` runs it again after
 * each change, and globalThis survives that.
 */
function loadedModel() {
  globalThis.grok ??= Grok.load(process.env.GROK_RUN_MODEL || undefined, { maxSequences: 16, maxQueue: 64 });
  return globalThis.grok;
}

const statusOf = { GROK_INVALID_ARGUMENT: 400, GROK_CONTEXT_OVERFLOW: 400, GROK_BUSY: 429 };

export const runtime = 'nodejs'; // the edge runtime has no addons
export const dynamic = 'force-dynamic';

export async function POST(request) {
  try {
    const { prompt, maxTokens, temperature, seed, stop } = await request.json();
    const grok = await loadedModel();
    // `request.signal` aborts if the client disconnects.
    const options = { maxTokens, temperature, seed, stop, signal: request.signal };
    const chunks = grok.generate(prompt, options)[Symbol.asyncIterator]();
    // The answer begins with the first text, so that a request that cannot run is answered with a status.
    const first = await chunks.next();
    return new Response(ReadableStream.from(texts(first, chunks)).pipeThrough(new TextEncoderStream()), {
      headers: { 'content-type': 'text/plain; charset=utf-8' },
    });
  } catch (error) {
    const { code, message, hint } = error;
    const status = error instanceof SyntaxError ? 400 : (statusOf[code] ?? 500);
    return Response.json({ error: { code, message, hint } }, { status });
  }
}

async function* texts(first, chunks) {
  try {
    for (let next = first; !next.done; next = await chunks.next()) yield next.value.text;
  } finally {
    await chunks.return(); // the reader of the response may stop early
  }
}
