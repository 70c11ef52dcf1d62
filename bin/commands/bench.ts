import { Command } from 'commander';
import {
  type BenchOptions,
  type BenchReport,
  type BenchRun,
  type MachineLimits,
  optionSchema,
  type Series,
} from '../../lib/index.js';
import { UsageError } from '../failure.js';
import type { Host } from '../host.js';
import { addOptions, addOutputOptions, flagsOf, modelOption, type OutputFlags, optionsOf } from '../options.js';
import { Printer, table } from '../printer.js';
import { formatBytes, formatCount, formatDuration } from '../units.js';

interface BenchFlags extends OutputFlags, Omit<BenchOptions, 'source'> {
  readonly model?: string;
  readonly json?: boolean;
}

export function makeBenchCommand(host: Host): Command {
  const command = new Command('bench')
    .summary('speed here, and the limits of this machine')
    .description(
      'Measures reading a prompt and generating, and the limits of memory and arithmetic on this machine. Repeats ' +
        'during which other processes used more than 5 % of a core are done again.',
    )
    .option('--json', 'everything as one JSON object');
  const measurement = ['prefill', 'decode', 'reps', 'keepDisturbed'];
  const model = Object.keys(optionSchema.benchmark).filter((name) => !measurement.includes(name));
  addOptions(command.optionsGroup('Model:').addOption(modelOption()), optionSchema.benchmark, model);
  addOptions(command.optionsGroup('Measurement:'), optionSchema.benchmark, measurement);
  addOutputOptions(command);
  return command.action(async () => {
    const flags = flagsOf<BenchFlags>(command);
    const modelIsGiven = [command, command.parent].some((of) => of?.getOptionValueSource('model') === 'cli');
    if (flags.shape !== undefined && modelIsGiven) {
      throw new UsageError('Expected --shape or --model, found both', 'leave one out');
    }
    const printer = new Printer(host, flags);
    const wantsProgress = host.stderr.isTTY && !flags.quiet && flags.progress !== false;
    const source = flags.shape === undefined ? flags.model || undefined : undefined;
    const report = await host.library.benchmark({
      ...optionsOf(optionSchema.benchmark, flags),
      ...(source !== undefined && { source }),
      ...(wantsProgress && { onProgress: (what: string) => printer.note(what) }),
    });
    if (flags.json) await printer.json(report);
    else await printer.line(describe(report).join('\n'));
  });
}

function describe(report: BenchReport): string[] {
  const { machine, model, runs, oneThreadLimits } = report;
  const kind = model.isSynthetic ? ', synthetic weights' : '';
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
  // A GPU has no number of threads, but has a figure for copying.
  const rows = first?.copy ? [['reading, GB/s', 'copying, GB/s', '']] : [['threads', 'reading, GB/s', ...names, '']];
  for (const { threads, read, copy, multiplyAdds, disturbed } of limits) {
    const peaks = [read, ...(copy ? [copy] : []), ...multiplyAdds].map(({ median }) => median.toFixed(1));
    rows.push([...(copy ? [] : [`${threads}`]), ...peaks, disturbed ? 'disturbed' : '']);
  }
  return [`Limits of this machine (${first?.isa}):`, ...table(rows, new Set(rows[0]?.keys())).map((row) => `  ${row}`)];
}

function spread({ median, min, max }: Series): string[] {
  return [median, min, max].map((rate) => rate.toFixed(rate < 100 ? 2 : 0));
}

function percent(share: number): string {
  return `${(share * 100).toFixed(0)} %`;
}

/** The number of repeats that other processes disturbed. */
function remark({ disturbed, discarded, values }: Series): string {
  if (disturbed > 0) return `${disturbed} of ${values.length} repeats disturbed`;
  return discarded > 0 ? `${discarded} disturbed repeats left out` : '';
}
