import { describe, expect, it } from 'vitest';
import { grokError, INSPECTION, invoke } from '../fake-host.js';

interface Check {
  name: string;
  status: string;
  found: string;
  fix?: string;
}

async function doctor(args: string[], library: Record<string, unknown> = {}) {
  const { exitCode, stdout, stderr } = await invoke(['doctor', '--json', ...args], { library });
  const report = JSON.parse(stdout) as { ok: boolean; checks: Check[] };
  const byName = (name: string) => report.checks.find((check) => check.name === name);
  return { exitCode, stderr, ok: report.ok, byName };
}

describe('grok-run doctor', () => {
  it('survives a missing binary and says what to do', async () => {
    const noBinary = grokError('GROK_NO_BINARY', 'The native part cannot be loaded', 'build it with npm run build');
    const { exitCode, stderr, ok, byName } = await doctor([], {
      diagnose: () => {
        throw noBinary;
      },
      inspect: () => Promise.reject(noBinary),
    });
    expect({ exitCode, stderr, ok }).toEqual({ exitCode: 1, stderr: '', ok: false });
    expect(byName('native binary')).toEqual({
      name: 'native binary',
      status: 'problem',
      found: 'GROK_NO_BINARY: The native part cannot be loaded',
      fix: 'build it with npm run build',
    });
    expect(byName('node')?.status).toBe('ok');
    expect(byName('embedded model')?.status).toBe('problem');
  });

  it('treats a missing GPU as a problem only when the GPU was requested', async () => {
    const without = await doctor([]);
    expect(without.byName('cuda')).toEqual({ name: 'cuda', status: 'note', found: 'no driver' });
    expect(without.exitCode).toBe(0);
    const asked = await doctor(['--device', 'cuda']);
    expect(asked.byName('cuda')?.status).toBe('problem');
    expect(asked.exitCode).toBe(1);
  });

  it('finds a model that cannot be read', async () => {
    const inspect = async (source: unknown) => {
      if (source === './x') throw grokError('GROK_NOT_FOUND', 'No such directory: ./x', 'check the path');
      return INSPECTION;
    };
    const { exitCode, byName } = await doctor(['-m', './x'], { inspect });
    expect(exitCode).toBe(1);
    expect(byName('embedded model')?.status).toBe('ok');
    expect(byName('model')).toMatchObject({ status: 'problem', fix: 'check the path' });
  });

  it('finds a model that does not fit', async () => {
    const memory = { ...INSPECTION.memory, total: 2 ** 40 };
    const { byName } = await doctor(['-m', './x'], { inspect: async () => ({ ...INSPECTION, memory }) });
    expect(byName('model')).toMatchObject({ status: 'problem' });
    expect(byName('model')?.found).toContain('needs 1.0 TiB of 1.0 GiB available');
  });

  it('notes a model without a tokenizer', async () => {
    const inspect = async () => ({ ...INSPECTION, tokenizer: '' });
    const { exitCode, byName } = await doctor(['-m', './x'], { inspect });
    expect(byName('model')).toMatchObject({ status: 'note', fix: 'name one with --tokenizer' });
    expect(exitCode).toBe(0);
  });

  it('counts the threads that a model would take', async () => {
    const diagnose = () => ({ binary: '/b.node', cpuIsas: ['avx2', 'portable'], cpuThreads: 1, cudaUnavailable: '' });
    expect((await doctor([], { diagnose })).byName('cpu')?.found).toContain('; 1 thread of ');
    expect((await doctor(['--threads', '7'], { diagnose })).byName('cpu')?.found).toContain('; 7 threads of ');
  });

  it('notes a CPU that only the portable kernels run on', async () => {
    const diagnose = () => ({ binary: '/b.node', cpuIsas: ['portable'], cpuThreads: 1, cudaUnavailable: '' });
    const { byName } = await doctor([], { diagnose });
    expect(byName('cpu')?.status).toBe('note');
    expect(byName('cuda')).toMatchObject({ status: 'ok' });
  });

  it('prints a line for each check, and the fix below', async () => {
    const { stdout, exitCode } = await invoke(['doctor', '-d', 'cuda']);
    expect(exitCode).toBe(1);
    expect(stdout).toMatch(/^ok +node +v\d+/m);
    expect(stdout).toMatch(/^ok +native binary +\/fake\/grok-run\.node$/m);
    expect(stdout).toMatch(/^problem +cuda +no driver\n +fix: +use --device cpu$/m);
  });
});
