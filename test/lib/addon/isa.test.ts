import { afterEach, expect, it, vi } from 'vitest';
import { chosenIsa } from '../../../lib/addon/isa.js';

afterEach(() => vi.unstubAllEnvs());

it('takes the CPU kernels from GROK_RUN_ISA, without a word', () => {
  const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
  vi.stubEnv('GROK_RUN_ISA', 'portable');
  vi.stubEnv('GROK_CPU', 'avx2');
  expect(chosenIsa()).toBe('portable');
  vi.stubEnv('GROK_RUN_ISA', undefined);
  vi.stubEnv('GROK_CPU', undefined);
  expect(chosenIsa()).toBe('');
  expect(warn).not.toHaveBeenCalled();
});

it('goes on taking them from GROK_CPU, with one warning', () => {
  const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
  vi.stubEnv('GROK_RUN_ISA', undefined);
  vi.stubEnv('GROK_CPU', 'portable');
  expect([chosenIsa(), chosenIsa()]).toEqual(['portable', 'portable']);
  expect(warn.mock.calls).toEqual([
    ['The variable GROK_CPU is now GROK_RUN_ISA', { type: 'DeprecationWarning', code: 'GROK_DEP_CPU' }],
  ]);
});
