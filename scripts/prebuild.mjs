// Builds and strips the binaries of a release, and puts them where lib/addon/loader.ts looks for them.
import { mkdirSync } from 'node:fs';
import { promisify } from 'node:util';
import prebuildify from 'prebuildify';

// prebuildify takes the addon from build/Release below `cwd`. The GPU code is only in the binary for x64: nvcc would need
// the toolkit of the other machine.
const targets = [
  { arch: 'x64', cwd: '.', stripBin: 'strip' },
  { arch: 'arm64', cwd: 'build/arm64', stripBin: 'aarch64-linux-gnu-strip' },
];
if (process.arch !== 'x64') {
  console.error(`prebuild: a release is built on x64, and this is ${process.arch}`);
  process.exit(1);
}
const root = process.cwd();
for (const target of targets) {
  mkdirSync(target.cwd, { recursive: true });
  await promisify(prebuildify)({
    ...target,
    out: root,
    name: 'grok-run',
    napi: true,
    strip: true,
    tagLibc: 'glibc',
    nodeGyp: `${root}/scripts/build-native.mjs`,
  });
}
