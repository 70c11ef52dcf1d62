// The program that every consumer builds and runs: it completes a prompt with the embedded model and prints one line of JSON,
// the text or the error.

export const PROMPT = 'Once upon a time';

const body = `
async function useGrok() {
  const grok = await Grok.load();
  try {
    return await grok.complete(${JSON.stringify(PROMPT)}, { maxTokens: 12, temperature: 0 });
  } finally {
    await grok.close();
  }
}
useGrok()
  .catch(({ code, message, hint }) => ({ code, message, hint }))
  .then(({ text, code, message, hint }) => console.log(JSON.stringify({ text, code, message, hint })));
`;

export const asModule = `import { Grok } from 'grok-run';\n${body}`;
export const asCommonJs = `const { Grok } = require('grok-run');\n${body}`;
export const inWorker = `
import { isMainThread, Worker } from 'node:worker_threads';
if (isMainThread) new Worker(new URL(import.meta.url));
else await import('./program.mjs');
`;

/** Strict TypeScript that uses the main types; valid as a module and as CommonJS. */
export const typed = `
import { type Chunk, type Completion, Grok, GrokError, type GrokErrorCode, inspect, Tokenizer } from 'grok-run';

export async function use(): Promise<readonly [string, GrokErrorCode | undefined]> {
  const grok = await Grok.load('model', { threads: 2, onProgress: ({ loadedBytes }) => loadedBytes });
  const chunks: Chunk[] = [];
  for await (const chunk of grok.generate('Once', { stop: ['.'] })) chunks.push(chunk);
  const { text }: Completion = await grok.complete('Once', { temperature: 0 });
  const [first] = await grok.score([1, 2]);
  const logprob: number | null | undefined = first?.logprob;
  const ids: number[] = (await Tokenizer.load('tokenizer.model')).encode(text);
  const error: unknown = [logprob, ids, (await inspect()).memory];
  await grok.close();
  return [text, error instanceof GrokError ? error.code : undefined];
}
`;
