import { closeSync, fstatSync, openSync, readSync } from 'node:fs';

// Source: man 5 elf (Elf64_Ehdr).
const HEADER_BYTES = 64;
const architectures: Readonly<Record<number, string>> = { 3: 'ia32', 40: 'arm', 62: 'x64', 183: 'arm64' };

/** The header of a shared library. */
export interface ElfHeader {
  /** As in `process.arch`, or the number of an unknown architecture. */
  readonly arch: string;
  readonly fileBytes: number;
  /** The end of the section table, which is the last part of the file. */
  readonly expectedBytes: number;
}

/** Reads the header; undefined if the file is not a shared library. */
export function readElfHeader(path: string): ElfHeader | undefined {
  const header = Buffer.alloc(HEADER_BYTES);
  const file = openSync(path, 'r');
  try {
    const numRead = readSync(file, header, 0, HEADER_BYTES, 0);
    if (numRead < HEADER_BYTES || header.toString('latin1', 0, 4) !== '\x7fELF') return undefined;
    const machine = header.readUInt16LE(18);
    const sectionTableOffset = Number(header.readBigUInt64LE(40));
    const sectionTableBytes = header.readUInt16LE(58) * header.readUInt16LE(60);
    return {
      arch: architectures[machine] ?? `machine ${machine}`,
      fileBytes: fstatSync(file).size,
      expectedBytes: sectionTableOffset + sectionTableBytes,
    };
  } finally {
    closeSync(file);
  }
}
