// Checks that users' machines can load the binaries in prebuilds/, and that the tarball has the necessary files. Needs
// readelf (apt install binutils).
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { hardeningProblems } from './hardening.mjs';

// Debian 12, Ubuntu 22.04, RHEL 9 and Amazon Linux 2023 have these versions or newer ones.
const NEWEST = { GLIBC: [2, 34], GLIBCXX: [3, 4, 29], CXXABI: [1, 3, 13] };
// Symbols of the napi_module registration. No others, because a second addon in the process must not see our symbols.
const EXPORTS = new Set(['napi_register_module_v1', 'node_api_module_get_api_version_v1']);
// The CUDA runtime must be inside the binary. Only the driver may come from the user's system, and it is opened at run
// time.
const LIBRARIES = /^(libc|libm|libstdc\+\+|libgcc_s|libpthread|libdl|librt|ld-linux-x86-64|ld-linux-aarch64)\.so\.\d+$/;
const ARCHITECTURES = ['x64', 'arm64'];
const MAX_TARBALL_BYTES = 20e6;

const problems = [];

function readelf(...args) {
  return execFileSync('readelf', ['--wide', ...args], { encoding: 'utf8', maxBuffer: 64e6 });
}

/** Compares versions as Array.sort does. */
function compareVersions(a, b) {
  const at = a.findIndex((part, index) => part !== (b[index] ?? 0));
  return at < 0 ? a.length - b.length : a[at] - (b[at] ?? 0);
}

/**
 * Bytes of GPU code by architecture: `sm_80` is machine code, `compute_120` PTX. Empty without the CUDA backend. nvcc
 * 13.0 writes a container for each of its files: a header and entries. An entry has its kind at offset 0 (1: PTX), the
 * size of its header at 4, the size of the code at 8, and the architecture at 28.
 */
function gpuCode(file) {
  const CONTAINER = 0xba55ed50;
  const [, start, size] = /\.nv_fatbin +PROGBITS +\w+ (\w+) (\w+)/.exec(readelf('--sections', file)) ?? [];
  const bytesOf = {};
  if (!start) return bytesOf;
  const section = readFileSync(file).subarray(Number(`0x${start}`), Number(`0x${start}`) + Number(`0x${size}`));
  for (let at = 0; at < section.length; ) {
    if (section.readUInt32LE(at) !== CONTAINER) {
      at += 8; // skips padding
      continue;
    }
    const end = at + section.readUInt16LE(at + 6) + Number(section.readBigUInt64LE(at + 8));
    for (at += section.readUInt16LE(at + 6); at < end; ) {
      const name = `${section.readUInt16LE(at) === 1 ? 'compute' : 'sm'}_${section.readUInt32LE(at + 28)}`;
      const entryBytes = section.readUInt32LE(at + 4) + Number(section.readBigUInt64LE(at + 8));
      bytesOf[name] = (bytesOf[name] ?? 0) + entryBytes;
      at += entryBytes;
    }
  }
  return bytesOf;
}

function checkBinary(file) {
  const problem = (sentence) => problems.push(`${file}: ${sentence}`);

  const versions = readelf('--version-info', file);
  const newest = Object.entries(NEWEST).map(([name, limit]) => {
    const found = [...versions.matchAll(new RegExp(`\\b${name}_([\\d.]+)`, 'g'))]
      .map(([, version]) => version.split('.').map(Number))
      .sort(compareVersions)
      .at(-1);
    if (compareVersions(found, limit) > 0)
      problem(`needs ${name}_${found.join('.')}, expected at most ${limit.join('.')}`);
    return `${name}_${found.join('.')}`;
  });

  const needed = [...readelf('--dynamic', file).matchAll(/\(NEEDED\).*\[(.+)\]/g)].map(([, library]) => library);
  for (const library of needed)
    if (!LIBRARIES.test(library)) problem(`needs ${library}, which a user's machine may lack`);

  const [entry] = EXPORTS;
  hardeningProblems(file, entry).forEach(problem);

  // The loader reserves a few hundred bytes of static thread-local storage for libraries opened late. The CUDA runtime
  // in the same file has 4 KiB of it, and all of a file's is static if one variable is.
  if (/STATIC_TLS/.test(readelf('--dynamic', file)))
    problem('has static thread storage: a build with CUDA would not load');

  const exported = readelf('--dyn-syms', file)
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter(
      ([, , , , bind, visibility, section]) => bind !== 'LOCAL' && visibility === 'DEFAULT' && /^\d+$/.test(section),
    )
    .map((fields) => fields[7].replace(/@.*/, ''));
  for (const name of EXPORTS) if (!exported.includes(name)) problem(`does not export ${name}`);
  for (const name of exported) if (!EXPORTS.has(name)) problem(`exports ${name}, which is nobody's business`);

  console.log(`${file}: ${newest.join(', ')}, needs ${needed.join(' ')}, exports ${exported.length}`);
  const megabytes = (bytes) => `${(bytes / 1e6).toFixed(2)} MB`;
  const kernels = Object.entries(gpuCode(file)).map(([name, bytes]) => `${name} ${megabytes(bytes)}`);
  console.log(`${file}: ${[megabytes(statSync(file).size), ...kernels].join(', ')}`);
}

/**
 * Kernels for wider instruction sets must not share functions. The linker keeps one copy of an inline function that
 * several files emit. If it kept theirs, a CPU without AVX2 would crash in unrelated code.
 */
function checkKernels(objects) {
  for (const object of objects) {
    const shared = readelf('--syms', object).match(/FUNC\s+WEAK\s+\w+\s+\d+\s+\S+/g) ?? [];
    for (const symbol of shared) problems.push(`${object}: shares ${symbol.split(/\s+/).pop()} with the other files`);
    console.log(`${object}: ${shared.length} shared functions`);
  }
}

function checkTarball() {
  const [pack] = JSON.parse(
    execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], { encoding: 'utf8', maxBuffer: 64e6 }),
  );
  const files = pack.files.map(({ path }) => path);
  if (pack.size >= MAX_TARBALL_BYTES)
    problems.push(`the tarball has ${pack.size} bytes, expected under ${MAX_TARBALL_BYTES}`);
  // npm runs `node-gyp rebuild` when it installs a package that contains this file.
  if (files.includes('binding.gyp')) problems.push('binding.gyp is in the tarball');
  for (const file of ['dist/bin/grok-run.js', 'dist/lib/index.js', 'dist/lib/index.d.ts', 'CMakeLists.txt', 'LICENSE'])
    if (!files.includes(file)) problems.push(`${file} is not in the tarball`);
  for (const folder of ['prebuilds/', 'models/', 'native/'])
    if (!files.some((file) => file.startsWith(folder))) problems.push(`nothing of ${folder} is in the tarball`);
  console.log(
    `tarball: ${files.length} files, ${(pack.size / 1e6).toFixed(1)} MB packed, ${(pack.unpackedSize / 1e6).toFixed(1)} MB unpacked`,
  );
}

const binaries = readdirSync('prebuilds', { recursive: true })
  .filter((file) => file.endsWith('.node'))
  .map((file) => join('prebuilds', file));
for (const arch of ARCHITECTURES)
  if (!binaries.includes(join('prebuilds', `linux-${arch}`, 'grok-run.glibc.node')))
    problems.push(`prebuilds/ has no binary for ${arch}: npm run prebuild:binaries makes it`);
binaries.forEach(checkBinary);
checkKernels(
  ['build/CMakeFiles', 'build/arm64/build/CMakeFiles'].filter(existsSync).flatMap((folder) =>
    readdirSync(folder, { recursive: true })
      .filter((file) => /_(avx2|avx512|amx|neon)\.cpp\.o$/.test(file))
      .map((file) => join(folder, file)),
  ),
);
checkTarball();

for (const sentence of problems) console.error(`check-binary: ${sentence}`);
process.exit(problems.length > 0 ? 1 : 0);
