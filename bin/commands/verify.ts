import { Command } from 'commander';
import { optionSchema, type Verification } from '../../lib/index.js';
import { ProblemsFound, UsageError } from '../failure.js';
import type { Host } from '../host.js';
import { addOptions, addOutputOptions, flagsOf, modelOption, type OutputFlags, pathOrModelOf } from '../options.js';
import { printable } from '../printable.js';
import { Printer, table } from '../printer.js';
import { withBar } from '../progress.js';
import { formatBytes, formatDuration } from '../units.js';

interface VerifyFlags extends OutputFlags {
  readonly write?: boolean;
  readonly force?: boolean;
  readonly json?: boolean;
}

export function makeVerifyCommand(host: Host): Command {
  const command = new Command('verify')
    .summary('whether the files of a checkpoint are whole, by their SHA-256')
    .description(
      'Compares every file with the list SHA256SUMS beside the checkpoint, which `sha256sum -c` reads, too. Exits with 1 ' +
        'when a file differs, is missing or is not in the list.',
    )
    .argument('[path]', 'checkpoint directory or file (default: --model, or the embedded toy)')
    .addOption(modelOption())
    .option('--json', 'everything as one JSON object');
  addOptions(command, optionSchema.verify);
  addOutputOptions(command);
  return command.action(async (path: string | undefined) => {
    const flags = flagsOf<VerifyFlags>(command);
    const source = pathOrModelOf(command, path);
    if (flags.force && !flags.write) throw new UsageError('Expected --write with --force', 'leave --force out');
    const startedAt = performance.now();
    const verification = await withBar(host, flags, 'hashing', (bar) =>
      host.library.verify(source, {
        write: flags.write === true,
        force: flags.force === true,
        ...(bar && {
          onProgress: ({ hashedBytes, totalBytes, file }) =>
            bar.update({ loadedBytes: hashedBytes, totalBytes, tensor: file }),
        }),
      }),
    );
    const elapsed = formatDuration(performance.now() - startedAt);
    const printer = new Printer(host, flags);
    if (flags.json) await printer.json(verification);
    else await printer.line(describe(verification, flags, elapsed).join('\n'));
    if (!verification.ok) throw new ProblemsFound();
  });
}

function describe({ ok, files, hashedBytes, ...found }: Verification, flags: VerifyFlags, elapsed: string): string[] {
  const manifest = printable(found.manifest);
  const read = `${formatBytes(hashedBytes)} in ${elapsed}`;
  if (flags.write) return [`wrote ${manifest}: ${files.length} files, ${read}`];
  if (ok) return [`all ${files.length} files are as ${manifest} says: ${read}`];
  const wrong = files.filter(({ status }) => status !== 'ok');
  return [
    ...table(wrong.map(({ status, name, problem = '' }) => [status, name, problem])),
    `${wrong.length} of ${files.length} files are not as ${manifest} says: ${read}`,
  ];
}
