// Builds and runs the native tests under ctest, in the build folder of the addon.
import { spawnSync } from 'node:child_process';
import { availableParallelism } from 'node:os';

function run(program, args) {
  const { status } = spawnSync(program, args, { stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
}

const jobs = String(availableParallelism());
run(process.execPath, ['scripts/build-native.mjs']);
run('cmake', ['--build', 'build', '--target', 'native_tests', '--parallel', jobs]);
run('ctest', ['--test-dir', 'build', '--output-on-failure', '--no-tests=error', '--parallel', jobs]);
