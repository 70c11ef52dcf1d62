/** Just enough of protocol buffers to write broken tokenizers. */
export function concat(...parts: Uint8Array[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

export function numberField(number: number, value: number): Uint8Array {
  return Uint8Array.from([...varint(number * 8), ...varint(value)]);
}

export function bytesField(number: number, bytes: Uint8Array): Uint8Array {
  return Uint8Array.from([...varint(number * 8 + 2), ...varint(bytes.length), ...bytes]);
}

/** A piece of a ModelProto. */
export function pieceField(text: string, type: number): Uint8Array {
  return bytesField(1, concat(bytesField(1, new TextEncoder().encode(text)), numberField(3, type)));
}

function varint(value: number): number[] {
  return value < 128 ? [value] : [(value % 128) + 128, ...varint(Math.floor(value / 128))];
}
