#!/usr/bin/env node
// Imports no module before the check: an import that an old Node lacks is a SyntaxError before any line runs.

/** A test compares it with `engines` in package.json. */
const oldestNode = [20, 19] as const;

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major > oldestNode[0] || (major === oldestNode[0] && minor >= oldestNode[1])) {
  void import('./main.js').then(({ main }) => main());
} else {
  const code = 'GROK_UNSUPPORTED';
  const message = `grok-run needs Node ${oldestNode.join('.')} or newer, and this is Node ${process.versions.node}`;
  const hint = 'install a newer Node';
  const isJson = process.argv.some((argument) => argument === '--json' || argument === '--jsonl');
  const json = JSON.stringify({ error: { code, message, hint } });
  process.stderr.write(isJson ? `${json}\n` : `grok-run: ${code}: ${message} (fix: ${hint})\n`);
  process.exitCode = 1;
}

export {};
