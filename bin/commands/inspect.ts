import { Command } from 'commander';
import type { Inspection } from '../../lib/index.js';
import type { Host } from '../host.js';
import {
  addModelOptions,
  addOutputOptions,
  flagsOf,
  loadOptionsOf,
  type ModelFlags,
  type OutputFlags,
  pathOrModelOf,
} from '../options.js';
import { describePlan } from '../plan.js';
import { Printer, table } from '../printer.js';
import { formatBytes, formatCount } from '../units.js';

interface InspectFlags extends ModelFlags, OutputFlags {
  readonly tensors?: boolean;
  readonly json?: boolean;
}

export function makeInspectCommand(host: Host): Command {
  const command = new Command('inspect')
    .summary('contents of a checkpoint, and whether it fits this machine')
    .description(
      'Reads headers only: configuration, tensors, parameters, and the memory a run needs. `grok-run inspect grok-1` ' +
        'plans Grok-1 before its files are downloaded, unless a file here has that name: memory, speed, loading.',
    )
    .argument('[path]', 'checkpoint directory or file, or grok-1 (default: --model, or the embedded toy)')
    .option('--tensors', 'list every tensor')
    .option('--json', 'everything as one JSON object');
  addModelOptions(command);
  addOutputOptions(command);
  return command.action(async (path: string | undefined) => {
    const flags = flagsOf<InspectFlags>(command);
    const request = [pathOrModelOf(command, path), loadOptionsOf(flags)] as const;
    const inspection = await host.library.inspect(...request);
    const printer = new Printer(host, flags);
    if (inspection.isPlan) printer.note('measuring memory and disk');
    const plan = inspection.isPlan ? await host.library.plan(...request) : undefined;
    if (flags.json) {
      await printer.json({ ...inspection, ...(plan && { plan }) });
      return;
    }
    await printer.line(describe(inspection, printer, flags.tensors === true).join('\n'));
    if (plan) await printer.line(`\n${titled(printer, 'Plan', describePlan(plan, inspection)).join('\n')}`);
  });
}

function describe(inspection: Inspection, printer: Printer, allTensors: boolean): string[] {
  const { memory, numParameters, numActiveParameters } = inspection;
  return [
    ...section(printer, 'Checkpoint', [
      ['path', inspection.path],
      ['format', inspection.format],
      ['configuration', inspection.configFrom],
      ...(inspection.isPlan
        ? []
        : [
            ['tokenizer', inspection.tokenizer || 'none beside it: name one with --tokenizer'],
            ['manifest', stateOf(inspection.manifest)],
          ]),
      ['parameters', `${formatCount(numParameters)}, ${formatCount(numActiveParameters)} used per token`],
      ['files', formatBytes(inspection.fileBytes)],
    ]),
    '',
    ...section(printer, 'Model', numbersOf(inspection.config)),
    '',
    ...section(printer, 'Generation, unless options say otherwise', numbersOf(inspection.generation)),
    '',
    ...section(printer, 'Tensors', tensorRows(inspection.tensors, allTensors), new Set([0, 4])),
    '',
    ...section(printer, lacksGpu(inspection) ? 'Memory to run it on a GPU' : 'Memory to run it here', [
      [`weights, ${memory.weightStorage}`, formatBytes(memory.weights)],
      [`key-value cache, ${memory.kvCacheType}`, formatBytes(memory.kvCache)],
      ['workspace', formatBytes(memory.workspace)],
      ...(memory.reserve > 0 ? [['to stay free', formatBytes(memory.reserve)]] : []),
      ['needed', formatBytes(memory.total)],
      ['available', memory.available === null ? absent(inspection) : formatBytes(memory.available)],
    ]),
    `  ${verdictOn(inspection, printer)}`,
    ...(memory.weightStorage === 'mapped' ? [`  ${mappedNote(inspection)}`] : []),
  ];
}

function lacksGpu({ memory, device }: Inspection): boolean {
  return memory.available === null && device === 'cuda';
}

function absent(inspection: Inspection): string {
  return lacksGpu(inspection) ? 'no GPU here' : 'unknown';
}

function stateOf(manifest: Inspection['manifest']): string {
  if (manifest === null) return 'none: create one from files that you trust with grok-run verify --write';
  const [first, ...others] = manifest.problems;
  if (first === undefined) return `${manifest.path}, names and sizes match; compare contents with grok-run verify`;
  const more = others.length > 0 ? `, and ${others.length} more` : '';
  return `${manifest.path} does not match: ${first}${more}`;
}

function verdictOn(inspection: Inspection, printer: Printer): string {
  const { total, available } = inspection.memory;
  if (available === null) return `it needs ${lacksGpu(inspection) ? 'a GPU with ' : ''}${formatBytes(total)} free`;
  return total <= available
    ? printer.styled('green', 'it fits')
    : printer.styled('red', `it does not fit: ${formatBytes(total - available)} are missing`);
}

function mappedNote({ fileBytes, memory }: Inspection): string {
  const left = `the weights stay in the files, ${formatBytes(fileBytes)}`;
  return memory.total + fileBytes <= (memory.available ?? 0)
    ? `${left}: the system keeps them in memory as long as nothing else needs it`
    : `${left}: memory does not hold them all, so they are read from disk repeatedly`;
}

type Rows = readonly (readonly string[])[];

function section(printer: Printer, title: string, rows: Rows, right?: ReadonlySet<number>): string[] {
  return titled(printer, title, table(rows, right));
}

function titled(printer: Printer, title: string, lines: readonly string[]): string[] {
  return [printer.styled('bold', title), ...lines.map((line) => `  ${line}`)];
}

/** Names as in the glossary: `numKvHeads` is `num_kv_heads`. */
function numbersOf(config: Inspection['config' | 'generation']): Rows {
  return Object.entries(config).map(([name, value]) => [
    name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
    `${value}`,
  ]);
}

type Tensor = Inspection['tensors'][number];

/** One row per tensor, or one row for all tensors that differ only in their layer. */
function tensorRows(tensors: readonly Tensor[], all: boolean): string[][] {
  const groups = new Map<string, { count: number; bytes: number }>();
  for (const { name, dtype, shape, scalesShape, sizeBytes } of tensors) {
    const scales = scalesShape.length > 0 ? `scales ${scalesShape.join(' x ')}` : '';
    const row = [all ? name : name.replace(/layer_\d+/, 'layer_*'), dtype, shape.join(' x '), scales].join('\t');
    const group = groups.get(row) ?? { count: 0, bytes: 0 };
    groups.set(row, { count: group.count + 1, bytes: group.bytes + sizeBytes });
  }
  return [...groups].map(([row, { count, bytes }]) => {
    const [name = '', dtype = '', shape = '', scales = ''] = row.split('\t');
    return [`${count}`, name, dtype, shape, formatBytes(bytes), scales];
  });
}
