const told = new Set<string>();

/** Warns of an old name once per process. Node prints it on stderr, or throws it with --throw-deprecation. */
export function warnOfOldName(code: `GROK_DEP_${string}`, message: string): void {
  if (told.has(code)) return;
  told.add(code);
  process.emitWarning(message, { type: 'DeprecationWarning', code });
}
