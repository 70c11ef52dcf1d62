import { CommanderError } from 'commander';
import { printableLines } from './printable.js';
import { adviceInFlags, inFlags } from './vocabulary.js';

/** The command line is invalid. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
  readonly code = 'GROK_USAGE';

  constructor(
    message: string,
    readonly hint?: string,
  ) {
    super(message);
  }
}

/** A command succeeded and found a problem elsewhere; its output describes the problem. */
export class ProblemsFound extends Error {
  override readonly name = 'ProblemsFound';
}

/** An error in the form that the terminal shows. */
export interface Failure {
  readonly code: string;
  readonly message: string;
  readonly hint?: string;
}

// 130, interrupted, is set by the signal handler in grok-run.ts.
const EXIT_DONE = 0;
const EXIT_FAILED = 1;
const EXIT_USAGE = 2;

const USAGE_CODES: ReadonlySet<string> = new Set(['GROK_USAGE', 'GROK_INVALID_ARGUMENT']);

/** The only place that turns errors into exit codes and into text on stderr. */
export function settle(
  error: unknown,
  options: { asJson: boolean; verbose: boolean; help?: string },
): { exitCode: number; report: string } {
  // For commander, help and version are errors. Help for an unknown command is an error for us, too.
  if (error instanceof CommanderError && error.exitCode === 0) return { exitCode: EXIT_DONE, report: '' };
  if (error instanceof CommanderError && error.code === 'commander.help') return { exitCode: EXIT_USAGE, report: '' };
  if (error instanceof ProblemsFound) return { exitCode: EXIT_FAILED, report: '' };
  const failure = failureOf(error, options.help);
  const exitCode = USAGE_CODES.has(failure.code) ? EXIT_USAGE : EXIT_FAILED;
  if (options.asJson) return { exitCode, report: `${JSON.stringify({ error: failure })}\n` };
  const stack = options.verbose && error instanceof Error ? `${error.stack}\n` : '';
  return { exitCode, report: printableLines(`${inWords(failure)}\n${stack}`) };
}

/**
 * Code, message and fix of any thrown value.
 *
 * @param help the command line that shows the command's help, used as the fix of wrong usage without a better one
 */
export function failureOf(error: unknown, help = 'grok-run --help'): Failure {
  if (error instanceof CommanderError) {
    // Commander's message is "error: unknown option '--sed'\n(Did you mean --seed?)".
    const [message = '', suggestion] = error.message.replace(/^error: /, '').split('\n');
    const { hint = suggestion?.replace(/^\((.*)\)$/, '$1') } = error as { hint?: string };
    return { code: 'GROK_USAGE', message, hint: hint ?? `see ${help}` };
  }
  if (!(error instanceof Error)) return { code: 'GROK_INTERNAL', message: String(error) };

  if (error instanceof UsageError)
    return { code: error.code, message: error.message, hint: error.hint ?? `see ${help}` };
  const { code, hint, syscall } = error as { code?: unknown; hint?: unknown; syscall?: unknown };
  const isOurs = typeof code === 'string' && code.startsWith('GROK_');
  const isDenied = code === 'ERR_ACCESS_DENIED';
  const advice = typeof hint === 'string' ? (isOurs ? adviceInFlags(hint) : hint) : permissionFix(error);
  return {
    code: isOurs ? code : isDenied ? 'GROK_UNSUPPORTED' : syscall !== undefined ? 'GROK_IO' : 'GROK_INTERNAL',
    message: isOurs ? inFlags(error.message) : error.message || error.name,
    ...(advice && { hint: advice }),
  };
}

const permissionFlags: Readonly<Record<string, string>> = {
  FileSystemRead: '--allow-fs-read',
  FileSystemWrite: '--allow-fs-write',
  WorkerThreads: '--allow-worker',
};

/** The flag that grants the access that Node's permission model refused, in `error` or in its causes. */
export function permissionFix(error: unknown): string | undefined {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const { code, permission, resource } = cause as { code?: unknown; permission?: string; resource?: string };
    const flag = code === 'ERR_ACCESS_DENIED' && permissionFlags[permission ?? ''];
    if (flag) return `start Node with ${flag}${resource ? `=${resource}` : ''}`;
  }
  return undefined;
}

/** One line, unless the message itself has several. */
function inWords({ code, message, hint }: Failure): string {
  const line = `grok-run: ${code}: ${message}`;
  if (!hint) return line;
  return message.includes('\n') ? `${line}\nfix: ${hint}` : `${line} (fix: ${hint})`;
}
