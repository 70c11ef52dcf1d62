import { describe, expect, it } from 'vitest';
import { invoke } from '../fake-host.js';

const VERIFICATION = {
  manifest: '/m/SHA256SUMS',
  ok: true,
  files: [{ name: 'a', status: 'ok', sha256: 'ab', sizeBytes: 2048 }],
  hashedBytes: 2048,
};

const answering = (verification: object) => ({ library: { verify: async () => verification } });

describe('grok-run verify', () => {
  it('refuses two paths, and --force alone', async () => {
    expect((await invoke(['verify', 'a', '-m', 'b'])).stderr).toContain('Expected a path or --model, found both');
    const { exitCode, stderr } = await invoke(['verify', '--force']);
    expect(exitCode).toBe(2);
    expect(stderr).toContain('Expected --write with --force');
  });

  it('exits with 1 and names the files that are not as they should be', async () => {
    const verification = {
      ...VERIFICATION,
      ok: false,
      files: [...VERIFICATION.files, { name: 'b', status: 'missing', problem: 'no such file' }],
    };
    const { exitCode, stdout, stderr } = await invoke(['verify'], answering(verification));
    expect(exitCode).toBe(1);
    expect(stderr).toBe('');
    expect(stdout).toMatch(/^missing {2}b {2}no such file\n1 of 2 files are not as \/m\/SHA256SUMS says: 2.0 KiB in /);
    const json = await invoke(['verify', '--json'], answering(verification));
    expect(json.exitCode).toBe(1);
    expect(JSON.parse(json.stdout)).toEqual(verification);
  });

  it('says that all is well, or what it wrote', async () => {
    expect((await invoke(['verify', '/m'], answering(VERIFICATION))).stdout).toMatch(
      /^all 1 files are as \/m\/SHA256SUMS says: 2.0 KiB in /,
    );
    expect((await invoke(['verify', '--write'], answering(VERIFICATION))).stdout).toMatch(
      /^wrote \/m\/SHA256SUMS: 1 files, 2.0 KiB in /,
    );
  });
});
