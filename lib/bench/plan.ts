import { statfs } from 'node:fs/promises';
import { callNative } from '../addon/calls.js';
import { loadNative } from '../addon/loader.js';
import type { KvCacheType, WeightStorage } from '../addon/types.js';
import { type Inspection, inspect } from '../checkpoint/inspection.js';
import type { InspectOptions } from '../options/schema.js';

/** One choice of storage for weights, keys and values on this machine. */
export interface PlannedSetting {
  readonly weights: WeightStorage;
  readonly kvCacheType: KvCacheType;
  readonly memoryBytes: number;
  /** Upper bound for one text: reads each weight that a token needs once. undefined: it does not fit, or unknown. */
  readonly tokensPerSecond: number | undefined;
}

/** Memory, speed and loading of a checkpoint on this machine; rates in 1e9 bytes a second. */
export interface Plan {
  readonly settings: readonly PlannedSetting[];
  readonly memory: {
    /** undefined: unknown, or no GPU. */
    readonly availableBytes: number | undefined;
    /** Measured read bandwidth; undefined: no GPU. */
    readonly gigabytesPerSecond: number | undefined;
    /** Upper bound with packed weights and enough memory of this speed. */
    readonly tokensPerSecond: number | undefined;
  };
  /** The disk of the current directory. */
  readonly disk: {
    readonly directory: string;
    /** undefined: unknown. */
    readonly freeBytes: number | undefined;
    /** Read bandwidth, measured with a temporary file; undefined: it cannot be measured. */
    readonly gigabytesPerSecond: number | undefined;
    /** Minimum time to read all files. */
    readonly loadSeconds: number | undefined;
  };
}

const KV_CACHE_TYPES = ['f32', 'bf16', 'int8'] as const;

export async function plan(source?: string, options?: InspectOptions): Promise<Plan> {
  const inspection = await inspect(source, options);
  const { fileBytes, weightBytesPerToken, device } = inspection;
  const directory = process.cwd();
  const freeBytes = await statfs(directory).then(
    ({ bavail, bsize }) => bavail * bsize,
    () => undefined,
  );
  const diskRate = (await callNative(() => loadNative().probeDisk(directory))) ?? undefined;
  const memoryRate = await rateOfMemory(device, options?.threads);

  const settings: PlannedSetting[] = [];
  for (const weights of device === 'cuda' ? (['packed'] as const) : (['packed', 'mapped'] as const)) {
    for (const kvCacheType of KV_CACHE_TYPES) {
      const { memory } = await inspect(source, { ...options, device, weights, kvCacheType });
      const tokensPerSecond = speedAtMost({ ...inspection, memory }, memoryRate, diskRate);
      settings.push({ weights, kvCacheType, memoryBytes: memory.total, tokensPerSecond });
    }
  }
  return {
    settings,
    memory: {
      availableBytes: inspection.memory.available ?? undefined,
      gigabytesPerSecond: memoryRate,
      tokensPerSecond: memoryRate && (memoryRate * 1e9) / weightBytesPerToken,
    },
    disk: {
      directory,
      freeBytes,
      gigabytesPerSecond: diskRate,
      loadSeconds: diskRate && fileBytes / (diskRate * 1e9),
    },
  };
}

async function rateOfMemory(device: Inspection['device'], threads = 0): Promise<number | undefined> {
  const native = loadNative();
  if (device === 'cuda' && native.cudaUnavailable() !== '') return undefined;
  const { read } = await callNative<{ read: { median: number } }>(() =>
    device === 'cuda' ? native.probeCuda() : native.probe(threads, ''),
  );
  return read.median;
}

/** Mapped weights come from the disk if memory cannot hold their files. Exported for its test. */
export function speedAtMost(
  { memory, fileBytes, weightBytesPerToken }: Pick<Inspection, 'memory' | 'fileBytes' | 'weightBytesPerToken'>,
  memoryRate: number | undefined,
  diskRate: number | undefined,
): number | undefined {
  const { available, total, weightStorage } = memory;
  if (available === null || memoryRate === undefined || total > available) return undefined;
  const fromDisk = weightStorage === 'packed' ? 0 : Math.max(0, 1 - (available - total) / fileBytes);
  if (fromDisk > 0 && diskRate === undefined) return undefined;
  const secondsPerGigabyte = (1 - fromDisk) / memoryRate + (fromDisk > 0 ? fromDisk / (diskRate ?? 0) : 0);
  return 1e9 / (weightBytesPerToken * secondsPerGigabyte);
}
