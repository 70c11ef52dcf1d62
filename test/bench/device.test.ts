import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));
const python = spawnSync('python3', ['-c', 'import sys; print(sys.executable)'], { encoding: 'utf8' }).stdout?.trim();
if (!python) console.log('SKIPPED: no python3, which bench/device.sh makes its table with');

const limits = [
  { group: 'limits', name: 'copy', us: 3000, gb_per_s: 3000, bytes: 9e9 },
  { group: 'limits', name: 'read', us: 3000, gb_per_s: 3200, bytes: 9.6e9 },
  { group: 'linear', operation: 'qkv', tokens: 1, us: 60.5, bytes: 1e8, gb_per_s: 1650 },
];
// 2,800 GB/s after the cost of waiting is subtracted: 0.93 of copying.
const operation = { calls: 2, p10: 108, median: 110, p90: 115, bytes: 280e6, macs: 1 };
/** The same if operations are also timed within a graph: timed by the host, they take 1.5 times as long. */
const inGraph = (us: number) => ({
  ...operation,
  median: us * 1.5 + 10,
  in_graph: { calls: 256, p10: us, median: us, p90: us, mean: us, bytes_a_round: 560e6 },
});
const operations = {
  ...Object.fromEntries(['qkv', 'attention_out', 'experts', 'attention', 'logits'].map((name) => [name, inGraph(100)])),
  ...Object.fromEntries(['add_norm', 'norm', 'route'].map((name) => [name, inGraph(1)])),
  embed: { ...inGraph(1), calls: 1 },
  step: operation,
  sample: { ...operation, median: 11 },
  wait: { ...operation, median: 10 },
};
const decode = (sequences: number, context: number) => ({ sequences, tokens: 1, context, operations });
const withCache = (cache: string) => ({ ...decode(8, 8191), cache });
// Before those of the whole network, with which it must not be confused: 10 GB in 4 ms, 2,500 GB/s.
const step = { ...operation, median: 4000, bytes: 10e9 };
const shard = { ...decode(1, 128), layers: 64, shards: 8, operations: { ...operations, step } };
const measurements = [
  shard,
  ...[1, 2, 4, 8, 16, 64].map((sequences) => decode(sequences, 128)),
  withCache('int8'),
  decode(8, 8191),
];
const jsonLines = (lines: object[]) => lines.map((line) => `${JSON.stringify(line)}\n`).join('');

let folder: string;
let out: string;

function fake(name: string, script: string) {
  const file = join(folder, 'bin', name);
  writeFileSync(file, `#!/bin/bash\n${script}\n`);
  chmodSync(file, 0o755);
}

/** Stand-ins for built programs: these scripts. */
function fakePrograms(scripts: Record<string, string> = {}) {
  const all = {
    backend_operations_device: 'echo ok',
    backend_sample_device: 'echo ok',
    backend_cuda_packed_table_device: 'echo ok',
    model_golden_device: 'echo ok',
    backend_cuda_embedded_model_device: 'echo ok',
    bench_ops: `while [[ $1 ]]; do [[ $1 == --json ]] && cat ${folder}/operations.jsonl >>"$2"; shift; done`,
    ...scripts,
  };
  mkdirSync(join(folder, 'build'));
  for (const [name, script] of Object.entries(all)) {
    writeFileSync(join(folder, 'build', name), `#!/bin/bash\n${script}\n`);
    chmodSync(join(folder, 'build', name), 0o755);
  }
}

/** A clone with compiled TypeScript, as far as the script checks it. */
function fakeClone() {
  const clone = join(folder, 'clone');
  cpSync(join(root, 'bench/device.sh'), join(clone, 'bench/device.sh'));
  cpSync(join(root, 'bench/device'), join(clone, 'bench/device'), { recursive: true });
  for (const directory of ['dist/bin', 'node_modules/node-addon-api']) {
    mkdirSync(join(clone, directory), { recursive: true });
  }
  writeFileSync(join(clone, 'dist/bin/grok-run.js'), '');
  return clone;
}

/**
 * A Node whose grok-run continues a prompt with the addon's folder, and on a GPU with `onCuda`; `auto`: its automatic
 * choice.
 */
function fakeNode({ onCuda = '$GROK_RUN_PREBUILD', auto = 'cuda (NVIDIA H100)' } = {}) {
  const report = {
    model: { name: 'slice' },
    runs: [
      {
        device: auto,
        decode: { tokensPerSecond: { median: 700 }, gigabytesPerSecond: 2800, shareOfBandwidth: 0.875 },
        limits: { read: { median: 3200 }, copy: { median: 3000 } },
      },
    ],
  };
  fake(
    'node',
    `case "$*" in *' bench --device auto '*) echo '${JSON.stringify(report)}';;
*'--device cuda --temperature 0 '*) echo "${onCuda}";; *'--device cpu --temperature 0 '*) echo "$GROK_RUN_PREBUILD";; esac`,
  );
}

function run(args: string[], env: Record<string, string> = {}, clone = root) {
  const { status, stdout, stderr } = spawnSync('bash', [join(clone, 'bench/device.sh'), ...args], {
    encoding: 'utf8',
    env: { PATH: `${join(folder, 'bin')}:/usr/bin:/bin`, GROK_DEVICE_BUILD: join(folder, 'build'), ...env },
  });
  return { status, stdout, stderr };
}

const results = () => JSON.parse(readFileSync(join(out, 'results.json'), 'utf8'));
const statuses = () =>
  Object.fromEntries(results().steps.map(({ step, status }: { step: string; status: string }) => [step, status]));

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'grok-run-device-'));
  out = join(folder, 'a folder', 'out');
  mkdirSync(join(folder, 'bin'));
  writeFileSync(join(folder, 'operations.jsonl'), jsonLines(measurements));
  writeFileSync(join(folder, 'torch.jsonl'), jsonLines(limits));
  fake(
    'nvidia-smi',
    'case $1 in *=name) echo NVIDIA H100;; *=compute_cap) echo 9.0;; *=driver_version) echo 580.1;; esac',
  );
  fake('nvcc', 'echo "Cuda compilation tools, release 13.0, V13.0.88"');
  fake('cmake', 'echo "$@"');
  fake('compute-sanitizer', 'shift 4; exec "$@"');
  fake(
    'python3',
    `if [[ $1 == *torch_peers.py && " $* " == *" limits "* ]]; then cat ${folder}/torch.jsonl >>"$3"
elif [[ $1 != *torch_peers.py ]]; then exec ${python} "$@"; fi`,
  );
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe.skipIf(!python)('bench/device.sh', () => {
  it('refuses an option that it does not know', () => {
    const { status, stderr } = run(['--quik', out]);
    expect(status).toBe(2);
    expect(stderr).toContain('unknown option --quik: expected [--quick] [--node NODE] [OUT]');
  });

  it('refuses a Node that cannot be run', () => {
    for (const args of [['--node', join(folder, 'nothing')], ['--node']]) {
      const { status, stderr } = run(args);
      expect(status).toBe(2);
      expect(stderr).toContain('expected --node or GROK_DEVICE_NODE to be a Node binary');
    }
  });

  it('says so when there is a Node and no compiled TypeScript, and goes on', () => {
    fakePrograms();
    fakeNode();
    const clone = fakeClone();
    rmSync(join(clone, 'dist'), { recursive: true });
    const { status, stdout } = run(['--quick', '--node', 'node', out], {}, clone);
    expect(status).toBe(1);
    expect(stdout).toMatch(/what is not there: dist\/bin\/grok-run\.js *$/m);
    expect(statuses()).toMatchObject({ addon: 'not there', decode: 'passed' });
  });

  it('leaves the addon out without a Node, says so, and does not count that as a failure', () => {
    fakePrograms();
    const { status, stdout } = run(['--quick', out]);
    expect(status).toBe(0);
    expect(stdout).toMatch(/^addon: left out: no --node/m);
    expect(readFileSync(join(out, 'log.txt'), 'utf8')).toContain('-DCMAKE_JS_INC=none');
  });

  it('fails when the GPU continues a prompt differently from the CPU, and shows both', () => {
    fakePrograms();
    fakeNode({ onCuda: 'there was a cat' });
    const { status, stdout } = run(['--quick', out], { GROK_DEVICE_NODE: 'node' }, fakeClone());
    expect(status).toBe(1);
    expect(stdout).toMatch(/^ {2}cpu: {2}.*addon\n {2}cuda: there was a cat$/m);
    expect(statuses()).toMatchObject({ addon: 'passed', 'text, cpu and cuda': 'failed' });
  });

  it('runs the command line with a Node, from the addon that it built', () => {
    fakePrograms();
    fakeNode();
    const { status, stdout } = run(['--node', join(folder, 'bin/node'), out], {}, fakeClone());
    expect(status).toBe(0);
    const log = readFileSync(join(out, 'log.txt'), 'utf8');
    expect(log).toContain(`-DNODE_EXECUTABLE=${join(folder, 'bin/node')}`);
    expect(log).toContain(`  cpu:  ${join(out, 'addon')}\n`);
    expect(realpathSync(join(out, 'addon/build'))).toBe(realpathSync(join(folder, 'build')));
    expect(stdout).toContain(
      'grok-run bench: 3200 GB/s of reading, 3000 of copying; slice decodes 700.0 tokens/s, 2800 GB/s, 0.88 of reading',
    );
  });

  it('fails when device auto is not the GPU, and reports no figure of the CPU', () => {
    fakePrograms();
    fakeNode({ auto: 'cpu (avx2, 16 threads)' });
    const { status, stdout } = run(['--node', 'node', out], {}, fakeClone());
    expect(status).toBe(1);
    expect(stdout).toContain('auto: "device":"cpu (avx2, 16 threads)"\nauto did not choose the GPU');
    expect(statuses()).toMatchObject({ 'text, cpu and cuda': 'passed', 'grok-run bench': 'failed' });
    expect(results().bench).toBeNull();
  });

  it('uses the limits that grok-run measured if PyTorch measured none', () => {
    writeFileSync(join(folder, 'torch.jsonl'), '');
    fakePrograms();
    const clone = fakeClone();
    expect(run([out], {}, clone).stdout).toMatch(/^qkv, 1 x 1 after 128 +100\.0 +150\.0 +2800 +- +-/m);
    fakeNode();
    expect(run(['--node', 'node', out], {}, clone).stdout).toMatch(
      /^qkv, 1 x 1 after 128 +100\.0 +150\.0 +2800 +0\.93 +0\.88/m,
    );
  });

  it('uses the largest of several measurements of a limit', () => {
    const ours = { limits: { copy: 2000, read: 4000 } };
    writeFileSync(join(folder, 'operations.jsonl'), jsonLines([ours, ...measurements]));
    fakePrograms();
    const { stdout } = run([out]);
    expect(stdout).toContain('shares are of the most that anyone measured: copy 3000 GB/s, read 4000 GB/s');
    expect(stdout).toMatch(/^qkv, 1 x 1 after 128 +100\.0 +150\.0 +2800 +0\.93 +0\.70/m);
  });

  it('reports a step that fails, shows the end of its output, and goes on', () => {
    fakePrograms({ backend_sample_device: 'echo "expected 3, found 4"; exit 1' });
    const { status, stdout } = run([out]);
    expect(status).toBe(1);
    expect(stdout).toContain('expected 3, found 4');
    expect(stdout).toContain('not all passed');
    expect(statuses()).toMatchObject({
      backend_sample_device: 'failed',
      model_golden_device: 'passed',
      'memcheck backend_operations_device': 'passed',
      'memcheck backend_sample_device': 'failed',
      'initcheck backend_sample_device': 'failed',
      decode: 'passed',
    });
    expect(stdout.slice(stdout.indexOf('us'))).toMatch(/backend_sample_device: failed after \d+ s/);
  });

  it('reports each step that could not run because the build failed', () => {
    fake('cmake', 'echo "error: no such kernel"; exit 1');
    const { status, stdout } = run(['--quick', out]);
    expect(status).toBe(1);
    expect(stdout).toContain('error: no such kernel');
    expect(statuses()).toMatchObject({
      build: 'failed',
      backend_operations_device: 'not there',
      decode: 'not there',
    });
  });

  it('does not count a test without a device as passed', () => {
    fakePrograms({ backend_operations_device: 'echo "SKIPPED: no CUDA device"; exit 77' });
    expect(run(['--quick', out]).status).toBe(1);
    expect(statuses()).toMatchObject({ backend_operations_device: 'no device' });
  });

  it('ends in time when a step hangs, with the results so far', () => {
    fakePrograms({ bench_ops: `cat ${folder}/operations.jsonl >>"$8"; echo '{"half' >>"$8"; sleep 100` });
    const start = performance.now();
    const { status, stdout } = run([out], { GROK_DEVICE_DEADLINE: '6' });
    expect(performance.now() - start).toBeLessThan(20_000);
    expect(status).toBe(1);
    expect(statuses()).toMatchObject({ decode: 'timed out', prefill: 'no time left' });
    expect(results().operations).toHaveLength(measurements.length);
    expect(stdout).toMatch(/experts, 64 x 1 after 128 +100\.0 +150\.0 +2800/);
  });

  it('prints every target with the value that was reached', () => {
    fakePrograms();
    const { status, stdout } = run([out]);
    expect(status).toBe(0);
    expect(stdout).toContain('NVIDIA H100, driver 580.1');
    const table = stdout.slice(stdout.indexOf('of copy'));
    const rows = table.match(/^.* (reached|missed) .*$/gm) ?? [];
    expect(rows).toHaveLength(results().targets.filter(({ target }: { target: string | null }) => target).length);
    expect(table).toMatch(
      /^qkv, 1 x 1 after 128 +100\.0 +150\.0 +2800 +0\.93 +0\.88 +0\.80 of copy +reached +60\.5 linear$/m,
    );
    expect(table).toMatch(/^attention, 8 x 1 after 8191 .* 0\.80 of copy +reached/m);
    expect(table).toMatch(/^step, 1 x 1 after 128 +100\.0 +- +2800/m);
    expect(table).toMatch(/^add_norm \+ norm \+ route, 1 token +3\.0 +4\.5 .* 6 us +reached/m);
    expect(table).toMatch(/^sample, 1 token +1\.0 +- .* 60 us +reached/m);
    expect(results().machine).toMatchObject({
      name: 'NVIDIA H100',
      compute_cap: '9.0',
      nvcc: 'release 13.0, V13.0.88',
    });
  });

  it("judges an operation by the host's time if no graph was timed, as in older results", () => {
    const older = { ...operations, qkv: operation, norm: { ...operation, median: 15 } };
    writeFileSync(join(folder, 'operations.jsonl'), jsonLines([{ ...decode(1, 128), operations: older }]));
    fakePrograms();
    const { stdout } = run(['--quick', out]);
    expect(stdout).toMatch(/^qkv, 1 x 1 after 128 +100\.0 +- +2800 .* reached/m);
    expect(stdout).toMatch(/^add_norm \+ norm \+ route, 1 token +7\.0 +- .* 6 us +missed/m);
  });

  it("adds up the times of a step's operations within a graph, beside the step", () => {
    fakePrograms();
    // For each embed and sample, which take 1 us, two of five that take 100 and of three that take 1.
    expect(run(['--quick', out]).stdout).toMatch(/^operations, 1 x 1 after 128 +1008\.0 +- +278 .* - +- +-$/m);
  });

  it('times attention that reads caches of other types, and keeps those apart', () => {
    fakePrograms();
    const { stdout } = run([out]);
    const log = readFileSync(join(out, 'log.txt'), 'utf8');
    for (const type of ['bf16', 'int8']) {
      expect(log).toMatch(
        new RegExp(`^== decode, ${type} cache: .* --sequences 8 --context 8191 .*--kv-cache-type ${type}$`, 'm'),
      );
    }
    expect(stdout).toMatch(/^attention, 8 x 1 after 8191, int8 +100\.0 +150\.0 +2800 .* - +- +-$/m);
    expect(stdout).not.toContain('attention, 8 x 1 after 8191, bf16'); // was not measured, and has no target
  });

  it('lets one of 8 GPUs run its share of all layers, and reports the time of a step and the bytes that it reads', () => {
    fakePrograms();
    const { stdout } = run([out]);
    expect(readFileSync(join(out, 'log.txt'), 'utf8')).toMatch(
      /^== one of 8 shards: .*bench_ops .*--shape grok1 .*--layers 64 --shards 8 .*--sequences 1,8 --context 128,8191/m,
    );
    expect(stdout).toMatch(/^one of 8 shards, 64 layers, 1 x 1 after 128 +4\.000 +10\.00 +2500 +0\.83 +0\.78$/m);
    expect(results().shards[0]).toMatchObject({ ms: 4, gb: 10 });
  });

  it('calls a target missed if it was not reached, and leaves it open if it was not measured', () => {
    const slow = { ...operations, experts: { ...operation, median: 130 } };
    writeFileSync(join(folder, 'operations.jsonl'), jsonLines([{ ...decode(1, 128), operations: slow }]));
    fakePrograms();
    const { stdout } = run(['--quick', out]);
    expect(stdout).toMatch(/^experts, 1 x 1 after 128 +120\.0 .* missed/m);
    expect(stdout).toMatch(/^experts, 8 x 1 after 128 +- +- +- +- +- +0\.90 of copy +-/m);
  });

  it('keeps nothing of an earlier run', () => {
    fakePrograms();
    run(['--quick', out]);
    const once = results().steps.length;
    run(['--quick', out]);
    expect(results().steps).toHaveLength(once);
  });
});
