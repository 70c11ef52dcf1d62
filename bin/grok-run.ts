#!/usr/bin/env node
import * as library from '../lib/index.js';
import { report, runProgram } from './program.js';

const EXIT_INTERRUPTED = 130;

const { env, stdin, stdout, stderr } = process;

// An empty variable is an unset one, whichever of us reads it.
for (const [name, value] of Object.entries(env)) if (name.startsWith('GROK_') && value === '') delete env[name];

const host = { library, stdin, stdout, stderr, env };
const args = process.argv.slice(2);

// What was printed is printed. Only once: a second Ctrl+C does not depend on us.
process.once('SIGINT', () => process.exit(EXIT_INTERRUPTED));

// Failed writes come as events. EPIPE is `grok-run ... | head`: the reader has what it wants.
stdout.on('error', (error: NodeJS.ErrnoException) => {
  process.exit(error.code === 'EPIPE' ? 0 : report(host, args, error));
});
stderr.on('error', () => {}); // nowhere to say so

process.exitCode = await runProgram(host, args);
