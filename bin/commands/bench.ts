import { Command, Option } from 'commander';
import type { BenchReport, BenchRun, KvCacheType, MachineLimits, Series, WeightStorage } from '../../lib/index.js';
import { UsageError } from '../failure.js';
import type { Host } from '../host.js';
import {
  addOutputOptions,
  flagsOf,
  given,
  kvCacheTypeOption,
  modelOption,
  type OutputFlags,
  parseSize,
  parseWhole,
  parseWholes,
  weightsOption,
} from '../options.js';
import { Printer, table } from '../printer.js';
import { formatBytes, formatCount, formatDuration } from '../units.js';

interface BenchFlags extends OutputFlags {
  readonly model?: string;
  readonly shape?: string;
  readonly layers?: number;
  readonly device?: 'auto' | 'cuda' | 'cpu';
  /** A number where --threads stands before the command's name. */
  readonly threads?: number | readonly number[];
  readonly kvCacheType?: KvCacheType;
  readonly weights?: WeightStorage;
  readonly maxRam?: number;
  readonly prefill?: readonly number[];
  readonly decode?: number;
  readonly reps?: number;
  readonly keepDisturbed?: boolean;
  readonly json?: boolean;
}

export function makeBenchCommand(host: Host): Command {
  const { bench } = host.library.defaults;
  const command = new Command('bench')
    .summary('how fast it runs here, and how fast it could')
    .description(
      'Measures reading a prompt and generating, and beside them what memory and arithmetic of this machine can do at ' +
        'most. Repeats beside which other processes used more than 5 % of a core are done again.',
    )
    .optionsGroup('Model:')
    .addOption(modelOption())
    .option('--shape <name>', 'made-up weights instead: tiny, mid, slice, grok1, or a config.json')
    .option('--layers <n>', 'of the shape, instead of its own', parseWhole)
    .addOption(
      new Option('-d, --device <name>', 'where to run (default: auto)')
        .choices(['auto', 'cuda', 'cpu'])
        .env('GROK_RUN_DEVICE'),
    )
    .addOption(
      new Option('--threads <n,...>', 'CPU threads, one number or several (default: as many as there are)')
        .argParser(parseWholes)
        .env('GROK_RUN_THREADS'),
    )
    .addOption(kvCacheTypeOption())
    .addOption(weightsOption())
    .addOption(
      new Option('--max-ram <size>', 'refuse to use more, such as 70GiB (default: what is free)').argParser(parseSize),
    )
    .optionsGroup('Measurement:')
    .option('--prefill <n,...>', `prompt sizes in tokens (default: ${bench.prefill}, where they fit)`, parseWholes)
    .option('--decode <n>', `tokens to generate one by one (default: ${bench.decode})`, parseWhole)
    .option('--reps <n>', `repeats of each (default: ${bench.reps})`, parseWhole)
    .option('--keep-disturbed', 'count disturbed repeats, too')
    .option('--json', 'everything as one JSON object');
  addOutputOptions(command);
  return command.action(async () => {
    const flags = flagsOf<BenchFlags>(command);
    const modelIsGiven = [command, command.parent].some((of) => of?.getOptionValueSource('model') === 'cli');
    if (flags.shape !== undefined && modelIsGiven) {
      throw new UsageError('Expected --shape or --model, found both', 'leave one out');
    }
    const printer = new Printer(host, flags);
    const wantsProgress = host.stderr.isTTY && !flags.quiet && flags.progress !== false;
    const report = await host.library.benchmark(
      given({
        source: flags.shape === undefined ? flags.model || undefined : undefined,
        shape: flags.shape,
        layers: flags.layers,
        device: flags.device,
        threads: flags.threads,
        kvCacheType: flags.kvCacheType,
        weights: flags.weights,
        memoryLimit: flags.maxRam,
        prefill: flags.prefill,
        decode: flags.decode,
        reps: flags.reps,
        keepDisturbed: flags.keepDisturbed,
        onProgress: wantsProgress ? (what: string) => printer.note(what) : undefined,
      }),
    );
    if (flags.json) await printer.json(report);
    else await printer.line(describe(report).join('\n'));
  });
}

function describe(report: BenchReport): string[] {
  const { machine, model, runs, oneThreadLimits } = report;
  const kind = model.isSynthetic ? ', made-up weights' : '';
  const limits = runs.some(({ threads }) => threads === oneThreadLimits.threads)
    ? runs.map((run) => run.limits)
    : [oneThreadLimits, ...runs.map((run) => run.limits)];
  return [
    `${model.name}: ${formatCount(model.parameters.total)} parameters${kind}`,
    `${formatBytes(model.weightBytes)} of weights in memory, ${model.weightStorage}; ${formatBytes(model.weightBytesPerToken)} read for a token`,
    `${machine.cpu}, ${machine.cpuThreads} CPU threads, ${formatBytes(machine.memoryBytes)}; grok-run ${report.version}`,
    ...runs.flatMap((run) => ['', ...describeRun(run)]),
    '',
    ...describeLimits(limits),
  ];
}

function describeRun(run: BenchRun): string[] {
  const { device, loadMs, peakMemoryBytes, prefill, decode } = run;
  const rows = [['', 'tokens/s', 'min', 'max', 'first token', 'at', 'share of the limit', '']];
  for (const { tokens, tokensPerSecond, firstTokenMs, gmacsPerSecond, shareOfPeak } of prefill) {
    const shares = Object.entries(shareOfPeak).map(([name, share]) => `${percent(share)} of ${name}`);
    rows.push([
      `prefill ${tokens}`,
      ...spread(tokensPerSecond),
      formatDuration(firstTokenMs.median),
      `${gmacsPerSecond.toFixed(1)} GMAC/s`,
      shares.join(', '),
      remark(tokensPerSecond),
    ]);
  }
  rows.push([
    `decode ${decode.tokens}`,
    ...spread(decode.tokensPerSecond),
    formatDuration(decode.firstTokenMs.median),
    `${decode.gigabytesPerSecond.toFixed(1)} GB/s`,
    `${percent(decode.shareOfBandwidth)} of reading`,
    remark(decode.tokensPerSecond),
  ]);
  return [
    `${device}: loaded in ${formatDuration(loadMs)}, peak memory ${formatBytes(peakMemoryBytes)}`,
    ...table(rows, new Set([1, 2, 3, 4, 5])).map((row) => `  ${row}`),
  ];
}

function describeLimits(limits: readonly MachineLimits[]): string[] {
  const [first] = limits;
  const names = first?.multiplyAdds.map(({ name }) => `${name}, GMAC/s`) ?? [];
  // A GPU has no threads to tell apart, and copying beside reading.
  const rows = first?.copy ? [['reading, GB/s', 'copying, GB/s', '']] : [['threads', 'reading, GB/s', ...names, '']];
  for (const { threads, read, copy, multiplyAdds, disturbed } of limits) {
    const peaks = [read, ...(copy ? [copy] : []), ...multiplyAdds].map(({ median }) => median.toFixed(1));
    rows.push([...(copy ? [] : [`${threads}`]), ...peaks, disturbed ? 'disturbed' : '']);
  }
  return [
    `What this machine can do at most (${first?.isa}):`,
    ...table(rows, new Set(rows[0]?.keys())).map((row) => `  ${row}`),
  ];
}

function spread({ median, min, max }: Series): string[] {
  return [median, min, max].map((rate) => rate.toFixed(rate < 100 ? 2 : 0));
}

function percent(share: number): string {
  return `${(share * 100).toFixed(0)} %`;
}

/** How many repeats other processes disturbed. */
function remark({ disturbed, discarded, values }: Series): string {
  if (disturbed > 0) return `${disturbed} of ${values.length} repeats disturbed`;
  return discarded > 0 ? `${discarded} disturbed repeats left out` : '';
}
