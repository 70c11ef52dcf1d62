import type { Inspection, Plan, PlannedSetting } from '../lib/index.js';
import { table } from './printer.js';
import { formatBytes, formatDuration } from './units.js';

/** Lines that describe a plan. */
export function describePlan(plan: Plan, { fileBytes }: Pick<Inspection, 'fileBytes'>): string[] {
  const { settings, memory, disk } = plan;
  const available = memory.availableBytes;
  const rows = settings.map((setting) => [
    setting.weights,
    setting.kvCacheType,
    formatBytes(setting.memoryBytes),
    fitOf(setting.memoryBytes, available),
    speedOf(setting),
  ]);
  return [
    ...table([['weights', 'cache', 'needs', 'here', 'tokens/s at most'], ...rows], new Set([2, 4])),
    memory.gigabytesPerSecond === undefined
      ? 'memory: no GPU here to measure'
      : `memory: reads ${twoDigits(memory.gigabytesPerSecond)} GB/s, measured now; with enough of it, at most ` +
        `${twoDigits(memory.tokensPerSecond)} tokens/s`,
    `disk of ${disk.directory}: ${roomOn(disk.freeBytes, fileBytes)}`,
    disk.gigabytesPerSecond === undefined || disk.loadSeconds === undefined
      ? `loading: this disk cannot be measured here; at 1 GB/s it takes ${formatDuration(fileBytes / 1e6)}`
      : `loading: at least ${formatDuration(disk.loadSeconds * 1000)} at ${twoDigits(disk.gigabytesPerSecond)} GB/s, ` +
        'measured now with a temporary file',
  ];
}

function roomOn(freeBytes: number | undefined, fileBytes: number): string {
  if (freeBytes === undefined) return 'unknown how much is free';
  const missing = fileBytes - freeBytes;
  const verdict = missing > 0 ? `${formatBytes(missing)} too little for the files` : 'enough for the files';
  return `${formatBytes(freeBytes)} free, ${verdict}`;
}

function fitOf(needed: number, available: number | undefined): string {
  if (available === undefined) return 'unknown';
  return needed <= available ? 'fits' : `${formatBytes(needed - available)} missing`;
}

function speedOf({ tokensPerSecond }: PlannedSetting): string {
  return tokensPerSecond === undefined ? '-' : twoDigits(tokensPerSecond);
}

/** Two significant digits: a model that is read from disk may take minutes a token. */
function twoDigits(rate = 0): string {
  return rate < 10 ? rate.toPrecision(2) : rate.toFixed(0);
}
