// Prints the continuation of a prompt as it is generated.
//
//   npm install grok-run
//   node stream.mjs "Once upon a time"
import { Grok } from 'grok-run';

const prompt = process.argv[2] ?? 'Once upon a time';
const grok = await Grok.load(process.env.GROK_RUN_MODEL || undefined);
try {
  const generation = grok.generate(prompt, { maxTokens: 64 });
  process.stdout.write(prompt);
  for await (const { text } of generation) process.stdout.write(text);

  const { usage, timings, seed } = await generation.result;
  console.error(`\n${usage.completionTokens} tokens, ${timings.tokensPerSecond.toFixed(0)} a second, seed ${seed}`);
} finally {
  await grok.close();
}
