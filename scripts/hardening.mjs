// Tells which protections a shared library lacks. CMakeLists.txt sets their flags. Needs readelf (apt install binutils).
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

// Instructions that the compiler puts at the start of a function, as little-endian bytes.
const ENDBR64 = Buffer.from('f30f1efa', 'hex');
const BTI_C = Buffer.from('5f2403d5', 'hex');
const PACIASP = Buffer.from('3f2303d5', 'hex');
// A condition that std::vector's operator[] checks. The text of a failure has it.
const ASSERTION = '__n < this->size()';

/** The problems of a library, one sentence each. `exported` is a function that it defines. */
export function hardeningProblems(file, exported) {
  const readelf = (...args) =>
    execFileSync('readelf', ['--wide', ...args, file], { encoding: 'utf8', maxBuffer: 64e6 });
  const bytes = readFileSync(file);
  const headers = readelf('--file-header', '--program-headers');
  const dynamic = readelf('--dynamic');
  const symbols = readelf('--dyn-syms');

  const problems = [];
  const expect = (condition, sentence) => condition || problems.push(sentence);

  const stack = /GNU_STACK.*?\s([RWE]+)\s+0x\w+\s*$/m.exec(headers)?.[1];
  expect(stack === 'RW', `expected GNU_STACK to be RW, found ${stack}: new glibc refuses an executable stack`);
  expect(/^\s*GNU_RELRO\s/m.test(headers), 'no GNU_RELRO: relocated data stays writable (-z relro)');
  expect(/\bBIND_NOW\b|FLAGS_1.*\bNOW\b/.test(dynamic), 'no BIND_NOW: addresses of functions stay writable (-z now)');
  expect(/ UND __stack_chk_fail\b/.test(symbols), 'no __stack_chk_fail: no stack protector (-fstack-protector-strong)');
  expect(
    / UND __(?!stack_chk)\w+_chk\b/.test(symbols),
    'no *_chk function: nothing is fortified (-D_FORTIFY_SOURCE=3)',
  );
  expect(bytes.includes(ASSERTION), 'no assertions of the standard library (-D_GLIBCXX_ASSERTIONS)');

  if (/Machine:.*X86-64/.test(headers)) {
    // Not just anywhere: the compiler's own start files have the instruction.
    const starts = functionBytes(bytes, symbols, exported, headers).includes(ENDBR64);
    expect(starts, `${exported} does not begin with endbr64 (-fcf-protection=full)`);
    expect(/\bSHSTK\b/.test(readelf('--notes')), 'no SHSTK note: not marked for shadow stacks (-z shstk)');
  } else {
    expect(bytes.includes(BTI_C), 'no bti: functions are no landing pads (-mbranch-protection=standard)');
    expect(bytes.includes(PACIASP), 'no paciasp: return addresses are not signed (-mbranch-protection=standard)');
  }
  return problems;
}

/** The first instruction of an exported function. */
function functionBytes(bytes, symbols, name, headers) {
  const [, value] = new RegExp(`(\\w{16}) .* FUNC .* ${name}(@|$)`, 'm').exec(symbols) ?? [];
  const address = Number(`0x${value}`);
  for (const [, offset, start, size] of headers.matchAll(/LOAD\s+(0x\w+) (0x\w+) 0x\w+ (0x\w+)/g)) {
    const at = address - Number(start);
    if (at >= 0 && at < Number(size)) return bytes.subarray(Number(offset) + at, Number(offset) + at + 4);
  }
  return Buffer.alloc(0);
}
