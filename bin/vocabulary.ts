/** The flag of each option of the library. The command line cannot set other options. */
export const flagOf: Readonly<Record<string, string>> = {
  source: '--model',
  file: '--tokenizer',
  tokenizer: '--tokenizer',
  device: '--device',
  threads: '--threads',
  contextSize: '--context-size',
  prefillChunk: '--prefill-chunk',
  kvCacheType: '--kv-cache-type',
  weights: '--weights',
  memoryLimit: '--max-ram',
  maxTokens: '--max-tokens',
  temperature: '--temperature',
  topP: '--top-p',
  topK: '--top-k',
  minP: '--min-p',
  repetitionPenalty: '--repeat-penalty',
  presencePenalty: '--presence-penalty',
  frequencyPenalty: '--frequency-penalty',
  logitBias: '--logit-bias',
  seed: '--seed',
  stop: '--stop',
  stopTokenIds: '--stop-token-ids',
  logprobs: '--logprobs',
  echo: '--echo',
  ignoreEos: '--ignore-eos',
  shape: '--shape',
  layers: '--layers',
  prefill: '--prefill',
  decode: '--decode',
  reps: '--reps',
  keepDisturbed: '--keep-disturbed',
  write: '--write',
  force: '--force',
};

const words: Readonly<Record<string, string>> = { prompt: 'the prompt', text: 'the text', id: 'each token id' };

/** Names options by their flags in a message of the library: `weights` "mapped" becomes --weights mapped. */
export function inFlags(text: string): string {
  return text.replace(/`(\w+)(?:\[\d+\])?`((?: (?:or )?"\w+")*)/g, (quoted, name: string, values: string) => {
    const word = flagOf[name] ?? words[name];
    return word === undefined ? quoted : word + values.replaceAll('"', '');
  });
}

/** Keeps the advice that a user of the command line can follow. Sentences about code and about options without a flag go. */
export function adviceInFlags(hint: string): string | undefined {
  const sentences = hint
    .split(/(?<=\.) (?=[A-Z])/)
    .filter((sentence) => !/`prompt`|\w\(\)|\[grok\.|`for await`/.test(sentence));
  const advice = inFlags(sentences.join(' '));
  return advice === '' || /`[a-z]+[A-Z]\w*`/.test(advice) ? undefined : advice;
}
