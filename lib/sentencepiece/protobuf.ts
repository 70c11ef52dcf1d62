/** One field of a protocol buffer message. */
export type Field =
  | { number: number; kind: 'varint'; value: bigint }
  | { number: number; kind: 'bytes'; value: Uint8Array }
  | { number: number; kind: 'fixed32'; value: number }
  | { number: number; kind: 'fixed64' };

/** Thrown by {@link fields}: the bytes are not a protocol buffer message. */
export class ProtobufError extends Error {}

/** The fields of a message in order. Never reads outside `message`, whatever lengths it claims. */
export function* fields(message: Uint8Array): Generator<Field> {
  const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
  let offset = 0;

  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = message[offset++];
      if (byte === undefined) throw new ProtobufError(`a number at byte ${offset - 1} runs past the end`);
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asUintN(64, value);
    }
    throw new ProtobufError(`a number before byte ${offset} has more than ten bytes`);
  };
  const skip = (count: bigint, what: string): number => {
    const start = offset;
    if (count > BigInt(message.length - start)) {
      throw new ProtobufError(`${what} at byte ${start} says ${count} bytes, ${message.length - start} are left`);
    }
    offset += Number(count);
    return start;
  };

  while (offset < message.length) {
    const key = varint();
    const number = Number(key >> 3n);
    if (number === 0) throw new ProtobufError(`field number 0 before byte ${offset}`);
    switch (Number(key & 7n)) {
      case 0:
        yield { number, kind: 'varint', value: varint() };
        break;
      case 1:
        skip(8n, `field ${number}`);
        yield { number, kind: 'fixed64' };
        break;
      case 2: {
        const length = varint();
        const start = skip(length, `field ${number}`);
        yield { number, kind: 'bytes', value: message.subarray(start, offset) };
        break;
      }
      case 5:
        yield { number, kind: 'fixed32', value: view.getFloat32(skip(4n, `field ${number}`), true) };
        break;
      default:
        throw new ProtobufError(`field ${number} before byte ${offset} has unknown wire type ${key & 7n}`);
    }
  }
}
