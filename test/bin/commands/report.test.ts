import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { BENCH_REPORT, grokError, INSPECTION, invoke } from '../fake-host.js';

const { machine, runs } = BENCH_REPORT;
const REPORT = {
  version: '1.2.3',
  date: '2024-03-17T00:00:00.000Z',
  machine: { ...machine, platform: 'linux-x64', cpuIsas: ['avx2'], cuda: 'no driver' },
  model: {
    ...INSPECTION,
    parameters: { total: 11_700_000, active: 4_600_000 },
    weightStorage: 'packed',
    kvCacheType: 'f32',
    contextSize: 512,
    weightBytesPerToken: 4 * 2 ** 20,
  },
  files: {
    comparedWithManifest: true,
    ok: false,
    files: [{ name: 'config.json', status: 'differs', problem: 'expected 3 bytes, found 4' }],
  },
  tokenizer: { sha256: 'ab', isPublished: true },
  device: 'cpu (fake, 2 threads)',
  whyCpu: null,
  loadMs: 1500,
  prompts: [
    {
      text: 'a | b',
      ids: [1, 2],
      logitsSha256: 'cd',
      meanLogprob: -1.5,
      top: [{ id: 7, logit: 3.25 }],
      greedyIds: [7, 8],
      greedyText: ' c\n',
      notFinite: null,
    },
    {
      text: null,
      ids: [3],
      logitsSha256: null,
      meanLogprob: null,
      top: [],
      greedyIds: [],
      greedyText: '',
      notFinite: 'bad',
    },
  ],
  prefill: runs[0]?.prefill,
  decode: runs[0]?.decode,
  limits: runs[0]?.limits,
  peakMemoryBytes: 2 ** 26,
};

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'grok-report-'));
});
const json = () => join(folder, 'grok-run-report.json');
const markdown = () => join(folder, 'grok-run-report.md');
const run = (args: readonly string[] = [], report: unknown = async () => REPORT) =>
  invoke(['report', '-o', folder, ...args], { library: { report } });

describe('grok-run report', () => {
  it('replaces neither file without --force, and refuses before any work', async () => {
    for (const path of [json, markdown]) {
      folder = mkdtempSync(join(tmpdir(), 'grok-report-'));
      writeFileSync(path(), 'precious');
      const { exitCode, stderr } = await run([], () => expect.unreachable());
      expect(exitCode).toBe(2);
      expect(stderr).toContain('--force');
      expect(readFileSync(path(), 'utf8')).toBe('precious');
      expect(existsSync(path() === json() ? markdown() : json())).toBe(false);
    }
    expect((await run(['--force'])).exitCode).toBe(0);
    expect(JSON.parse(readFileSync(json(), 'utf8'))).toEqual(REPORT);
  });

  it('keeps existing files when it fails to make new ones', async () => {
    for (const path of [json(), markdown()]) writeFileSync(path, 'precious');
    await run(['--force'], async () => {
      throw grokError('GROK_BAD_CHECKPOINT', 'no');
    });
    mkdirSync(`${markdown()}.part`);
    expect((await run(['--force'], () => expect.unreachable())).exitCode).toBe(1);
    for (const path of [json(), markdown()]) expect(readFileSync(path, 'utf8')).toBe('precious');
  });

  it('replaces no file that appeared while it worked', async () => {
    const { exitCode } = await run([], async () => {
      writeFileSync(json(), 'precious');
      return REPORT;
    });
    expect(exitCode).toBe(2);
    expect(readFileSync(json(), 'utf8')).toBe('precious');
    expect(readdirSync(folder)).toEqual(['grok-run-report.json']);
  });

  it('waits for no reader of a pipe that it replaces', async () => {
    execFileSync('mkfifo', [json()]);
    expect((await run(['--force'])).exitCode).toBe(0);
    expect(JSON.parse(readFileSync(json(), 'utf8'))).toEqual(REPORT);
  });

  it.each(['gone', 'file'])('says that --output leads to no folder: %s', async (name) => {
    writeFileSync(join(folder, 'file'), '');
    folder = join(folder, name);
    const { exitCode, stderr } = await run([], () => expect.unreachable());
    expect(exitCode).toBe(2);
    expect(stderr).toContain(`Expected --output to be a folder, found none at ${folder}`);
  });

  it('leaves no files behind when the model cannot be loaded', async () => {
    const { exitCode } = await run([], async () => {
      expect([existsSync(json()), existsSync(markdown())]).toEqual([false, false]); // for when it is interrupted
      throw grokError('GROK_BAD_CHECKPOINT', 'no');
    });
    expect(exitCode).toBe(1);
    expect([existsSync(json()), existsSync(markdown())]).toEqual([false, false]);
  });

  it('says at once that a folder cannot be written to', async () => {
    mkdirSync(join(folder, 'grok-run-report.md'));
    const { exitCode, stderr } = await run(['--force'], () => expect.unreachable());
    expect(exitCode).toBe(2);
    expect(stderr).toContain('found a folder');
  });

  it('hands each flag of loading to the report', async () => {
    let given: object = {};
    await run(
      ['--prefill-chunk', '8', '-c', '64', '--memory-limit', '1GiB', '--no-verify'],
      async (_: string, options: object) => {
        given = options;
        return REPORT;
      },
    );
    expect(given).toMatchObject({ prefillChunk: 8, contextSize: 64, memoryLimit: 2 ** 30, verify: false });
  });

  it('writes both files, and shows the one or the other', async () => {
    const { exitCode, stdout } = await run();
    expect(exitCode).toBe(0);
    expect(stdout).toBe(readFileSync(markdown(), 'utf8'));
    for (const line of [
      '| files | different from the manifest: see below |',
      '| tokenizer.model | the one that xAI published |',
      '| decode 32 | 12.35 | 40 ms | 70 % of reading |',
      '    "a | b"',
      '- SHA-256 of the logits: cd',
      '- likeliest next: 7 (3.2500)',
      '- greedy text: " c\\n"',
      '- not finite: bad',
      '| config.json | differs | expected 3 bytes, found 4 |',
    ])
      expect(stdout.split('\n')).toContain(line);
    expect(JSON.parse(readFileSync(json(), 'utf8'))).toEqual(REPORT);
    expect(JSON.parse((await run(['--json', '--force'])).stdout)).toEqual(REPORT);
  });
});
