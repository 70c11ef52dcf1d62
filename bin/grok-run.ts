#!/usr/bin/env node
import * as library from '../lib/index.js';
import { settle } from './failure.js';
import { makeProgram } from './program.js';

const EXIT_INTERRUPTED = 130;

const { argv, env, stdin, stdout, stderr } = process;

// What was printed is printed; once, so that a second Ctrl+C does not depend on us.
process.once('SIGINT', () => process.exit(EXIT_INTERRUPTED));

// `grok-run ... | head`: the reader has what it wants. An EPIPE comes as an event.
stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});

// Read here and not by commander: the flags must hold when parsing is what fails.
const flags = new Set(argv.slice(2));
const asJson = flags.has('--json') || flags.has('--jsonl');
const verbose = flags.has('-v') || flags.has('--verbose');

try {
  await makeProgram({ library, stdin, stdout, stderr, env }).parseAsync(argv);
} catch (error) {
  const { exitCode, report } = settle(error, { asJson, verbose });
  stderr.write(report);
  process.exitCode = exitCode;
}
