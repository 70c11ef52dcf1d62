import type { PromptReport, RunReport } from '../lib/index.js';
import { formatBytes, formatCount, formatDuration } from './units.js';

/** A report for people. The JSON file beside it has all figures. */
export function reportAsMarkdown(report: RunReport): string {
  const { machine, model, prefill, decode, prompts } = report;
  const lines = [
    `# grok-run ${report.version}, ${report.date}`,
    '',
    ...table(
      ['', ''],
      [
        ['machine', `${machine.cpu}, ${machine.cpuThreads} CPU threads, ${formatBytes(machine.memoryBytes)}`],
        ['system', `${machine.platform}, Linux ${machine.kernel}, Node ${machine.node}`],
        ['device', report.whyCpu ? `${report.device}: ${report.whyCpu}` : report.device],
        [
          'model',
          `${model.format}, configuration ${model.configFrom}, ${formatCount(model.parameters.total)} parameters`,
        ],
        ['weights', `${model.weightStorage}, ${formatBytes(model.weightBytesPerToken)} read for a token`],
        ['key-value cache', `${model.kvCacheType}, ${model.contextSize} tokens`],
        ['files', wordsOfFiles(report)],
        ['tokenizer.model', wordsOfTokenizer(report)],
        ['loaded', `${formatBytes(model.fileBytes)} in ${formatDuration(report.loadMs)}`],
        ['peak memory', formatBytes(report.peakMemoryBytes)],
        [
          'reading at most',
          `${report.limits.read.median.toFixed(1)} GB/s (${report.limits.isa}, ${report.limits.threads} threads)`,
        ],
      ],
    ),
    '',
    ...table(
      ['', 'tokens/s', 'first token', 'share of the limit'],
      [
        ...prefill.map(({ tokens, tokensPerSecond, firstTokenMs, shareOfPeak }) => [
          `prefill ${tokens}`,
          tokensPerSecond.median.toFixed(2),
          formatDuration(firstTokenMs.median),
          Object.entries(shareOfPeak)
            .map(([name, share]) => `${percent(share)} of ${name}`)
            .join(', '),
        ]),
        ...(decode
          ? [
              [
                `decode ${decode.tokens}`,
                decode.tokensPerSecond.median.toFixed(2),
                formatDuration(decode.firstTokenMs.median),
                `${percent(decode.shareOfBandwidth)} of reading`,
              ],
            ]
          : []),
      ],
    ),
    ...prompts.flatMap((prompt, index) => ['', ...describePrompt(prompt, index + 1)]),
    ...wrongFiles(report),
  ];
  return `${lines.join('\n')}\n`;
}

function wordsOfFiles({ files }: RunReport): string {
  if (!files) return 'not hashed';
  if (!files.comparedWithManifest) return `${files.files.length} hashed, no manifest to compare with`;
  return files.ok ? `all ${files.files.length} match the manifest` : 'different from the manifest: see below';
}

function wordsOfTokenizer({ tokenizer }: RunReport): string {
  if (!tokenizer) return 'none';
  return tokenizer.isPublished ? 'the one that xAI published' : `SHA-256 ${tokenizer.sha256}`;
}

function describePrompt(prompt: PromptReport, number: number): string[] {
  const { text, ids, logitsSha256, meanLogprob, top, greedyIds, greedyText, notFinite } = prompt;
  return [
    `## Prompt ${number}`,
    '',
    ...(text === null ? [] : [`    ${JSON.stringify(text)}`, '']),
    `- ids: ${ids.join(' ')}`,
    `- SHA-256 of the logits: ${logitsSha256 ?? 'none in time'}`,
    `- mean log-probability: ${meanLogprob?.toFixed(4) ?? 'none'}`,
    `- likeliest next: ${top.map(({ id, logit }) => `${id} (${logit.toFixed(4)})`).join(', ') || 'none'}`,
    `- greedy ids: ${greedyIds.join(' ') || 'none in time'}`,
    ...(greedyText === '' ? [] : [`- greedy text: ${JSON.stringify(greedyText)}`]),
    ...(notFinite === null ? [] : [`- not finite: ${notFinite}`]),
  ];
}

function wrongFiles({ files }: RunReport): string[] {
  const wrong = files?.files.filter(({ status }) => status !== 'ok') ?? [];
  if (wrong.length === 0) return [];
  const rows = wrong.map(({ name, status, problem = '' }) => [name, status, problem]);
  return ['', '## Files that differ from the manifest', '', ...table(['file', '', ''], rows)];
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const line = (cells: readonly string[]) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)];
}

function percent(share: number): string {
  return `${(share * 100).toFixed(0)} %`;
}
