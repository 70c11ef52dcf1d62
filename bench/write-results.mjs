// Writes bench/RESULTS.md: the newest figure of each metric on each machine, from the raw runs in bench/results. Lists the
// raw files without a newest figure; `--prune` deletes them.
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const directory = join(dirname(fileURLToPath(import.meta.url)), 'results');

/**
 * @typedef {object} Figure
 * @property {string} section
 * @property {string} metric
 * @property {string} value With its unit.
 * @property {string} ofLimit The share of the machine's limit, probed in the same run.
 * @property {string} [against] The ratio to another program in the same run.
 */

const plural = (count, noun, nouns = `${noun}s`) => `${count} ${count === 1 ? noun : nouns}`;
const digits = (value) => (value >= 100 ? value.toFixed(0) : value.toPrecision(3));
const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];

/** @returns {Figure[]} of `grok-run bench --json` */
function benchFigures({ model, runs }) {
  const section = 'grok-run bench';
  return runs.flatMap(({ threads, device, prefill, decode }) => {
    const place = device.startsWith('cuda') ? 'GPU' : plural(threads, 'thread');
    const prefills = prefill.map(({ tokens, tokensPerSecond, shareOfPeak = {} }) => {
      const [[kind, share] = []] = Object.entries(shareOfPeak).sort(([, a], [, b]) => a - b); // of the fastest kind
      const ofLimit = kind === undefined ? '' : `${share.toFixed(2)} of ${kind}`;
      const value = `${digits(tokensPerSecond.median)} tokens/s`;
      return { section, metric: `prefill of ${tokens} tokens, ${model.name}, ${place}`, value, ofLimit };
    });
    const { tokensPerSecond, shareOfBandwidth } = decode;
    const ofLimit = shareOfBandwidth === undefined ? '' : `${shareOfBandwidth.toFixed(2)} of reading`;
    const value = `${digits(tokensPerSecond.median)} tokens/s`;
    return [...prefills, { section, metric: `decode, ${model.name}, ${place}`, value, ofLimit }];
  });
}

/** @returns {Figure[]} of `bench/peers/side-by-side.mjs` */
function peerFigures({ shapes, options }) {
  return shapes.flatMap(({ name, limits, bytesPerToken, results }) =>
    results.flatMap(({ figure, unit, threads, grokRun, ahead }) => {
      if (!grokRun) return []; // every pair was thrown away
      const limit = limits.find((probed) => probed.threads === threads);
      const isDecode = figure === 'decode' && limit && !options.busy;
      const share = isDecode ? (grokRun.median * bytesPerToken.grokRun) / 1e9 / limit.read.median : undefined;
      const beside = options.busy ? `, beside ${plural(options.busy, 'busy process', 'busy processes')}` : '';
      return {
        section: 'Beside llama.cpp, in turns',
        metric: `${figure}, ${name}, ${plural(threads, 'thread')}${beside}`,
        value: `${digits(grokRun.median)} ${unit}`,
        ofLimit: share === undefined ? '' : `${share.toFixed(2)} of reading`,
        against: ahead ? `${ahead.median.toFixed(2)}x` : '',
      };
    }),
  );
}

/** @returns {Figure[]} of `bench/device.sh` */
function deviceFigures({ targets, shards }) {
  const section = 'bench/device.sh: Grok-1 at full width on a GPU';
  const share = (ratio) => (ratio ? `${ratio.toFixed(2)} of copying` : '');
  return [
    ...targets
      .filter(({ us }) => us !== null) // not measured
      .map(({ what, us, of_copy }) => ({ metric: what, value: `${digits(us)} us`, ofLimit: share(of_copy) })),
    ...shards.map(({ what, ms, of_copy }) => ({ metric: what, value: `${digits(ms)} ms`, ofLimit: share(of_copy) })),
  ].map((figure) => ({ section, ...figure }));
}

/** @returns {Figure[]} of `bench_ops` with its limits, repeated */
function operationFigures({ runs }) {
  const steps = new Map();
  for (const { build, threads, limits, operations } of runs) {
    if (build !== 'after') continue;
    for (const { shape, sequences, context, operations: parts } of operations) {
      const many = `${plural(sequences, 'sequence')} after ${context} positions`;
      const metric = `step of ${many}, ${shape}, ${plural(threads, 'thread')}`;
      const { median: us, bytes } = parts.step;
      steps.set(metric, [...(steps.get(metric) ?? []), { us, share: bytes / us / 1e3 / limits.read }]);
    }
  }
  return [...steps].map(([metric, all]) => ({
    section: 'bench_ops: several sequences, long contexts',
    metric,
    value: `${digits(median(all.map(({ us }) => us)) / 1e3)} ms`,
    ofLimit: `${median(all.map(({ share }) => share)).toFixed(2)} of reading`,
  }));
}

function figuresOf(raw) {
  if (raw.shapes) return peerFigures(raw);
  if (raw.targets) return deviceFigures(raw);
  return raw.model ? benchFigures(raw) : operationFigures(raw);
}

function machineOf({ machine, runs }) {
  const gpu = /^cuda \((?<name>[^,)]*)/.exec(runs?.[0]?.device ?? '')?.groups?.name;
  return gpu ?? machine.cpu ?? machine.name;
}

/** @returns the text of bench/RESULTS.md, and the raw files that it does not name. */
export function results(files) {
  const newest = new Map();
  for (const { file, raw } of files.toSorted((a, b) => a.file.localeCompare(b.file))) {
    const machine = machineOf(raw);
    const commit = `${raw.commit?.id ?? raw.commit?.after ?? raw.commit ?? raw.machine.commit}`;
    for (const figure of figuresOf(raw))
      newest.set(`${figure.section}|${figure.metric}|${machine}`, { ...figure, machine, commit, file });
  }
  const figures = [...newest.values()].sort(
    (a, b) =>
      a.section.localeCompare(b.section) ||
      a.machine.localeCompare(b.machine) ||
      a.metric.localeCompare(b.metric, 'en', { numeric: true }),
  );
  const used = new Set(figures.map(({ file }) => file));
  const lines = [
    '# Results',
    '',
    'The newest figure of each metric on each machine, with its share of a limit of that machine that the same run probed.',
    '[results/README.md](results/README.md) explains the raw files. `npm run docs` writes this page.',
  ];
  let section;
  for (const figure of figures) {
    if (figure.section !== section) {
      section = figure.section;
      lines.push('', `## ${section}`, '', '| metric | figure | of its limit | times better | machine | commit | raw |');
      lines.push('|---|---:|---:|---:|---|---|---|');
    }
    const { metric, value, ofLimit, against = '', machine, commit, file } = figure;
    const raw = `[${file.slice(0, 10)}](results/${file})`;
    lines.push(`| ${[metric, value, ofLimit, against, machine, commit.slice(0, 7), raw].join(' | ')} |`);
  }
  return { text: `${lines.join('\n')}\n`, unused: files.map(({ file }) => file).filter((file) => !used.has(file)) };
}

export function readResults() {
  return readdirSync(directory)
    .filter((file) => file.endsWith('.json'))
    .map((file) => ({ file, raw: JSON.parse(readFileSync(join(directory, file), 'utf8')) }));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { text, unused } = results(readResults());
  writeFileSync(join(directory, '../RESULTS.md'), text);
  for (const file of unused) {
    if (process.argv.includes('--prune')) rmSync(join(directory, file));
    else console.log(`bench/results/${file} has no newest figure; \`npm run docs -- --prune\` deletes it`);
  }
}
