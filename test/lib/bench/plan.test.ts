import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { speedAtMost } from '../../../lib/bench/plan.js';
import { inspect, plan } from '../../../lib/index.js';
import { addonIsBuilt } from '../checkpoints.js';

const GB = 1e9;

describe('speedAtMost', () => {
  const memory = { weightStorage: 'mapped', total: 2 * GB, available: 12 * GB } as Parameters<
    typeof speedAtMost
  >[0]['memory'];
  const model = { memory, fileBytes: 20 * GB, weightBytesPerToken: 4 * GB };

  it('is none for a model that does not fit, or where nothing is known', () => {
    const packed = { ...model, memory: { ...memory, weightStorage: 'packed' as const, total: 22 * GB } };
    expect(speedAtMost(packed, 10, 1)).toBeUndefined();
    expect(speedAtMost({ ...model, memory: { ...memory, available: null } }, 10, 1)).toBeUndefined();
    expect(speedAtMost(model, undefined, 1)).toBeUndefined();
    expect(speedAtMost(model, 10, undefined)).toBeUndefined();
  });

  it('reads packed weights from memory alone', () => {
    expect(speedAtMost({ ...model, memory: { ...memory, weightStorage: 'packed' } }, 10, undefined)).toBeCloseTo(2.5);
  });

  it('reads mapped weights from disk as far as memory has no room for the files', () => {
    expect(speedAtMost(model, 10, 1)).toBeCloseTo(1 / (2 / 10 + 2 / 1)); // half of 4 GB from each
    expect(speedAtMost({ ...model, fileBytes: 10 * GB }, 10, undefined)).toBeCloseTo(2.5);
  });
});

describe.skipIf(!addonIsBuilt())('grok-1 before its files are there', () => {
  it('is inspected by its known shapes', async () => {
    const inspection = await inspect('grok-1');
    expect(inspection).toMatchObject({ isPlan: true, path: 'grok-1', tokenizer: '', config: { numLayers: 64 } });
    expect(inspection.numParameters).toBeGreaterThan(314e9);
    expect(inspection.fileBytes / GB).toBeCloseTo(316, -1);
    expect(inspection.memory.weights).toBeGreaterThan(300 * GB);
  });

  it('gives way to a folder of that name', async () => {
    const before = process.cwd();
    const folder = mkdtempSync(join(tmpdir(), 'grok-plan-'));
    mkdirSync(join(folder, 'grok-1'));
    try {
      process.chdir(folder);
      await expect(inspect('grok-1')).rejects.toMatchObject({ code: 'GROK_NOT_FOUND' });
    } finally {
      process.chdir(before);
      rmSync(folder, { recursive: true });
    }
  });

  it('is planned for this machine, with six settings from the largest to the smallest', async () => {
    const { settings, memory, disk } = await plan('grok-1', { device: 'cpu', contextSize: 1024 });
    expect(settings).toHaveLength(6);
    const sizes = settings.map(({ memoryBytes }) => memoryBytes);
    expect(sizes).toEqual([...sizes].sort((a, b) => b - a));
    expect(memory.gigabytesPerSecond).toBeGreaterThan(0);
    expect(memory.tokensPerSecond).toBeGreaterThan(0);
    expect(disk).toMatchObject({ directory: process.cwd(), freeBytes: expect.any(Number) });
    if (disk.gigabytesPerSecond !== undefined) expect(disk.loadSeconds).toBeGreaterThan(1);
  });
});
