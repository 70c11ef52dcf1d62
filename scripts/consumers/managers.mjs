// Package managers: each installs the tarball without scripts, and runs the program by import, by require and in a worker
// thread, and the command line.
import { asCommonJs, asModule, inWorker, PROMPT } from './program.mjs';

const programs = { import: 'program.mjs', require: 'program.cjs', worker: 'worker.mjs' };

function writePrograms(kit, manifest = {}) {
  kit.write('package.json', JSON.stringify({ name: 'consumer', version: '1.0.0', private: true, ...manifest }));
  kit.write(programs.import, asModule);
  kit.write(programs.require, asCommonJs);
  kit.write(programs.worker, inWorker);
}

/** `node` runs a file with Node, `execute` runs the command line. */
async function runAll(kit, node, execute) {
  const rows = [];
  for (const [how, file] of Object.entries(programs)) rows.push([how, kit.mustRun(await node(file))]);
  const text = await execute([PROMPT, '-n', '12', '-t', '0', '-q']);
  if (!text.trim()) throw new Error('the command line printed nothing');
  return [...rows, ['grok-run "prompt"', 'runs']];
}

const pnpm = {
  name: 'pnpm',
  packages: ['pnpm'],
  folder: 'pnpm',
  async check(kit) {
    writePrograms(kit);
    await kit.tool('pnpm', ['add', '--ignore-scripts', '--store-dir', kit.emptyFolder(), kit.tarball]);
    return runAll(
      kit,
      (file) => kit.node([file]),
      (args) => kit.tool('pnpm', ['exec', 'grok-run', ...args]),
    );
  },
};

const yarnClassic = {
  name: 'yarn classic',
  packages: ['yarn'],
  folder: 'yarn',
  async check(kit) {
    writePrograms(kit);
    await kit.tool('yarn/bin/yarn.js', [
      'add',
      '--ignore-scripts',
      '--silent',
      '--cache-folder',
      kit.emptyFolder(),
      kit.tarball,
    ]);
    return runAll(
      kit,
      (file) => kit.node([file]),
      (args) => kit.tool('yarn/bin/yarn.js', ['--silent', 'grok-run', ...args]),
    );
  },
};

function berry(nodeLinker) {
  return {
    name: `yarn Berry, ${nodeLinker}`,
    packages: ['@yarnpkg/cli-dist'],
    folder: `berry-${nodeLinker}`,
    async check(kit) {
      writePrograms(kit);
      kit.write('yarn.lock', '');
      const settings = {
        nodeLinker,
        enableGlobalCache: false,
        enableTelemetry: false,
        enableImmutableInstalls: false,
        enableScripts: false,
      };
      kit.write(
        '.yarnrc.yml',
        Object.entries(settings)
          .map(([key, value]) => `${key}: ${value}\n`)
          .join(''),
      );
      const yarn = (args) => kit.tool('@yarnpkg/cli-dist/bin/yarn.js', args);
      await yarn(['add', `grok-run@file:${kit.tarball}`]);
      return runAll(
        kit,
        (file) => yarn(['node', file]),
        (args) => yarn(['grok-run', ...args]),
      );
    },
  };
}

const bun = {
  name: 'bun',
  packages: ['bun'],
  folder: 'bun',
  isOnlyInAll: true,
  async check(kit) {
    writePrograms(kit);
    await kit.tool('bun', ['add', '--ignore-scripts', kit.tarball]);
    return runAll(
      kit,
      (file) => kit.tool('bun', [file]),
      (args) => kit.tool('bun', ['--bun', 'grok-run', ...args]),
    );
  },
};

const deno = {
  name: 'deno',
  packages: ['deno'],
  folder: 'deno',
  isOnlyInAll: true,
  async check(kit) {
    writePrograms(kit);
    await kit.npm(['install', '--ignore-scripts', kit.tarball]);
    const allowed = ['--allow-read', '--allow-ffi', '--allow-env', '--allow-sys'];
    const command = 'node_modules/grok-run/dist/bin/grok-run.js';
    return runAll(
      kit,
      (file) => kit.tool('deno', ['run', ...allowed, file]),
      (args) => kit.tool('deno', ['run', ...allowed, command, ...args]),
    );
  },
};

/** npm installs; each Node runs. */
function node(version, isOnlyInAll) {
  const program = `node-${version}`;
  return {
    name: `Node ${version}`,
    packages: [program],
    isOnlyInAll,
    async check(kit) {
      kit.write(programs.worker, inWorker);
      const command = 'node_modules/grok-run/dist/bin/grok-run.js';
      const run = (args) => kit.run(kit.toolPath(`${program}/bin/node`), args);
      return runAll(
        kit,
        (file) => run([file]),
        (args) => run([command, ...args]),
      );
    },
  };
}

/** Importing works, the first use says which Node is needed, and so does the command line. */
const node18 = {
  name: 'Node 18',
  packages: ['node-18'],
  async check(kit) {
    const program = kit.toolPath('node-18/bin/node');
    const rows = [];
    rows.push(['import', kit.mustAdvise(await kit.run(program, ['program.mjs']))]);
    for (const command of ['doctor', '--version']) {
      const { stderr } = await kit.fail(program, ['node_modules/grok-run/dist/bin/grok-run.js', command]);
      if (!/^grok-run: GROK_UNSUPPORTED: grok-run needs Node [\d.]+ or newer.*\n$/.test(stderr))
        throw new Error(stderr);
      rows.push([`grok-run ${command}`, stderr.trim()]);
    }
    return rows;
  },
};

export const managers = [
  pnpm,
  yarnClassic,
  berry('node-modules'),
  berry('pnp'),
  bun,
  deno,
  node18,
  node('20.19', false),
  ...['20.20', '22', '24', '26'].map((version) => node(version, true)),
];
