import { Command } from 'commander';
import type { ScoredToken } from '../../lib/index.js';
import { UsageError } from '../failure.js';
import type { Host } from '../host.js';
import { readInput } from '../input.js';
import { loadModel } from '../load.js';
import { addModelOptions, addOutputOptions, flagsOf, type ModelFlags, type OutputFlags } from '../options.js';
import { Printer, table } from '../printer.js';

interface ScoreFlags extends ModelFlags, OutputFlags {
  readonly file?: string;
  readonly json?: boolean;
  readonly jsonl?: boolean;
}

export function makeScoreCommand(host: Host): Command {
  const command = new Command('score')
    .summary('how likely a text is')
    .description(
      'Prints each token of a text with its log-probability given those before it (natural logarithm; the first has ' +
        'none), then their total and the perplexity, e to the power of the mean negative log-probability. With --jsonl a ' +
        'line of the input is a JSON string, an array of token ids or an object with "text".',
    )
    .argument('[text...]', 'its words joined by a space (none or -: stdin)')
    .option('-f, --file <path>', 'read the text from a file')
    .option('--json', 'one JSON object')
    .option('--jsonl', 'score many texts, one a line as JSON; one JSON object each');
  addModelOptions(command);
  addOutputOptions(command);
  return command.action(async (words: string[]) => {
    const flags = flagsOf<ScoreFlags>(command);
    if (flags.json && flags.jsonl) throw new UsageError('Expected --json or --jsonl, found both', 'leave one out');
    const input = await readInput(host, words, flags.file, 'a text');
    const texts = flags.jsonl ? textsOf(input) : [input];
    await using grok = await loadModel(host, flags, async (opened) => {
      for (const [index, text] of texts.entries()) {
        await opened.check(text, { maxTokens: 0 }).catch((error) => {
          throw flags.jsonl ? inLine(index, error) : error;
        });
      }
    });
    const printer = new Printer(host, flags);
    for (const text of texts) await print(printer, await grok.score(text), flags);
  });
}

/** One text a line, as JSON. Empty lines are skipped. */
function textsOf(input: string): (string | number[])[] {
  const lines = input.split('\n').map((line) => line.trim());
  return lines.flatMap((line, index) => (line === '' ? [] : [textOf(line, index)]));
}

function textOf(line: string, index: number): string | number[] {
  const expectation = 'a JSON string, an array of token ids or an object with "text"';
  try {
    const value: unknown = JSON.parse(line);
    const text = (value as { text?: unknown } | null)?.text ?? value;
    if (typeof text === 'string' || Array.isArray(text)) return text;
  } catch {
    // The error below reports it.
  }
  throw new UsageError(
    `Expected line ${index + 1} to be ${expectation}, found ${line.slice(0, 40)}`,
    'correct the line',
  );
}

function inLine(index: number, error: unknown): unknown {
  if (error instanceof Error) error.message = `text ${index + 1}: ${error.message}`;
  return error;
}

async function print(printer: Printer, tokens: readonly ScoredToken[], flags: ScoreFlags): Promise<void> {
  const scored = tokens.map(({ logprob }) => logprob).filter((logprob) => logprob !== null);
  const total = scored.reduce((sum, logprob) => sum + logprob, 0);
  // A text of one token has no scored token.
  const perplexity = scored.length > 0 ? Math.exp(-total / scored.length) : null;
  if (flags.json || flags.jsonl) {
    await printer.json({ tokens, totalLogprob: total, perplexity });
    return;
  }
  const rows = tokens.map(({ id, logprob, text }) => [`${id}`, logprob?.toFixed(4) ?? '-', JSON.stringify(text)]);
  for (const row of table([['id', 'logprob', 'text'], ...rows], new Set([0, 1]))) await printer.line(row);
  await printer.line(
    `total logprob ${total.toFixed(4)} of ${scored.length} tokens, perplexity ${perplexity?.toFixed(3) ?? '-'}`,
  );
}
