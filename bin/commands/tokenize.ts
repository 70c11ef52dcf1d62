import { Command } from 'commander';
import type { Host } from '../host.js';
import { readInput } from '../input.js';
import { addCheckpointOptions, addOutputOptions, flagsOf, type ModelFlags, type OutputFlags } from '../options.js';
import { Printer } from '../printer.js';
import { loadTokenizer } from '../tokenizer.js';

interface TokenizeFlags extends ModelFlags, OutputFlags {
  readonly file?: string;
  readonly json?: boolean;
}

export function makeTokenizeCommand(host: Host): Command {
  const command = new Command('tokenize')
    .summary('text to token ids')
    .description('Prints the token ids of a text on one line.')
    .argument('[text...]', 'its words joined by a space (none or -: stdin)')
    .option('-f, --file <path>', 'read the text from a file')
    .option('--json', 'ids and their pieces as one JSON object');
  addCheckpointOptions(command);
  addOutputOptions(command);
  return command.action(async (words: string[]) => {
    const flags = flagsOf<TokenizeFlags>(command);
    const text = await readInput(host, words, flags.file, 'a text');
    const tokenizer = await loadTokenizer(host, flags);
    const ids = await tokenizer.encodeAsync(text);
    const printer = new Printer(host, flags);
    if (flags.json) await printer.json({ ids, pieces: ids.map((id) => tokenizer.piece(id)) });
    else await printer.line(ids.join(' '));
  });
}
