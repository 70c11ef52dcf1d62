import type { KvCacheType, WeightStorage } from './types.js';

/** Options that together make a model fit in memory. Absent options do not change. */
export interface MemoryFit {
  maxSequences?: number;
  prefillChunk?: number;
  kvCacheType?: KvCacheType;
  contextSize?: number;
  /** Layers of a network with synthetic weights. */
  layers?: number;
  weights?: WeightStorage;
  /** In bytes. */
  memoryLimit?: number;
}

/**
 * The memory figures of a model that does not fit, and changes of which each is sufficient. Mirrors `MemoryError` in
 * native/runtime/memory_fit.h.
 */
export type MemoryDetails = {
  fits: MemoryFit[];
  neededBytes: number;
  availableBytes: number;
  /** `memory` or `GPU memory`. */
  memory: string;
};

/** The figures of the addon's memory errors; undefined for any other error. */
export function memoryDetails(error: object): MemoryDetails | undefined {
  if (!('fits' in error)) return undefined;
  const { fits, neededBytes, availableBytes, memory } = error as MemoryDetails;
  return { fits, neededBytes, availableBytes, memory };
}

/** The changes in words: ``It would fit with `kvCacheType` "bf16" or `contextSize` 64.`` */
export function memoryAdvice({ fits, neededBytes, memory }: MemoryDetails): string {
  if (fits.length === 0) {
    const gigabytes = Math.ceil(neededBytes / 1e7) / 100;
    return `No context fits beside the weights and the workspace. Run on a machine with ${gigabytes} GB of ${memory} to spare.`;
  }
  const ways = fits.map((fit) =>
    listed(
      Object.entries(fit).map(([name, value]) => `\`${name}\` ${JSON.stringify(value)}`),
      'and',
    ),
  );
  const isMapped = fits.some(({ weights }) => weights === 'mapped');
  return (
    `It would fit with ${listed(ways, 'or')}.` +
    (isMapped ? ' Mapped weights stay in the files of the checkpoint, and decoding is slower.' : '')
  );
}

function listed(items: readonly string[], last: 'and' | 'or'): string {
  return items.length < 2 ? items.join() : `${items.slice(0, -1).join(', ')} ${last} ${items.at(-1)}`;
}
