import { Command } from 'commander';
import type { Host } from '../host.js';
import { readInput } from '../input.js';
import { loadModel } from '../load.js';
import { addModelOptions, addOutputOptions, flagsOf, type ModelFlags, type OutputFlags } from '../options.js';
import { Printer, table } from '../printer.js';

interface ScoreFlags extends ModelFlags, OutputFlags {
  readonly file?: string;
  readonly json?: boolean;
}

export function makeScoreCommand(host: Host): Command {
  const command = new Command('score')
    .summary('how likely a text is')
    .description(
      'Prints each token of a text with its log-probability given those before it (natural logarithm; the first has ' +
        'none), then their total and the perplexity, e to the power of the mean negative log-probability.',
    )
    .argument('[text...]', 'its words joined by a space (none or -: stdin)')
    .option('-f, --file <path>', 'read the text from a file')
    .option('--json', 'one JSON object');
  addModelOptions(command);
  addOutputOptions(command);
  return command.action(async (words: string[]) => {
    const flags = flagsOf<ScoreFlags>(command);
    const text = await readInput(host, words, flags.file, 'a text');
    await using grok = await loadModel(host, flags, (opened) => opened.check(text, { maxTokens: 0 }));
    const tokens = await grok.score(text);

    const scored = tokens.map(({ logprob }) => logprob).filter((logprob) => logprob !== null);
    const total = scored.reduce((sum, logprob) => sum + logprob, 0);
    // A text of one token has no scored token.
    const perplexity = scored.length > 0 ? Math.exp(-total / scored.length) : null;
    const printer = new Printer(host, flags);
    if (flags.json) {
      await printer.json({ tokens, totalLogprob: total, perplexity });
      return;
    }
    const rows = tokens.map(({ id, logprob, text }) => [`${id}`, logprob?.toFixed(4) ?? '-', JSON.stringify(text)]);
    for (const row of table([['id', 'logprob', 'text'], ...rows], new Set([0, 1]))) await printer.line(row);
    await printer.line(
      `total logprob ${total.toFixed(4)} of ${scored.length} tokens, perplexity ${perplexity?.toFixed(3) ?? '-'}`,
    );
  });
}
