// Continues many prompts. Each line of the input is a JSON object with a "prompt", and may have options of
// grok.generate beside it. Each line of the output is that object with "text" or "error" added, in the order of the input.
//
//   npm install grok-run
//   node batch.mjs < prompts.jsonl > continuations.jsonl
import { createInterface } from 'node:readline';
import { Grok } from 'grok-run';

const atOnce = 8;
const grok = await Grok.load(process.env.GROK_RUN_MODEL || undefined, { maxSequences: atOnce });

async function complete(line) {
  try {
    const { prompt, ...options } = JSON.parse(line);
    const { text, finishReason } = await grok.complete(prompt, { maxTokens: 64, ...options });
    return { prompt, ...options, text, finishReason };
  } catch (error) {
    return { line, error: { code: error.code, message: error.message, hint: error.hint } };
  }
}

/** Runs `atOnce` lines together: they share the weights that each step reads. Memory does not grow with the file. */
async function* inOrder(lines) {
  const running = [];
  for await (const line of lines) {
    if (line.trim() === '') continue;
    running.push(complete(line));
    if (running.length === atOnce) yield await running.shift();
  }
  for (const completion of running) yield await completion;
}

try {
  for await (const completion of inOrder(createInterface({ input: process.stdin }))) {
    console.log(JSON.stringify(completion));
    if (completion.error) process.exitCode = 1;
  }
} finally {
  await grok.close();
}
