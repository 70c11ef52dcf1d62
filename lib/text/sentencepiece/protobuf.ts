/** One field of a protocol buffer message. */
export type Field =
  /** The low 32 bits, signed: no number in a tokenizer is larger. */
  | { number: number; kind: 'varint'; int32: number }
  | { number: number; kind: 'bytes'; value: Uint8Array }
  | { number: number; kind: 'fixed32'; value: number }
  | { number: number; kind: 'fixed64' };

/** Thrown by {@link fields}: the bytes are not a protocol buffer message. */
export class ProtobufError extends Error {}

/** The fields of a message in order. Never reads outside `message`, even if a length exceeds it. */
export function* fields(message: Uint8Array): Generator<Field> {
  const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
  let offset = 0;
  let int32 = 0; // of the last varint

  // A double: exact up to 2^53, which exceeds any file.
  const varint = (): number => {
    let value = 0;
    int32 = 0;
    for (let index = 0; index < 10; index++) {
      const byte = message[offset++];
      if (byte === undefined) throw new ProtobufError(`a number at byte ${offset - 1} runs past the end`);
      value += (byte & 0x7f) * 2 ** (7 * index);
      if (index < 5) int32 |= (byte & 0x7f) << (7 * index);
      if (byte < 0x80) return value;
    }
    throw new ProtobufError(`a number before byte ${offset} has more than ten bytes`);
  };
  const skip = (count: number, number: number): number => {
    const start = offset;
    if (count > message.length - start) {
      throw new ProtobufError(
        `field ${number} at byte ${start} says ${count} bytes, ${message.length - start} are left`,
      );
    }
    offset += count;
    return start;
  };

  while (offset < message.length) {
    const key = varint();
    const number = Math.floor(key / 8);
    const wireType = key % 8;
    if (number === 0) throw new ProtobufError(`field number 0 before byte ${offset}`);
    if (wireType === 0) {
      varint();
      yield { number, kind: 'varint', int32 };
    } else if (wireType === 1) {
      skip(8, number);
      yield { number, kind: 'fixed64' };
    } else if (wireType === 2) {
      const start = skip(varint(), number);
      yield { number, kind: 'bytes', value: message.subarray(start, offset) };
    } else if (wireType === 5) {
      yield { number, kind: 'fixed32', value: view.getFloat32(skip(4, number), true) };
    } else {
      throw new ProtobufError(`field ${number} before byte ${offset} has unknown wire type ${wireType}`);
    }
  }
}
