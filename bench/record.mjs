// Runs `grok-run bench` with the given arguments, and stores its results and the commit in bench/results. Needs a
// build: npm run build.
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** `2026-11-25T00-36-48Z-slice-amd-epyc-7b13.json`: sorts by date, and names the model and the machine. */
export function fileNameFor({ date, model, machine }) {
  const words = (text) =>
    text
      .toLowerCase()
      .replaceAll(/\((r|tm)\)/g, '')
      .replaceAll(/[^a-z0-9]+/g, '-')
      .replaceAll(/^-|-$/g, '');
  const when = date.replace(/\.\d+Z$/, 'Z').replaceAll(':', '-');
  return `${when}-${words(basename(model.name))}-${words(machine.cpu)}.json`;
}

/** The measured commit; null outside a clone. `isClean`: no tracked file differs from it. */
function commitOf(directory) {
  const git = (...args) => spawnSync('git', args, { cwd: directory, encoding: 'utf8' });
  const head = git('rev-parse', 'HEAD');
  if (head.status !== 0) return null;
  return { id: head.stdout.trim(), isClean: git('status', '--porcelain', '--untracked-files=no').stdout === '' };
}

export function record(args, directory) {
  const program = join(root, 'dist', 'bin', 'grok-run.js');
  const { status, stdout, error } = spawnSync(process.execPath, [program, 'bench', '--json', ...args], {
    encoding: 'utf8',
    stdio: ['inherit', 'pipe', 'inherit'],
  });
  if (error) throw error;
  if (status !== 0) return { exitCode: status ?? 1 };
  const report = JSON.parse(stdout);
  const file = join(directory, fileNameFor(report));
  writeFileSync(file, `${JSON.stringify({ commit: commitOf(root), ...report }, null, 2)}\n`, { flag: 'wx' });
  return { exitCode: 0, report, file };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { exitCode, report, file } = record(process.argv.slice(2), join(root, 'bench', 'results'));
  for (const { device, prefill, decode } of report?.runs ?? []) {
    const rates = [
      ...prefill.map(({ tokens, tokensPerSecond }) => `prefill ${tokens}: ${tokensPerSecond.median.toFixed(1)}`),
      `decode: ${decode.tokensPerSecond.median.toFixed(2)}`,
    ];
    console.log(`${device}: ${rates.join(', ')} tokens/s`);
  }
  if (file) console.log(file);
  process.exitCode = exitCode;
}
