// Compiles every kernel for every GPU generation and compares the result with native/backend/cuda/budget.json. It
// checks for spills and stack use, and bounds registers, shared memory and matrix instructions. Each kernel must wait
// for its predecessor. --write sets the bounds to the measured values.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';

const folder = 'native/backend/cuda';
const budgetFile = join(folder, 'budget.json');

// The low 12 bits of a 16-byte instruction are its opcode, found with kernels of one instruction each, CUDA 13.0.
const OPCODES = { IMMA: 0x237, LDL: 0x983, STL: 0x387, PREEXIT: 0x82d, ACQBULK: 0x82e };

const nvcc = [process.env.NVCC, 'nvcc', '/usr/local/cuda/bin/nvcc'].find(
  (program) => program && spawnSync(program, ['--version'], { stdio: 'ignore' }).status === 0,
);
if (!nvcc) {
  console.log('SKIPPED: nvcc is not installed; the CUDA kernels are not compiled, and their budget is not checked.');
  process.exit(0);
}

/** "void grok::cuda::(anonymous namespace)::stream_product<2, 3>(grok::cuda::…)" becomes "stream_product<2, 3>". */
function shortName(mangled) {
  const { stdout, status } = spawnSync('c++filt', [mangled], { encoding: 'utf8' });
  if (status !== 0) return mangled;
  const plain = stdout
    .trim()
    .replaceAll(/\((?:anonymous namespace|grok::[\w:]+)\)(?:::)?/g, '')
    .replace(/^void /, '');
  return /^(?:grok::cuda::)?(\w+(?:<[^(]*>)?)(?:\(|$)/.exec(plain)?.[1] ?? plain;
}

/** Parses ptxas -v's report of each kernel. */
function parseReport(text) {
  const kernels = [];
  for (const block of text.split("Compiling entry function '").slice(1)) {
    const number = (pattern) => Number(pattern.exec(block)?.[1] ?? 0);
    const mangled = block.slice(0, block.indexOf("'"));
    kernels.push({
      mangled,
      name: shortName(mangled),
      stack: number(/(\d+) bytes stack frame/),
      spills: number(/(\d+) bytes spill stores/) + number(/(\d+) bytes spill loads/),
      registers: number(/Used (\d+) registers/),
      shared: number(/(\d+) bytes smem/),
    });
  }
  return kernels;
}

/** Counts each of OPCODES in a kernel's section of the ELF file. */
function countInstructions(cubin, mangled) {
  const sectionsAt = Number(cubin.readBigUInt64LE(0x28));
  const [entrySize, numSections, namesIndex] = [0x3a, 0x3c, 0x3e].map((at) => cubin.readUInt16LE(at));
  const section = (index) => {
    const at = sectionsAt + index * entrySize;
    const offset = Number(cubin.readBigUInt64LE(at + 0x18));
    return {
      name: cubin.readUInt32LE(at),
      bytes: cubin.subarray(offset, offset + Number(cubin.readBigUInt64LE(at + 0x20))),
    };
  };
  const names = section(namesIndex).bytes;
  for (let index = 0; index < numSections; ++index) {
    const { name, bytes } = section(index);
    if (names.toString('latin1', name, names.indexOf(0, name)) !== `.text.${mangled}`) continue;
    const counts = Object.fromEntries(Object.keys(OPCODES).map((key) => [key, 0]));
    for (let at = 0; at + 16 <= bytes.length; at += 16)
      for (const [key, opcode] of Object.entries(OPCODES))
        if ((bytes.readUInt16LE(at) & 0xfff) === opcode) counts[key]++;
    return counts;
  }
  throw new Error(`no code of ${mangled}`);
}

function compile(source, arch, to) {
  const args = ['-std=c++20', '-O3', '-Inative', `-gencode=arch=compute_${arch},code=sm_${arch}`];
  const { status, stdout, stderr } = spawnSync(nvcc, [...args, '-Xptxas', '-v', '-cubin', '-o', to, source], {
    encoding: 'utf8',
  });
  if (status === 0) return stdout + stderr;
  console.error(`${source} does not compile for sm_${arch}:\n${stdout}${stderr}`);
  process.exit(1);
}

const budget = existsSync(budgetFile)
  ? JSON.parse(readFileSync(budgetFile, 'utf8'))
  : { architectures: ['90a'], kernels: {} };
const isWriting = process.argv.includes('--write');
const found = {};
const problems = [];
const scratch = mkdtempSync(join(tmpdir(), 'grok-kernels-'));
try {
  for (const source of readdirSync(folder).filter((name) => name.endsWith('.cu')))
    for (const arch of budget.architectures) {
      const cubinFile = join(scratch, `${basename(source, '.cu')}.${arch}.cubin`);
      const report = compile(join(folder, source), arch, cubinFile);
      const cubin = readFileSync(cubinFile);
      for (const advisory of report.match(/^.*\bC7\d\d\d\b.*$/gm) ?? [])
        problems.push(`sm_${arch} ${source}: ${advisory}`);
      for (const kernel of parseReport(report)) {
        const where = `sm_${arch} ${source} ${kernel.name}`;
        const counts = countInstructions(cubin, kernel.mangled);
        if (kernel.spills > 0) problems.push(`${where}: ${kernel.spills} bytes of spills`);
        if (kernel.stack > 0) problems.push(`${where}: a stack frame of ${kernel.stack} bytes`);
        if (counts.LDL + counts.STL > 0) problems.push(`${where}: reads or writes local memory`);
        // Launches overlap on these: griddepcontrol.launch_dependents and .wait.
        if (Number.parseInt(arch, 10) >= 90 && !(counts.PREEXIT && counts.ACQBULK))
          problems.push(`${where}: does not let the next launch begin, or does not wait for the one before`);
        const seen = found[kernel.name] ?? { registers: 0, shared: 0, imma: Number.POSITIVE_INFINITY };
        found[kernel.name] = {
          registers: Math.max(seen.registers, kernel.registers),
          shared: Math.max(seen.shared, kernel.shared),
          imma: Math.min(seen.imma, counts.IMMA),
        };
        console.log(`${where}: ${kernel.registers} registers, ${kernel.shared} bytes shared, ${counts.IMMA} IMMA`);
        const bound = budget.kernels[kernel.name];
        if (isWriting) continue;
        if (!bound) problems.push(`${where}: has no budget`);
        for (const key of ['registers', 'shared'])
          if (bound && kernel[key] > bound[key])
            problems.push(`${where}: ${kernel[key]} ${key}, at most ${bound[key]} expected`);
        if (bound && counts.IMMA < bound.imma)
          problems.push(`${where}: ${counts.IMMA} IMMA, at least ${bound.imma} expected`);
      }
    }
} finally {
  rmSync(scratch, { recursive: true });
}
if (isWriting) {
  // A list of architectures fits a line, which the formatter requires.
  const text = JSON.stringify({ ...budget, kernels: found }, null, 2).replace(/\[[^\]]*\]/, (list) =>
    list.replace(/\s+/g, ' ').replace('[ ', '[').replace(' ]', ']'),
  );
  writeFileSync(budgetFile, `${text}\n`);
} else {
  for (const name of Object.keys(budget.kernels))
    if (!found[name]) problems.push(`${name}: has a budget, and is not there`);
}
for (const problem of problems) console.error(problem);
console.log(
  `kernels: ${Object.keys(found).length} for ${budget.architectures.length} architectures, ${problems.length} problems`,
);
process.exit(problems.length > 0 ? 1 : 0);
