#!/usr/bin/env node
// Builds build/Release/grok-run.node with CMake, driven by cmake-js if it is installed. `--arch arm64` on another machine
// builds build/arm64/build/Release/grok-run.node with Debian's cross compiler, without CUDA. prebuildify runs this file in
// place of node-gyp.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

// Debian's names of a cross compiler, and CMake's of a processor.
const TRIPLES = { x64: 'x86_64-linux-gnu', arm64: 'aarch64-linux-gnu' };

const root = dirname(dirname(fileURLToPath(import.meta.url)));

function fail(sentence) {
  console.error(`grok-run: ${sentence}`);
  process.exit(1);
}

function isInstalled(program) {
  return spawnSync(program, ['--version'], { stdio: 'ignore' }).status === 0;
}

function run(program, args) {
  const { status, error } = spawnSync(program, args, { cwd: root, stdio: 'inherit' });
  if (error) fail(`cannot run ${program}: ${error.message}`);
  if (status !== 0) fail(`the native build failed; the first error above says why.`);
}

/** The command line of cmake-js, which is there in a clone, where it is a development dependency. */
function cmakeJs() {
  const driver = join(root, 'node_modules', 'cmake-js', 'bin', 'cmake-js');
  return existsSync(driver) ? driver : undefined;
}

if (process.platform !== 'linux' || !['x64', 'arm64'].includes(process.arch))
  fail(`the native part builds on Linux x64 and arm64, and this is ${process.platform} ${process.arch}.`);

const { values: options } = parseArgs({
  strict: false,
  options: { arch: { type: 'string' }, debug: { type: 'boolean', short: 'd' } },
});
const arch = options.arch ?? process.arch;
const triple = TRIPLES[arch];
if (!triple) fail(`expected --arch x64 or arm64, found "${arch}".`);
const isCross = arch !== process.arch;
const buildDir = isCross ? join(root, 'build', arch, 'build') : join(root, 'build');

const missing = [];
if (!isInstalled('cmake')) missing.push('cmake');
if (isCross) {
  if (!isInstalled(`${triple}-g++`)) missing.push(`g++-${triple.replace('_', '-')}`);
} else if (![process.env.CXX, 'c++', 'g++', 'clang++'].some((compiler) => compiler && isInstalled(compiler)))
  missing.push('g++');
if (!['make', 'ninja'].some(isInstalled)) missing.push('make');
if (missing.length > 0)
  fail(`${missing.join(' and ')} not found, and needed to build the native part: apt install ${missing.join(' ')}`);

const config = options.debug ? 'Debug' : 'Release';
const cuda = process.env.GROK_CUDA || 'AUTO';
if (!['AUTO', 'ON', 'OFF'].includes(cuda)) fail(`expected GROK_CUDA to be AUTO, ON or OFF, found "${cuda}".`);

// An installed package brings the headers of Node-API.
const include = join(root, 'dist', 'include');
const headers = existsSync(include) ? [`-DCMAKE_JS_INC=${include}`] : [];
const configure = ['-S', root, '-B', buildDir, `-DCMAKE_BUILD_TYPE=${config}`, ...headers];
const driver = cmakeJs();
if (isCross) {
  const [processor] = triple.split('-');
  const target = ['-DCMAKE_SYSTEM_NAME=Linux', `-DCMAKE_SYSTEM_PROCESSOR=${processor}`];
  const tools = [`-DCMAKE_CXX_COMPILER=${triple}-g++`, `-DCMAKE_CROSSCOMPILING_EMULATOR=qemu-${processor}`];
  run('cmake', [...configure, '-DGROK_CUDA=OFF', ...target, ...tools]);
} else if (driver)
  run(process.execPath, [driver, 'configure', '--log-level', 'warn', '--config', config, `--CDGROK_CUDA=${cuda}`]);
else run('cmake', [...configure, `-DGROK_CUDA=${cuda}`]);

run('cmake', ['--build', buildDir, '--target', 'addon', '--parallel', String(availableParallelism())]);

const addon = join(buildDir, 'Release', 'grok-run.node');
if (!existsSync(addon)) fail(`the build ended without ${addon}.`);
