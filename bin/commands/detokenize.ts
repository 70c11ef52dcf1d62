import { Command } from 'commander';
import { UsageError } from '../failure.js';
import type { Host } from '../host.js';
import { readInput } from '../input.js';
import { addCheckpointOptions, addOutputOptions, flagsOf, type ModelFlags, type OutputFlags } from '../options.js';
import { Printer } from '../printer.js';
import { loadTokenizer } from '../tokenizer.js';
import { inTurns } from '../turns.js';

interface DetokenizeFlags extends ModelFlags, OutputFlags {
  readonly file?: string;
  readonly json?: boolean;
}

export function makeDetokenizeCommand(host: Host): Command {
  const command = new Command('detokenize')
    .summary('token ids to text')
    .description('Prints the text of token ids, which may be separated by spaces, commas or line breaks.')
    .argument('[ids...]', 'token ids (none or -: stdin)')
    .option('-f, --file <path>', 'read the ids from a file')
    .option('--json', 'the text as one JSON object');
  addCheckpointOptions(command);
  addOutputOptions(command);
  return command.action(async (words: string[]) => {
    const flags = flagsOf<DetokenizeFlags>(command);
    const ids = await parseIds(await readInput(host, words, flags.file, 'token ids'));
    const tokenizer = await loadTokenizer(host, flags);
    const decoder = tokenizer.decoder();
    let text = '';
    for await (const some of inTurns(ids)) for (const id of some) text += decoder.push(id);
    text += decoder.flush();
    const printer = new Printer(host, flags);
    await (flags.json ? printer.json({ text }) : printer.line(text));
  });
}

/** Parses `1 2 3`, `1,2,3` and `[1, 2, 3]`. */
async function parseIds(text: string): Promise<number[]> {
  const ids: number[] = [];
  for await (const words of inTurns(text.matchAll(/[^\s,[\]]+/g))) {
    for (const [word] of words) {
      const id = Number(word);
      if (!/^\d+$/.test(word) || !Number.isSafeInteger(id)) {
        throw new UsageError(`Expected token ids, found ${JSON.stringify(word)} as number ${ids.length + 1}`);
      }
      ids.push(id);
    }
  }
  return ids;
}
