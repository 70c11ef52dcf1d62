// Measures samples of a model at several settings, to choose the defaults in its generation_config.json.
//
//   node tools/tiny-model/sampling.mjs [MODEL] > sampling.json
//
// Prompts, number and length of the samples are those of evaluate.py, words and n-grams those of text_measures.py.
import { Grok } from '../../dist/lib/index.js';

const prompts = ['Once upon a time', 'The little fox', 'One day, Lily'];
const samplesPerPrompt = 20;
const maxTokens = 200;
const ngramLength = 4; // words
const loopShare = 0.1; // a text with more repeated n-grams loops

const settings = [
  { temperature: 0.7, topP: 0.9 }, // the defaults of a model without generation_config.json
  { temperature: 0.7, topP: 0.9, repetitionPenalty: 1.1 },
  { temperature: 0.6, minP: 0.05 },
  { temperature: 0.6, minP: 0.05, repetitionPenalty: 1.05 },
  { temperature: 0.6, minP: 0.05, repetitionPenalty: 1.1 },
  { temperature: 0.6, minP: 0.05, repetitionPenalty: 1.15 },
  { temperature: 0.7, minP: 0.05, repetitionPenalty: 1.1 },
];
const off = { topP: 1, topK: 0, minP: 0, repetitionPenalty: 1 };

/** Counts n-grams of words, and those that occurred earlier in the text. */
function repeatedShare(text) {
  const words = text.toLowerCase().match(/[a-z]+(?:'[a-z]+)*/g) ?? [];
  const ngrams = words.slice(ngramLength - 1).map((_, start) => words.slice(start, start + ngramLength).join(' '));
  return { repeated: ngrams.length - new Set(ngrams).size, total: ngrams.length };
}

async function measure(grok, setting) {
  const completions = await Promise.all(
    prompts.flatMap((prompt, index) =>
      Array.from({ length: samplesPerPrompt }, (_, sample) =>
        grok.complete(prompt, { ...off, ...setting, maxTokens, seed: 1000 * index + sample, echo: true, logprobs: 0 }),
      ),
    ),
  );
  const shares = completions.map(({ text }) => repeatedShare(text));
  const sum = (values) => values.reduce((total, value) => total + value, 0);
  const each = shares.map(({ repeated, total }) => repeated / Math.max(total, 1));
  const logprobs = completions.flatMap(({ logprobs, usage }) => logprobs.slice(usage.promptTokens));
  return {
    ...off,
    ...setting,
    samples: completions.length,
    repeatedShare: sum(shares.map(({ repeated }) => repeated)) / sum(shares.map(({ total }) => total)),
    worstShare: Math.max(...each),
    loops: each.filter((share) => share > loopShare).length,
    nats: -sum(logprobs.map(({ logprob }) => logprob)) / logprobs.length,
    finished: completions.filter(({ finishReason }) => finishReason === 'stop').length,
  };
}

const grok = await Grok.load(process.argv[2], { device: 'cpu', maxSequences: 8 });
const rows = [];
for (const setting of settings) {
  rows.push(await measure(grok, setting));
  console.error(JSON.stringify(rows.at(-1)));
}
console.log(JSON.stringify(rows, null, 1));
await grok.close();
