/** Numbers in the notation of people. */

const BYTE_FACTORS: Readonly<Record<string, number>> = {
  b: 1,
  k: 2 ** 10,
  m: 2 ** 20,
  g: 2 ** 30,
  t: 2 ** 40,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
};

/** Parses `70GiB`, `70G`, `512 MiB`, `75161927680` to bytes; undefined for anything else. A bare letter is binary. */
export function parseBytes(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i.exec(text.trim());
  const factor = BYTE_FACTORS[match?.[2]?.toLowerCase() || 'b'];
  return match && factor ? Math.floor(Number(match[1]) * factor) : undefined;
}

const DURATION_FACTORS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** Parses `30s`, `2m`, `500ms`, or a number of seconds, to milliseconds; undefined for anything else. */
export function parseDuration(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)\s*(ms|s|m|h)?$/.exec(text.trim());
  return match ? Math.round(Number(match[1]) * (DURATION_FACTORS[match[2] ?? 's'] ?? 1)) : undefined;
}

function scaled(value: number, step: number, units: readonly string[]): string {
  let power = 0;
  // 0.9995 and above would be rounded to a whole step, and 1024.0 MiB reads badly.
  while (power < units.length - 1 && value / step ** power >= step * 0.9995) power++;
  return power === 0 ? `${value}${units[0]}` : `${(value / step ** power).toFixed(1)}${units[power]}`;
}

/** `296.4 GiB` */
export function formatBytes(bytes: number): string {
  return scaled(bytes, 1024, [' B', ' KiB', ' MiB', ' GiB', ' TiB']);
}

/** `316.5B`, as parameters are counted. */
export function formatCount(count: number): string {
  return scaled(count, 1000, ['', 'K', 'M', 'B', 'T']);
}

/** `12 ms`, `3.25 s`, `2 min 10 s` */
export function formatDuration(milliseconds: number): string {
  if (milliseconds < 1000) return `${Math.round(milliseconds)} ms`;
  if (milliseconds < 60_000) return `${(milliseconds / 1000).toFixed(2)} s`;
  const seconds = Math.round(milliseconds / 1000);
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

/** `213.4 tokens/s`; `-` if no time passed. */
export function formatRate(tokens: number, milliseconds: number): string {
  return milliseconds > 0 ? `${((tokens * 1000) / milliseconds).toFixed(1)} tokens/s` : '- tokens/s';
}
