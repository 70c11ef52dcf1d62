// The compared figures and their measurement. Sides alternate, and each measurement has its own process, so that all
// start alike and nothing of an earlier one remains.
import { execFileSync } from 'node:child_process';
import { closeSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { measureGrokRun, measureLlamaCpp } from './sides.mjs';
import { alternate, compare } from './statistics.mjs';

const rate = (figure) => ({
  figure,
  unit: 'tokens/s',
  higherIsBetter: true,
  numberOf: (measured) => measured.tokensPerSecond,
});

const PEAK_MEMORY = {
  figure: 'peak memory',
  unit: 'MiB',
  higherIsBetter: false,
  numberOf: (measured) => measured.peakRssBytes / 2 ** 20,
};

const loading = (cache) => [
  {
    figure: `load, ${cache} page cache`,
    unit: 's',
    higherIsBetter: false,
    numberOf: (measured) => measured.loadMs / 1000,
  },
  {
    figure: `load to first token, ${cache}`,
    unit: 's',
    higherIsBetter: false,
    numberOf: (measured) => (measured.loadMs + measured.firstTokenMs) / 1000,
  },
];

const PREPARE = { 'load-warm': readThrough, 'load-cold': dropFromPageCache };

/** The measurements to make: the work of each, and the figures that it gives. */
export function casesOf({ figures, threads, prefill, decode }) {
  const longest = Math.max(...prefill);
  return figures.flatMap((kind) => {
    if (kind === 'decode')
      return threads.map((count) => ({ threads: count, work: { decode }, figures: [rate('decode')] }));
    if (kind === 'prefill') {
      return threads.flatMap((count) =>
        prefill.map((tokens) => ({
          threads: count,
          work: { prefill: tokens },
          figures: [rate(`prefill ${tokens}`), ...(tokens === longest ? [PEAK_MEMORY] : [])],
        })),
      );
    }
    return [
      { threads: Math.max(...threads), work: {}, prepare: PREPARE[kind], figures: loading(kind.replace('load-', '')) },
    ];
  });
}

/** The rows of a case: each of its figures over the pairs that counted. */
export async function measureCase({ threads, work, prepare = () => {}, figures }, options) {
  const { model } = options;
  const { kept, thrown } = await alternate(
    {
      grokRun: () => {
        prepare(join(model.checkpoint, 'model.safetensors'));
        return measureGrokRun(work, threads, options);
      },
      llamaCpp: () => {
        prepare(model.gguf);
        return measureLlamaCpp(work, threads, options);
      },
    },
    { wanted: options.reps, bound: 3 * options.reps, keepDisturbed: options.keepDisturbed },
  );
  const devices = { grokRun: kept[0]?.grokRun.device, llamaCpp: kept[0]?.llamaCpp.device };
  return figures.map(({ figure, unit, higherIsBetter, numberOf }) => {
    const pairs = kept.map(({ grokRun, llamaCpp }) => ({ grokRun: numberOf(grokRun), llamaCpp: numberOf(llamaCpp) }));
    const disturbed = kept.filter(({ grokRun, llamaCpp }) => grokRun.disturbed || llamaCpp.disturbed).length;
    const spreads =
      pairs.length > 0 ? compare(pairs, { higherIsBetter }) : { grokRun: null, llamaCpp: null, ahead: null };
    return { figure, unit, threads, kept: kept.length, disturbed, thrown, ...spreads, pairs, devices };
  });
}

/** Afterwards the file is in the page cache, if memory has room for it. */
function readThrough(path) {
  const file = openSync(path);
  const buffer = Buffer.alloc(2 ** 23);
  while (readSync(file, buffer) > 0);
  closeSync(file);
}

/** Source: coreutils manual, dd: with count=0, iflag=nocache asks the system to drop the cache of the whole file. */
function dropFromPageCache(path) {
  execFileSync('dd', [`if=${path}`, 'iflag=nocache', 'count=0', 'status=none']);
}
