import { lstat, rename, rm, unlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Command } from 'commander';
import { optionSchema } from '../../lib/index.js';
import { UsageError } from '../failure.js';
import type { Host } from '../host.js';
import {
  addModelOptions,
  addOptions,
  addOutputOptions,
  flagsOf,
  type ModelFlags,
  type OutputFlags,
  optionsOf,
  pathOrModelOf,
} from '../options.js';
import { Printer } from '../printer.js';
import { reportAsMarkdown } from '../report-markdown.js';

interface ReportFlags extends ModelFlags, OutputFlags {
  readonly output?: string;
  readonly force?: boolean;
  readonly verify?: boolean;
  readonly json?: boolean;
}

const NAME = 'grok-run-report';

export function makeReportCommand(host: Host): Command {
  const command = new Command('report')
    .summary('how a model runs here, as a file to send to the authors')
    .description(
      `Loads a checkpoint and writes ${NAME}.json and ${NAME}.md: this machine, rates with their limits, and the ` +
        'results of three fixed prompts. Takes at most ten minutes after loading. The files name no user, host or folder.',
    )
    .argument('[path]', 'checkpoint directory or file (default: --model, or the embedded toy)')
    .option('-o, --output <folder>', 'where to write the files (default: the current folder)')
    .option('--force', 'replace existing files')
    .option('--json', 'the report on stdout as one JSON object, too');
  addOptions(command, optionSchema.report, ['verify']).option('--no-verify', 'hash no files');
  addModelOptions(command);
  addOutputOptions(command);
  return command.action(async (path: string | undefined) => {
    const flags = flagsOf<ReportFlags>(command);
    const source = pathOrModelOf(command, path);
    const printer = new Printer(host, flags);
    const paths = ['json', 'md'].map((ending) => join(flags.output ?? '.', `${NAME}.${ending}`));
    for (const path of paths) await tryPath(path, flags.force === true);
    const report = await host.library.report(source, {
      ...optionsOf(optionSchema.report, flags),
      onProgress: (what: string) => printer.note(what),
    });
    const markdown = reportAsMarkdown(report);
    if (flags.json) await printer.json(report);
    else await printer.text(markdown);
    for (const [index, text] of [`${JSON.stringify(report, undefined, 2)}\n`, markdown].entries()) {
      await writeReport(paths[index] ?? NAME, text, flags.force === true);
    }
    printer.note(`wrote ${paths.join(' and ')}`);
  });
}

/** Refuses an unwritable path before the long work. Leaves no file there, because the work may be interrupted. */
async function tryPath(path: string, force: boolean): Promise<void> {
  const found = await lstat(path).catch(() => undefined);
  if (found && !force) throw fileExists(path);
  if (found?.isDirectory()) throw new UsageError(`Expected a file at ${path}, found a folder`, 'move it away');
  await writePart(path, '');
  await unlink(partOf(path));
}

/** Writes beside the file and then renames, so that no failure destroys an existing report. */
async function writeReport(path: string, text: string, force: boolean): Promise<void> {
  await writePart(path, text);
  const appeared = !force && (await lstat(path).catch(() => undefined));
  if (appeared) await unlink(partOf(path));
  if (appeared) throw fileExists(path);
  await rename(partOf(path), path);
}

function partOf(path: string): string {
  return `${path}.part`;
}

async function writePart(path: string, text: string): Promise<void> {
  const part = partOf(path);
  try {
    await rm(part, { force: true }); // prevents waiting for a pipe
    await writeFile(part, text, { flag: 'wx' });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') {
      throw new UsageError(`Expected --output to be a folder, found none at ${dirname(path)}`, 'create it first');
    }
    await rm(part, { force: true }).catch(() => {}); // the first error is reported
    throw error;
  }
}

function fileExists(path: string): UsageError {
  return new UsageError(
    `Expected no file ${path}, found one`,
    'replace it with --force, or choose a folder with --output',
  );
}
