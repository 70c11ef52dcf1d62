// Runs a fuzz target for some time, and adds its figures to test/fuzz/figures.json.
//
//   npm run fuzz -- TARGET [--seconds 600] [--corpus build/fuzz/corpus]
//
// Targets in C++ need clang with libFuzzer (Debian: clang-16 and libclang-rt-16-dev).
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';

const folder = 'test/fuzz';
const figuresFile = join(folder, 'figures.json');
const buildDir = 'build/fuzz';
const targets = readdirSync(join(folder, 'corpus'));

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seconds: { type: 'string', default: '600' },
    corpus: { type: 'string', default: join(buildDir, 'corpus') },
  },
});
const [target] = positionals;
if (positionals.length !== 1 || !targets.includes(target)) fail(`expected one target of ${targets.join(', ')}.`);
if (!(Number(values.seconds) >= 1)) fail(`expected --seconds to be a number ≥ 1, found ${values.seconds}.`);

function fail(sentence) {
  console.error(`fuzz: ${sentence}`);
  process.exit(2);
}

function run(program, args) {
  const { status, error } = spawnSync(program, args, { stdio: ['ignore', 'ignore', 'inherit'] });
  if (error) fail(`cannot run ${program}: ${error.message}`);
  if (status !== 0) fail(`${program} ended with ${status}.`);
}

function libFuzzer() {
  const compiler = ['clang++', 'clang++-16'].find((name) => spawnSync(name, ['--version']).status === 0);
  if (!compiler) fail('clang++ not found: apt install clang-16 libclang-rt-16-dev');
  const options = ['-DGROK_FUZZ=ON', '-DGROK_SANITIZE=address,undefined', '-DGROK_CUDA=OFF'];
  run('cmake', ['-S', '.', '-B', buildDir, `-DCMAKE_CXX_COMPILER=${compiler}`, ...options]);
  run('cmake', ['--build', buildDir, '--target', `fuzz_${target}`]);

  const found = join(values.corpus, target);
  mkdirSync(found, { recursive: true });
  const dictionary = join(folder, `${target}.dict`);
  const args = [
    `-max_total_time=${values.seconds}`,
    `-artifact_prefix=${join(values.corpus, `finding-${target}-`)}`,
    '-print_final_stats=1',
    `-max_len=${target === 'checkpoint' ? 64 : 1024}`, // a dozen edits, or larger than any seed
    '-timeout=60',
    '-rss_limit_mb=1536',
    '-malloc_limit_mb=256', // no input this short may allocate more at once
    '-entropic=0', // its bookkeeping takes longer than these targets
    ...(existsSync(dictionary) ? [`-dict=${dictionary}`] : []),
    found,
    join(folder, 'corpus', target),
  ];
  // Both cost more than the parsers themselves: the stack of each allocation, and the fake stack of each frame.
  const asan = 'malloc_context_size=0:quarantine_size_mb=4:detect_stack_use_after_return=0';
  return { program: join(buildDir, `fuzz_${target}`), args, env: { ASAN_OPTIONS: asan } };
}

function tokenizer() {
  const seed = String(Math.floor(Math.random() * 2 ** 31));
  return {
    program: process.execPath,
    args: [join(folder, 'tokenizer.mjs'), '--runs', 'Infinity', '--seconds', values.seconds, '--seed', seed],
    env: {},
  };
}

/** The commit that last changed the fuzzed code, with "+" if there are changes that are not committed. */
function fuzzedCommit() {
  const git = (...args) => spawnSync('git', args, { encoding: 'utf8' }).stdout.trim();
  const code = ['native', 'lib'];
  return (
    git('log', '-1', '--abbrev=7', '--format=%h', '--', ...code) + (git('status', '--porcelain', ...code) ? '+' : '')
  );
}

const commit = fuzzedCommit();
const { program, args, env } = target === 'tokenizer' ? tokenizer() : libFuzzer();
// Targets write their files to memory if there is such a folder.
const scratch = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
const start = performance.now();
const { status, stderr } = spawnSync(program, args, {
  env: { ...process.env, TMPDIR: scratch, ...env },
  encoding: 'utf8',
  maxBuffer: 2 ** 30,
});
const seconds = Math.round((performance.now() - start) / 1000);
console.log(stderr.split('\n').slice(-40).join('\n'));

const executions = Number(/stat::number_of_executed_units: (\d+)/.exec(stderr)?.[1] ?? 0);
const edges = Number([...stderr.matchAll(/ cov: (\d+)/g)].at(-1)?.[1] ?? 0);
const interrupted = 72; // libFuzzer's exit code
addFigures({ target, commit, executions, seconds, edges, findings: [0, interrupted].includes(status) ? 0 : 1 });
process.exitCode = status ?? 1;

/** One row for each target and commit. */
function addFigures(row) {
  const rows = existsSync(figuresFile) ? JSON.parse(readFileSync(figuresFile, 'utf8')) : [];
  const same = rows.find((earlier) => earlier.target === row.target && earlier.commit === row.commit);
  if (same) {
    for (const sum of ['executions', 'seconds', 'findings']) same[sum] += row[sum];
    same.edges = Math.max(same.edges, row.edges);
  } else rows.push(row);
  writeFileSync(figuresFile, `${JSON.stringify(rows, null, 2)}\n`);
  const total = rows.filter(({ target }) => target === row.target).reduce((sum, { executions }) => sum + executions, 0);
  console.log(`${basename(program)}: ${row.executions} executions in ${row.seconds} s, ${total} in all`);
}
