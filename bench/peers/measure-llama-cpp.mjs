#!/usr/bin/env node
// One measurement of llama.cpp: prints one line of JSON. Counterpart of measure-grok-run.mjs.
import { parseArgs } from 'node:util';
import { openLlamaCpp } from './llama-cpp.mjs';
import { CONTEXT, FIRST_ORDINARY_ID, PROMPT_TOKENS, secondOf, spreadIds, tokensPerSecond } from './workload.mjs';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    'node-llama-cpp': { type: 'string' },
    threads: { type: 'string' },
    'vocab-size': { type: 'string' },
    prefill: { type: 'string' },
    decode: { type: 'string' },
  },
});
const [folder, threads, vocabSize] = [values['node-llama-cpp'], Number(values.threads), Number(values['vocab-size'])];
const { sequence, device, loadMs, close } = await openLlamaCpp(positionals[0], { folder, threads, context: CONTEXT });

const firstStartedAt = performance.now();
await evaluate([FIRST_ORDINARY_ID]);
const report = { loadMs, firstTokenMs: performance.now() - firstStartedAt };
if (values.prefill) report.tokensPerSecond = await secondOf((repeat) => prefill(Number(values.prefill), repeat));
if (values.decode) report.tokensPerSecond = await secondOf((repeat) => decode(Number(values.decode), repeat));
console.log(JSON.stringify({ ...report, device, peakRssBytes: process.resourceUsage().maxRSS * 1024 }));
await close();

async function prefill(numTokens, repeat) {
  await sequence.clearHistory();
  const startedAt = performance.now();
  await evaluate(spreadIds(numTokens, repeat, vocabSize));
  return tokensPerSecond(numTokens, performance.now() - startedAt);
}

/** One token per call, greedily. The choice of the token is part of the time, as it is for a user. */
async function decode(numTokens, repeat) {
  await sequence.clearHistory();
  let token = await evaluate(spreadIds(PROMPT_TOKENS, repeat, vocabSize));
  const startedAt = performance.now();
  for (let i = 0; i < numTokens; i++) token = await evaluate([token]);
  return tokensPerSecond(numTokens, performance.now() - startedAt);
}

/** Runs the tokens and returns the likeliest one after the last. */
async function evaluate(ids) {
  const last = [ids.at(-1), { generateNext: { token: true, options: { temperature: 0 } } }];
  const evaluated = await sequence.controlledEvaluate([...ids.slice(0, -1), last]);
  // If its choice has no id (the end of text), any token serves: all cost the same.
  return evaluated.at(-1).next.token ?? FIRST_ORDINARY_ID;
}
