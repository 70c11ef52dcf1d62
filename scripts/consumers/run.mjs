// Installs the packed package into bundlers, tracers, test runners, compilers and package managers. Each must run the
// embedded model or say what to do: `npm run consumers`, or `npm run consumers -- --all` for every version.
//
//   --all             all consumers, not only those of CI
//   --only PATTERN    consumers whose name matches
//   --tarball FILE    this package instead of a new one
//   --keep            leaves the folder for inspection
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { bundlers } from './bundlers.mjs';
import { Kit } from './kit.mjs';
import { managers } from './managers.mjs';
import { asCommonJs, asModule } from './program.mjs';
import { testRunners } from './test-runners.mjs';
import { tracers } from './tracers.mjs';
import { types } from './types.mjs';

const NUM_LANES = 2;

const { values: flags } = parseArgs({
  options: {
    all: { type: 'boolean' },
    only: { type: 'string' },
    tarball: { type: 'string' },
    keep: { type: 'boolean' },
  },
});
const versions = JSON.parse(readFileSync(new URL('versions.json', import.meta.url), 'utf8'));
const consumers = [...tracers, ...bundlers, ...testRunners, ...types, ...managers].filter(
  ({ name, isOnlyInAll }) => (flags.all || flags.only || !isOnlyInAll) && new RegExp(flags.only ?? '').test(name),
);

const root = mkdtempSync(join(tmpdir(), 'grok-run-consumers-'));
const tools = join(root, 'tools');
const registry = execFileSync('npm', ['config', 'get', 'registry'], { encoding: 'utf8' }).trim();
const tarball = flags.tarball ? resolve(flags.tarball) : pack();

function pack() {
  execFileSync('npm', ['pack', '--ignore-scripts', '--loglevel', 'error', '--pack-destination', root], {
    stdio: 'ignore',
  });
  return join(
    root,
    readdirSync(root).find((file) => file.endsWith('.tgz')),
  );
}

/** A folder with these packages, grok-run and the program. */
async function install(folder, packages) {
  const kit = new Kit({ root, tools, folder, tarball, registry });
  const dependencies = Object.fromEntries(
    packages.map((name) => [name, versions[name].replace('linux-x64', `linux-${process.arch}`)]),
  );
  kit.write(
    'package.json',
    JSON.stringify({
      name: 'consumer',
      private: true,
      dependencies: { ...dependencies, 'grok-run': `file:${tarball}` },
    }),
  );
  kit.write('program.mjs', asModule);
  kit.write('program.cjs', asCommonJs);
  // With scripts, because some tools download their programs by them. grok-run has none.
  await kit.npm(['install']);
  return kit;
}

let numFailed = 0;

async function check(consumer, reference) {
  const started = performance.now();
  const folder = consumer.folder ? join(root, consumer.folder) : tools;
  const kit = new Kit({ root, tools, folder, tarball, reference, registry });
  const version = versions[consumer.packages[0]].replace(/.*@/, '');
  try {
    const rows = await consumer.check(kit);
    for (const [how, outcome] of rows) console.log(`ok  ${consumer.name} | ${version} | ${how} | ${outcome}`);
    console.log(`    ${consumer.name}: ${secondsSince(started)} s`);
  } catch (error) {
    numFailed++;
    console.error(`FAILED  ${consumer.name} ${version}: ${error.message}`);
  }
}

function secondsSince(started) {
  return ((performance.now() - started) / 1000).toFixed(0);
}

const started = performance.now();
try {
  const namesOf = (some) => [...new Set(some.flatMap(({ packages }) => packages))];
  const own = consumers.filter(({ installsItself }) => installsItself);
  const kit = await install(tools, namesOf(consumers.filter((consumer) => !own.includes(consumer))));
  for (const folder of new Set(own.map((consumer) => consumer.folder))) {
    await install(join(root, folder), namesOf(own.filter((consumer) => consumer.folder === folder)));
  }
  console.log(`    installed: ${secondsSince(started)} s`);

  const printed = await kit.node(['program.mjs']);
  kit.mustRun(printed);
  const { text } = JSON.parse(printed);
  const queues = new Map();
  for (const consumer of consumers) {
    const key = consumer.folder ?? consumer.name; // consumers that share a folder of their own take turns
    queues.set(key, [...(queues.get(key) ?? []), consumer]);
  }
  const waiting = [...queues.values()];
  const lane = async () => {
    for (let queue = waiting.shift(); queue; queue = waiting.shift()) {
      for (const consumer of queue) await check(consumer, text);
    }
  };
  await Promise.all(Array.from({ length: NUM_LANES }, lane));
  console.log(`consumers: ${consumers.length - numFailed} of ${consumers.length} passed in ${secondsSince(started)} s`);
  process.exitCode = numFailed > 0 ? 1 : 0;
} finally {
  if (flags.keep) console.log(`kept ${root}`);
  else rmSync(root, { recursive: true, force: true });
}
