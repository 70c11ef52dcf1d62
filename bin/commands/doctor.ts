import os from 'node:os';
import { Command } from 'commander';
import { failureOf, ProblemsFound } from '../failure.js';
import type { Host } from '../host.js';
import {
  addModelOptions,
  addOutputOptions,
  flagsOf,
  loadOptionsOf,
  type ModelFlags,
  modelOf,
  type OutputFlags,
} from '../options.js';
import { printable, printableLines } from '../printable.js';
import { Printer } from '../printer.js';
import { formatBytes } from '../units.js';

interface DoctorFlags extends ModelFlags, OutputFlags {
  readonly json?: boolean;
}

/** The subject of a check, its finding, and for a problem the fix. A note stops nothing. */
interface Check {
  readonly name: string;
  readonly status: 'ok' | 'note' | 'problem';
  readonly found: string;
  readonly fix?: string;
}

export function makeDoctorCommand(host: Host): Command {
  const command = new Command('doctor')
    .summary('whether this machine can run it, and the fix if not')
    .description(
      'Looks at Node, the platform, the CPU, CUDA, the native binary and the model. Exits with 1 on a problem.',
    )
    .option('--json', 'one JSON object');
  addModelOptions(command);
  addOutputOptions(command);
  return command.action(async () => {
    const flags = flagsOf<DoctorFlags>(command);
    const checks = [checkNode(), checkPlatform()];
    // Every other check would only find another platform.
    if (checks.every(({ status }) => status === 'ok')) {
      checks.push(checkLibc(), checkMemory(), ...checkAddon(host, flags));
      checks.push(await checkModel(host, 'embedded model', undefined, {}));
      const model = modelOf(flags);
      if (model !== undefined) checks.push(await checkModel(host, 'model', model, flags));
    }

    const printer = new Printer(host, flags);
    const ok = checks.every(({ status }) => status !== 'problem');
    if (flags.json) await printer.json({ ok, checks });
    else for (const check of checks) await printer.line(describe(check, printer));
    if (!ok) throw new ProblemsFound();
  });
}

function describe({ name, status, found, fix }: Check, printer: Printer): string {
  const color = { ok: 'green', note: 'yellow', problem: 'red' } as const;
  const head = `${printer.styled(color[status], status.padEnd(7))}  ${name.padEnd(14)}  `;
  const margin = ' '.repeat(25); // as wide as head
  const lines = [head + printableLines(found).replaceAll('\n', `\n${margin}`)];
  if (fix) lines.push(`${' '.repeat(9)}${'fix:'.padEnd(14)}  ${printable(fix)}`);
  return lines.join('\n');
}

/** grok-run.ts has refused an older Node before. */
function checkNode(): Check {
  return { name: 'node', status: 'ok', found: process.version };
}

function checkPlatform(): Check {
  const found = `${process.platform} ${process.arch}, kernel ${os.release()}`;
  if (process.platform === 'linux' && ['x64', 'arm64'].includes(process.arch))
    return { name: 'platform', status: 'ok', found };
  const fix = 'use Linux on x64 or arm64: a machine, a container, or WSL 2 on Windows';
  return { name: 'platform', status: 'problem', found, fix };
}

function checkLibc(): Check {
  const { header } = process.report.getReport() as unknown as { header: { glibcVersionRuntime?: string } };
  const version = header.glibcVersionRuntime;
  if (version) return { name: 'libc', status: 'ok', found: `glibc ${version}` };
  return {
    name: 'libc',
    status: 'problem',
    found: 'not glibc',
    fix: 'use a distribution with glibc, such as Debian 12',
  };
}

function checkMemory(): Check {
  const found = `${formatBytes(os.totalmem())}, ${formatBytes(os.freemem())} free`;
  return { name: 'machine', status: 'ok', found };
}

/** The native binary, and its findings about CPU and GPU. No findings if it cannot be loaded. */
function checkAddon(host: Host, flags: DoctorFlags): Check[] {
  let diagnosis: ReturnType<Host['library']['diagnose']>;
  try {
    diagnosis = host.library.diagnose();
  } catch (error) {
    return [problem('native binary', error)];
  }
  const { binary, cpuIsas, cpuThreads, cudaUnavailable } = diagnosis;
  const checks: Check[] = [{ name: 'native binary', status: 'ok', found: binary }];

  const isa = cpuIsas[0] ?? 'none';
  const numThreads = flags.threads ?? cpuThreads;
  const threads = `${numThreads} ${numThreads === 1 ? 'thread' : 'threads'} of ${os.cpus().length}`;
  const found = `${os.cpus()[0]?.model.trim() ?? 'unknown'}; ${threads}; kernels: ${cpuIsas.join(', ')}`;
  if (cpuIsas.length > 1) checks.push({ name: 'cpu', status: 'ok', found });
  else
    checks.push({
      name: 'cpu',
      status: 'note',
      found,
      fix: `only the ${isa} kernels run here; a CPU with ${process.arch === 'arm64' ? 'the dot product (asimddp)' : 'AVX2'} is much faster`,
    });

  if (cudaUnavailable === '') checks.push({ name: 'cuda', status: 'ok', found: 'usable' });
  else if (flags.device !== 'cuda') checks.push({ name: 'cuda', status: 'note', found: cudaUnavailable });
  else checks.push({ name: 'cuda', status: 'problem', found: cudaUnavailable, fix: 'use --device cpu' });
  return checks;
}

/** Whether a checkpoint can be read and fits, without reading a weight. */
async function checkModel(host: Host, name: string, path: string | undefined, flags: ModelFlags): Promise<Check> {
  try {
    const { format, memory, tokenizer, ...inspection } = await host.library.inspect(path, loadOptionsOf(flags));
    const isMapped = memory.weightStorage === 'mapped';
    const { total, available } = memory;
    const lacksGpu = available === null && inspection.device === 'cuda';
    const room = available === null ? 'an unknown amount' : `${formatBytes(available)} available`;
    const needed = `needs ${formatBytes(total)} of ${lacksGpu ? 'GPU memory, and there is no GPU' : room}`;
    const found = `${inspection.path}: ${format}, ${needed}${isMapped ? '; weights stay in the files' : ''}`;
    if (lacksGpu) return { name, status: 'problem', found, fix: 'use --device cpu' };
    if (available !== null && total > available) {
      const waysOut = ['free memory', 'use a larger machine', 'a smaller --context-size'];
      if (!isMapped) waysOut.push('--weights mapped, which is slower');
      return { name, status: 'problem', found, fix: `${waysOut.slice(0, -1).join(', ')}, or ${waysOut.at(-1)}` };
    }
    if (tokenizer || flags.tokenizer) return { name, status: 'ok', found };
    return { name, status: 'note', found: `${found}; no tokenizer.model beside it`, fix: 'name one with --tokenizer' };
  } catch (error) {
    return problem(name, error);
  }
}

function problem(name: string, error: unknown): Check {
  const failure = failureOf(error);
  const found = `${failure.code}: ${failure.message}`;
  return { name, status: 'problem', found, ...(failure.hint && { fix: failure.hint }) };
}
