#!/usr/bin/env node
import * as library from '../lib/index.js';
import { runProgram } from './program.js';

const EXIT_INTERRUPTED = 130;

const { argv, env, stdin, stdout, stderr } = process;

// What was printed is printed. Only once: a second Ctrl+C does not depend on us.
process.once('SIGINT', () => process.exit(EXIT_INTERRUPTED));

// `grok-run ... | head`: the reader has what it wants. EPIPE comes as an event.
stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});

process.exitCode = await runProgram({ library, stdin, stdout, stderr, env }, argv.slice(2));
