import { optionSchema } from '../lib/index.js';

/** The flag of each option of the library. Options without a flag are absent. */
export const flagOf: Readonly<Record<string, string>> = {
  source: '--model',
  file: '--tokenizer',
  ...Object.fromEntries(
    Object.values(optionSchema)
      .flatMap((schema) => Object.entries<{ help?: string }>(schema))
      .filter(([, { help }]) => help !== undefined)
      .map(([name]) => [name, `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`]),
  ),
};

const words: Readonly<Record<string, string>> = { prompt: 'the prompt', text: 'the text', id: 'each token id' };

/** Replaces the library's options in a message by their flags: `weights` "mapped" becomes --weights mapped. */
export function inFlags(text: string): string {
  return text
    .replace(/`(\w+)(?:\[\d+\])?`((?: (?:or )?"\w+")*)/g, (quoted, name: string, values: string) => {
      const word = flagOf[name] ?? words[name];
      return word === undefined ? quoted : word + values.replaceAll('"', '');
    })
    .replace(/(?<=--memory-limit )\d+/g, (bytes) => `${Math.ceil(Number(bytes) / 2 ** 20)}MiB`);
}

/**
 * Keeps the advice that a user of the command line can follow. Drops sentences about code and about options without a
 * flag.
 */
export function adviceInFlags(hint: string): string | undefined {
  const sentences = hint
    .split(/(?<=\.) (?=[A-Z])/)
    .filter((sentence) => !/`prompt`|\w\(\)|\[grok\.|`for await`/.test(sentence));
  const advice = inFlags(sentences.join(' '));
  return advice === '' || /`[a-z]+[A-Z]\w*`/.test(advice) ? undefined : advice;
}
