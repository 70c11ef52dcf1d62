import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

let directory: string;
let library: string;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'grok-stall-'));
  library = join(directory, 'stall.so');
  execFileSync(process.env.CC ?? 'cc', ['-shared', '-fPIC', '-o', library, 'test/napi/stall/stall.c', '-ldl']);
});
afterAll(() => rmSync(directory, { recursive: true }));

function copyOfModel(): string {
  const checkpoint = mkdtempSync(join(directory, 'checkpoint-'));
  cpSync('models/grok-tiny', checkpoint, { recursive: true });
  return checkpoint;
}

function runStalled(program: string, stall: string, ...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [join('test/napi/stall', program), ...args], {
    env: { ...process.env, LD_PRELOAD: library, STALL: stall, STALL_UNTIL: join(directory, 'never') },
    timeout: 50_000,
    encoding: 'utf8',
  });
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  return JSON.parse(stdout);
}

describe('files that do not answer', () => {
  it.each(['config.json', 'tokenizer.model', 'ckpt-0/tensor00003_000'])(
    'keep at most four threads, no abort and no process: %s',
    (file) => {
      const checkpoint = copyOfModel();
      const { outcomes, slowestMs, stuckThreads, refusal } = runStalled(
        'loads.mjs',
        join(checkpoint, file),
        checkpoint,
        '200',
      );
      // A load after four others is refused at once.
      const { aborted, GROK_IO: refused = 0, ...others } = outcomes;
      expect({ ended: aborted + refused, others }).toEqual({ ended: 200, others: {} });
      // Some 25 ms where nothing else runs.
      expect(slowestMs).toBeLessThan(1000);
      expect(stuckThreads).toBeLessThanOrEqual(4);
      expect(refusal).toMatchObject({ code: 'GROK_IO', message: expect.stringContaining(checkpoint) });
    },
  );

  it('let a worker be terminated, and the process end', () => {
    const checkpoint = copyOfModel();
    expect(runStalled('worker.mjs', join(checkpoint, 'config.json'), checkpoint).terminateMs).toBeLessThan(5000);
  });
});
