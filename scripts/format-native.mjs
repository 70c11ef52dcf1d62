// Formats the C++ sources with clang-format; --check only says what is not formatted.
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';

const sources = ['native', 'test/native', 'test/fault', 'test/fuzz', 'bench']
  .flatMap((folder) => readdirSync(folder, { recursive: true }).map((file) => join(folder, file)))
  .filter((file) => /\.(cpp|h|inc|cu|cuh)$/.test(file));

const mode = process.argv.includes('--check') ? ['--dry-run', '-Werror'] : ['-i'];
const { status, error } = spawnSync('clang-format', [...mode, ...sources], { stdio: 'inherit' });
if (error) {
  console.log('SKIPPED: clang-format is not installed (apt install clang-format); C++ formatting is not checked.');
  process.exit(0);
}
console.log(`clang-format: ${sources.length} files ${status === 0 ? 'ok' : 'looked at, see above'}`);
process.exit(status ?? 1);
