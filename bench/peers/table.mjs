// The table that side-by-side.mjs prints for a shape, in Markdown.

/** One measured row. */
export function lineOf({ figure, threads, unit, grokRun, llamaCpp, ahead, kept, disturbed, thrown }) {
  const spreads = `${spreadText(grokRun)} and ${spreadText(llamaCpp)} ${unit}, ahead ${spreadText(ahead)}`;
  return `${figure}, ${threads} threads: ${spreads} (${kept} pairs, ${disturbed} disturbed, ${thrown} thrown away)`;
}

/** @param results of measureCase; @param circumstances date, machine, versions, options */
export function tableOf(name, results, circumstances) {
  const { machine, peer, options } = circumstances;
  const busy = options.busy > 0 ? `; ${options.busy} busy process${options.busy > 1 ? 'es' : ''}` : '';
  const rows = [
    ['', 'threads', 'grok-run', 'llama.cpp', 'ahead', 'pairs', 'thrown away'],
    ['---', '---:', '---:', '---:', '---:', '---:', '---:'],
    ...results.map((result) => [
      `${result.figure}, ${result.unit}`,
      `${result.threads}`,
      spreadText(result.grokRun),
      spreadText(result.llamaCpp),
      spreadText(result.ahead),
      result.disturbed > 0 ? `${result.kept}, ${result.disturbed} disturbed` : `${result.kept}`,
      `${result.thrown}`,
    ]),
  ];
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  return [
    '',
    `${name}: grok-run and llama.cpp ${peer.llamaCpp} (node-llama-cpp ${peer.nodeLlamaCpp}, ${options.type})`,
    `${machine.cpu}, ${machine.threads} threads; ${circumstances.date.slice(0, 10)}${busy}`,
    ...devicesText(results),
    'min / median / max; ahead: above 1 grok-run is better, pair by pair',
    '',
    ...rows.map((row) => `| ${row.map((cell, column) => padded(cell, widths[column], column)).join(' | ')} |`),
  ].join('\n');
}

/** The kernels that ran, if any measurement was kept. */
function devicesText(results) {
  const measured = results.find(({ kept }) => kept > 0);
  if (!measured) return [];
  const { grokRun, llamaCpp } = measured.devices;
  return [`grok-run on ${grokRun.replace(/, \d+ threads?/, '')}; llama.cpp on ${llamaCpp}`];
}

/** The limits of the machine, and the share of its bandwidth that each side's decoding reached, at the median. */
export function limitsText({ limits, bytesPerToken }, results) {
  return limits
    .flatMap(({ threads, isa, read, multiplyAdds, disturbed }) => {
      const peaks = multiplyAdds.map(({ name, median }) => `${name} ${numberText(median)}`).join(', ');
      const remark = disturbed ? '; others ran meanwhile' : '';
      const decode = results.find((result) => result.figure === 'decode' && result.threads === threads);
      const shares = Object.entries(bytesPerToken).map(([side, bytes]) => {
        const gigabytesPerSecond = ((decode?.[side]?.median ?? Number.NaN) * bytes) / 1e9;
        const share = `${numberText(gigabytesPerSecond)} GB/s, ${numberText(gigabytesPerSecond / read.median)} of reading`;
        return `  ${side}: ${numberText(bytes / 1e6)} MB a token, ${share}`;
      });
      const limit = `Limits, ${threads} threads: read ${numberText(read.median)} GB/s; ${peaks} GMAC/s (${isa})${remark}`;
      return ['', limit, ...(decode?.ahead ? shares : [])];
    })
    .join('\n');
}

function padded(cell, width, column) {
  if (/^--+:?$/.test(cell)) return cell.endsWith(':') ? `${'-'.repeat(width - 1)}:` : '-'.repeat(width);
  return column === 0 ? cell.padEnd(width) : cell.padStart(width);
}

/** '-' if no pair was quiet. */
function spreadText(spread) {
  if (spread === null) return '-';
  return [spread.min, spread.median, spread.max].map(numberText).join(' / ');
}

function numberText(value) {
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}
