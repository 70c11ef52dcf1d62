import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fileNameFor, record } from '../../bench/record.mjs';
import { addonIsBuilt } from '../lib/checkpoints.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'grok-run-record-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('the name of a result', () => {
  const of = (name: string, cpu: string) =>
    fileNameFor({ date: '2026-11-25T00:36:48.123Z', model: { name }, machine: { cpu } });

  it('has the date, the model and the CPU, in letters that every file system takes', () => {
    expect(of('slice', 'Intel(R) Xeon(R) Processor @ 2.10GHz')).toBe(
      '2026-11-25T00-36-48Z-slice-intel-xeon-processor-2-10ghz.json',
    );
  });

  it('has the last part of a path, and nothing of the way there', () => {
    expect(of('/data/my models/ckpt-0', 'EPYC')).toBe('2026-11-25T00-36-48Z-ckpt-0-epyc.json');
  });
});

describe.skipIf(!addonIsBuilt())('a recorded run', () => {
  it('leaves no file when it fails, and the exit code of the program', () => {
    expect(record(['--shape', 'huge'], folder)).toEqual({ exitCode: 2 });
    expect(readdirSync(folder)).toEqual([]);
  });

  it('is the report, with the commit', () => {
    const words = '--shape tiny --layers 1 --threads 1 --prefill 16 --decode 4 --reps 1 --keep-disturbed';
    const { exitCode, report, file } = record(words.split(' '), folder);
    expect(exitCode).toBe(0);
    const { commit, ...rest } = JSON.parse(readFileSync(file ?? '', 'utf8'));
    expect(rest).toEqual(report);
    expect(rest.model.name).toBe('tiny');
    expect(commit === null || /^[0-9a-f]{40}$/.test(commit.id)).toBe(true);
  });
});
