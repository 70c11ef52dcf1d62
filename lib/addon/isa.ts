import { warnOfOldName } from '../deprecation.js';

/** The CPU instruction set that GROK_RUN_ISA names, for tests and benchmarks; '': the best one. */
export function chosenIsa(): string {
  const { GROK_RUN_ISA, GROK_CPU } = process.env;
  if (GROK_RUN_ISA) return GROK_RUN_ISA;
  if (GROK_CPU) warnOfOldName('GROK_DEP_CPU', 'The variable GROK_CPU is now GROK_RUN_ISA');
  return GROK_CPU ?? '';
}
