#!/usr/bin/env node
import { pathToFileURL } from 'node:url';
// One measurement of grok-run, through its API: prints one line of JSON. Counterpart of measure-llama-cpp.mjs.
import { parseArgs } from 'node:util';
import { CONTEXT, FIRST_ORDINARY_ID, PROMPT_TOKENS, secondOf, spreadIds, tokensPerSecond } from './workload.mjs';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    library: { type: 'string' },
    threads: { type: 'string' },
    'vocab-size': { type: 'string' },
    prefill: { type: 'string' },
    decode: { type: 'string' },
  },
});
const [threads, vocabSize] = [Number(values.threads), Number(values['vocab-size'])];
const { Grok } = await import(pathToFileURL(values.library).href);

const loadStartedAt = performance.now();
const grok = await Grok.load(positionals[0], { device: 'cpu', threads, contextSize: CONTEXT, maxSequences: 1 });
const loadMs = performance.now() - loadStartedAt;

const { firstTokenMs } = await timingsOf([FIRST_ORDINARY_ID], 1);
const report = { loadMs, firstTokenMs };
if (values.prefill) report.tokensPerSecond = await secondOf((repeat) => prefill(Number(values.prefill), repeat));
if (values.decode) report.tokensPerSecond = await secondOf((repeat) => decode(Number(values.decode), repeat));
console.log(
  JSON.stringify({ ...report, device: grok.info.device, peakRssBytes: process.resourceUsage().maxRSS * 1024 }),
);
await grok.close();

async function prefill(numTokens, repeat) {
  const { firstTokenMs } = await timingsOf(spreadIds(numTokens, repeat, vocabSize), 1);
  return tokensPerSecond(numTokens, firstTokenMs);
}

/** The prompt gives the first token, which is not counted. */
async function decode(numTokens, repeat) {
  const { decodeMs } = await timingsOf(spreadIds(PROMPT_TOKENS, repeat, vocabSize), numTokens + 1);
  return tokensPerSecond(numTokens, decodeMs);
}

async function timingsOf(ids, maxTokens) {
  const { timings } = await grok.complete(ids, { maxTokens, temperature: 0, ignoreEos: true });
  return timings;
}
