import type { Command } from 'commander';
import { type Completion, type GenerateOptions, type Generation, type Grok, optionSchema } from '../../lib/index.js';
import { UsageError } from '../failure.js';
import type { Host } from '../host.js';
import { readInput } from '../input.js';
import { loadModel } from '../load.js';
import {
  addGenerateOptions,
  addModelOptions,
  addOutputOptions,
  flagsOf,
  type ModelFlags,
  modelOf,
  type OutputFlags,
  optionsOf,
} from '../options.js';
import { Printer } from '../printer.js';
import { formatCount, formatDuration, formatRate } from '../units.js';

interface RunFlags extends ModelFlags, Readonly<GenerateOptions>, OutputFlags {
  readonly file?: string;
  readonly json?: boolean;
  readonly jsonl?: boolean;
  readonly stream?: boolean;
}

const HELP = `
Grok-1 is a base model: it continues the prompt and does not answer it. On a
terminal the prompt is printed first. In a pipe or a file the continuation stands
alone. --echo and --no-echo override this. The output ends with one line break;
one line break at the end of a prompt from a file or from stdin is dropped.

--json prints one object at the end: text, tokenIds, finishReason, usage,
timings, seed. --jsonl prints an object for each piece as it is generated (text,
tokenIds), then one with the rest. Errors are then {"error":{...}} on stderr.

A generation_config.json beside the model replaces the defaults above; the
embedded toy has one. grok-run inspect shows it. Options override it.

A word that is a command's name is read as the command. A prompt that starts
with a dash or with a command's name follows --:
  $ grok-run -- inspect

Examples:
  $ grok-run "Once upon a time"
  $ grok-run -m ./checkpoints -n 64 -t 0 "The answer to life is"
  $ cat story.txt | grok-run --seed 7 > continuation.txt

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.`;

/** Adds the arguments of a continuation to `command`: the program itself, and the command `run`. */
export function makeRunCommand(command: Command, host: Host): Command {
  command
    .argument('[prompt...]', 'text to continue, its words joined by a space (none or -: stdin)')
    .option('-f, --file <path>', 'read the prompt from a file')
    .option('--json', 'one JSON object at the end')
    .option('--jsonl', 'one JSON object a line, as the text comes')
    .option('--no-stream', 'print the text once it is complete');
  addModelOptions(command);
  addGenerateOptions(command).option('--no-echo', 'print the continuation alone (default: in a pipe or a file)');
  addOutputOptions(command);
  return command.addHelpText('after', HELP).action(async (words: string[]) => {
    await run(host, words, flagsOf<RunFlags>(command));
  });
}

async function run(host: Host, words: readonly string[], flags: RunFlags): Promise<void> {
  const asJson = flags.json || flags.jsonl;
  if (flags.json && flags.jsonl) throw new UsageError('Expected --json or --jsonl, found both', 'leave one out');
  if (flags.logprobs !== undefined && !asJson) {
    throw new UsageError('Expected --json or --jsonl beside --logprobs, found neither', 'add --json');
  }
  const prompt = await readInput(host, words, flags.file, 'a prompt');
  const options = {
    ...optionsOf(optionSchema.generate, flags),
    echo: flags.echo ?? (!asJson && host.stdout.isTTY === true),
  };
  const startedAt = performance.now();
  await using grok = await loadModel(host, flags, (opened) => opened.check(prompt, options));
  const loadMs = performance.now() - startedAt;

  const generation = grok.generate(prompt, options);
  const printer = new Printer(host, flags);
  await print(printer, generation, flags, () => introduceToy(printer, grok, flags));
  describe(printer, grok, loadMs, await generation.result);
}

/** @param introduce called before the first output, so that the error of a refused request stands alone */
async function print(printer: Printer, generation: Generation, flags: RunFlags, introduce: () => void): Promise<void> {
  if (flags.json || flags.stream === false) {
    const completion = await generation.result;
    introduce();
    await (flags.json ? printer.json(completion) : printer.paragraph(completion.text));
    return;
  }
  let isFirst = true;
  let lastText = '';
  for await (const chunk of generation) {
    if (isFirst) introduce();
    isFirst = false;
    await (flags.jsonl ? printer.json(chunk) : printer.text(chunk.text));
    lastText = chunk.text || lastText;
  }
  if (isFirst) introduce();
  if (flags.jsonl) {
    const { text, tokenIds, logprobs, ...rest } = await generation.result;
    await printer.json(rest);
  } else if (!lastText.endsWith('\n')) {
    await printer.text('\n');
  }
}

function introduceToy(printer: Printer, grok: Grok, flags: RunFlags): void {
  if (modelOf(flags) !== undefined) return;
  const size = formatCount(grok.info.parameters.total);
  printer.note(`this is the embedded toy, ${size} parameters; Grok-1 itself: grok-run -m <checkpoint directory>`);
}

function describe(
  printer: Printer,
  grok: Grok,
  loadMs: number,
  { usage, timings, finishReason, seed }: Completion,
): void {
  const { device, whyCpu } = grok.info;
  printer.detail(`device   ${device}${whyCpu ? `, chosen because: ${whyCpu}` : ''}`);
  printer.detail(`load     ${formatDuration(loadMs)}`);
  printer.detail(
    `prefill  ${usage.promptTokens} tokens in ${formatDuration(timings.prefillMs)}, ` +
      formatRate(usage.promptTokens, timings.prefillMs),
  );
  printer.detail(
    `decode   ${usage.completionTokens} tokens in ${formatDuration(timings.decodeMs)}, ` +
      `${timings.tokensPerSecond.toFixed(1)} tokens/s`,
  );
  printer.detail(`finish   ${finishReason}`);
  printer.detail(`seed     ${seed}`);
}
