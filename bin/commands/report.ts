import { type FileHandle, open, rm, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Command } from 'commander';
import { UsageError } from '../failure.js';
import type { Host } from '../host.js';
import {
  addModelOptions,
  addOutputOptions,
  flagsOf,
  given,
  type ModelFlags,
  type OutputFlags,
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
      `Loads a checkpoint and writes ${NAME}.json and ${NAME}.md: this machine, rates with their limits, and what the ` +
        'model makes of three fixed prompts. Takes at most ten minutes after loading. The files name no user, host or folder.',
    )
    .argument('[path]', 'checkpoint directory or file (default: --model, or the embedded toy)')
    .option('--verify', 'hash all files, also where there is no SHA256SUMS to compare with')
    .option('--no-verify', 'hash no files')
    .option('-o, --output <folder>', 'where to write the files (default: the current folder)')
    .option('--force', 'replace files that are there')
    .option('--json', 'the report on stdout as one JSON object, too');
  addModelOptions(command);
  addOutputOptions(command);
  return command.action(async (path: string | undefined) => {
    const flags = flagsOf<ReportFlags>(command);
    const source = pathOrModelOf(command, path);
    const printer = new Printer(host, flags);
    const paths = ['json', 'md'].map((ending) => join(flags.output ?? '.', `${NAME}.${ending}`));
    await withFiles(paths, flags.force === true, async ([json, markdown]) => {
      const report = await host.library.report(
        source,
        given({
          tokenizer: flags.tokenizer || undefined,
          device: flags.device,
          contextSize: flags.contextSize,
          threads: flags.threads,
          prefillChunk: flags.prefillChunk,
          kvCacheType: flags.kvCacheType,
          weights: flags.weights,
          memoryLimit: flags.maxRam,
          verify: flags.verify,
          onProgress: (what: string) => printer.note(what),
        }),
      );
      await json?.writeFile(`${JSON.stringify(report, undefined, 2)}\n`);
      await markdown?.writeFile(reportAsMarkdown(report));
      if (flags.json) await printer.json(report);
      else await printer.text(reportAsMarkdown(report));
    });
    printer.note(`wrote ${paths.join(' and ')}`);
  });
}

/** Opens the files before the long work, so that a folder without permission costs no work. Removes them if the work fails. */
async function withFiles(
  paths: readonly string[],
  force: boolean,
  work: (files: readonly FileHandle[]) => Promise<void>,
): Promise<void> {
  const files: FileHandle[] = [];
  try {
    for (const path of paths) files.push(await openNew(path, force));
    await work(files);
  } catch (error) {
    await Promise.all(paths.slice(0, files.length).map((path) => unlink(path).catch(() => {})));
    throw error;
  } finally {
    await Promise.all(files.map((file) => file.close()));
  }
}

async function openNew(path: string, force: boolean): Promise<FileHandle> {
  try {
    if (force) await rm(path, { force }); // a pipe would be waited for
    return await open(path, 'wx');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') {
      throw new UsageError(`Expected --output to be a folder, found none at ${dirname(path)}`, 'make it first');
    }
    if (code !== 'EEXIST') throw error;
    throw new UsageError(
      `Expected no file ${path}, found one`,
      'replace it with --force, or choose a folder with --output',
    );
  }
}
