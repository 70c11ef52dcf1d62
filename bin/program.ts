import { existsSync } from 'node:fs';
import { Command, type CommanderError } from 'commander';
import { makeBenchCommand } from './commands/bench.js';
import { makeDetokenizeCommand } from './commands/detokenize.js';
import { makeDoctorCommand } from './commands/doctor.js';
import { makeInspectCommand } from './commands/inspect.js';
import { makeReportCommand } from './commands/report.js';
import { makeRunCommand } from './commands/run.js';
import { makeScoreCommand } from './commands/score.js';
import { makeServeCommand } from './commands/serve.js';
import { makeTokenizeCommand } from './commands/tokenize.js';
import { makeVerifyCommand } from './commands/verify.js';
import { settle, UsageError } from './failure.js';
import type { Host } from './host.js';
import { isOneTypoAway } from './typo.js';

/** `--` ends commands as well as options: `grok-run -- inspect` continues the prompt "inspect". */
class Program extends Command {
  override parseOptions(args: string[]): ReturnType<Command['parseOptions']> {
    const parsed = super.parseOptions(args);
    const end = args.indexOf('--');
    const numWordsAfter = end < 0 ? 0 : args.length - end - 1;
    const allAfter = numWordsAfter > 0 && parsed.unknown.length === 0 && parsed.operands.length === numWordsAfter;
    return allAfter ? { ...parsed, operands: ['run', ...parsed.operands] } : parsed;
  }
}

/**
 * The whole command line, ready for parseAsync. It throws instead of exiting, and reports no error by itself.
 *
 * @param onCommand called with the command that runs, or whose flags cannot be parsed
 */
function makeProgram(host: Host, onCommand: (command: Command) => void): Command {
  const program = new Program('grok-run')
    .description('Continues a prompt with Grok-1, or with the included small model of its architecture.')
    .version(host.library.version, '-V, --version', 'print the version')
    // Flags after a command's name belong to the command.
    .enablePositionalOptions()
    .helpCommand('help [command]', 'the flags of a command');
  makeRunCommand(program, host);

  const commands = [
    makeRunCommand(new Command('run').summary('the same, spelled out'), host),
    makeServeCommand(host),
    makeInspectCommand(host),
    makeDoctorCommand(host),
    makeTokenizeCommand(host),
    makeDetokenizeCommand(host),
    makeScoreCommand(host),
    makeBenchCommand(host),
    makeVerifyCommand(host),
    makeReportCommand(host),
  ];
  for (const command of commands) program.addCommand(command);
  program.hook('preAction', (_, called) => {
    onCommand(called);
    if (called === program) refuseMistypedCommand(program);
  });
  for (const command of [program, ...commands]) {
    const onExit = (error: CommanderError) => {
      onCommand(command);
      throw withHint(error, command);
    };
    command.exitOverride(onExit).configureOutput({
      writeOut: (text) => host.stdout.write(text),
      writeErr: (text) => host.stderr.write(text),
      outputError: () => {},
    });
  }
  return program;
}

/** Adds the flags that a shortened one may mean; commander only looks for typing errors. */
function withHint(error: CommanderError, command: Command): CommanderError {
  const start = /^error: unknown option '(--[^'=]+)/.exec(error.message)?.[1];
  const flags = command.options.filter(({ hidden }) => !hidden).map(({ long }) => long);
  const meant = flags.filter((flag) => start && flag?.startsWith(start));
  if (meant.length === 0) return error;
  return Object.assign(error, { hint: `Did you mean ${meant.length > 1 ? 'one of ' : ''}${meant.join(', ')}?` });
}

/** Refuses a word that is nearly a command's name, alone or before a path, instead of continuing it as a prompt. */
function refuseMistypedCommand(program: Command): void {
  const [word, ...others] = program.args;
  if (word === undefined || others.length > 1) return;
  if (!others.every((other) => other.includes('/') || existsSync(other))) return;
  const meant = program.commands.map((command) => command.name()).find((name) => isOneTypoAway(word, name));
  // Too many words are one letter away from "run".
  if (meant === undefined || meant.length < 4) return;
  throw new UsageError(
    `Unknown command '${word}'; did you mean ${meant}?`,
    `as a prompt: grok-run -- ${program.args.join(' ')}`,
  );
}

/** Runs one command line and returns its exit code. */
export async function runProgram(host: Host, args: readonly string[]): Promise<number> {
  let help = 'grok-run';
  const onCommand = (command: Command) => {
    help = command.parent ? `grok-run ${command.name()}` : 'grok-run';
  };
  try {
    await makeProgram(host, onCommand).parseAsync(args, { from: 'user' });
    return 0;
  } catch (error) {
    return report(host, args, error, `${help} --help`);
  }
}

/** Reports an error in the form that `args` select, and returns the exit code. */
export function report(host: Host, args: readonly string[], error: unknown, help = 'grok-run --help'): number {
  // Read here instead of by commander: the flags must apply even if parsing failed.
  const flags = new Set(args.includes('--') ? args.slice(0, args.indexOf('--')) : args);
  const asJson = flags.has('--json') || flags.has('--jsonl');
  const verbose = flags.has('-v') || flags.has('--verbose');
  const { exitCode, report: text } = settle(error, { asJson, verbose, help });
  host.stderr.write(text);
  return exitCode;
}
