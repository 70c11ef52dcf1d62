import * as library from '../lib/index.js';
import { report, runProgram } from './program.js';

const EXIT_INTERRUPTED = 130;

/** Runs the command line of this process. */
export async function main(): Promise<void> {
  const { env, stdin, stdout, stderr } = process;

  // An empty variable counts as unset, for every reader of the environment.
  for (const [name, value] of Object.entries(env)) if (name.startsWith('GROK_') && value === '') delete env[name];

  const host = { library, stdin, stdout, stderr, env };
  const args = process.argv.slice(2);

  // Output that was printed stays. Installed once only, so that a second Ctrl+C does not depend on this handler. A command
  // that ends by itself, such as serve, has a listener of its own.
  process.once('SIGINT', () => process.listenerCount('SIGINT') > 0 || process.exit(EXIT_INTERRUPTED));

  // Failed writes are events. EPIPE is `grok-run ... | head`: the reader needs no more.
  stdout.on('error', (error: NodeJS.ErrnoException) => {
    process.exit(error.code === 'EPIPE' ? 0 : report(host, args, error));
  });
  stderr.on('error', () => {}); // there is no other place to report it

  process.exitCode = await runProgram(host, args);
}
