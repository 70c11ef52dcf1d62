// Builds and strips the binaries of a release, and puts them where lib/addon/loader.ts looks for them.
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync } from 'node:fs';
import { dirname } from 'node:path';

function run(program, args) {
  const { status, error } = spawnSync(program, args, { stdio: 'inherit' });
  if (status === 0) return;
  console.error(`prebuild: ${program} ${args.join(' ')} failed${error ? `: ${error.message}` : ''}`);
  process.exit(1);
}

// The GPU code is only in the binary for x64: nvcc would need the toolkit of the other machine.
const targets = [
  { arch: 'x64', folder: 'build', strip: 'strip' },
  { arch: 'arm64', folder: 'build/arm64', strip: 'aarch64-linux-gnu-strip' },
];
if (process.arch !== 'x64') {
  console.error(`prebuild: a release is built on x64, and this is ${process.arch}`);
  process.exit(1);
}
for (const { arch, folder, strip } of targets) {
  run(process.execPath, ['scripts/build-native.mjs', '--arch', arch]);
  const prebuild = `prebuilds/linux-${arch}/grok-run.glibc.node`;
  mkdirSync(dirname(prebuild), { recursive: true });
  copyFileSync(`${folder}/Release/grok-run.node`, prebuild);
  run(strip, ['--strip-all', prebuild]);
}
