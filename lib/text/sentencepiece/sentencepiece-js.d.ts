/** The part of the library that processor.ts uses. */
declare module '@agnai/sentencepiece-js' {
  interface Handle {
    delete(): void;
  }

  export class SentencePieceProcessor {
    /** Reads the file synchronously once the library has started. A damaged file is not reported. */
    load(path: string): Promise<void>;
    encodeIds(text: string): number[];

    /** The compiled library, once load() has started it. */
    readonly sentencepiece: {
      /** Files in its own memory. */
      readonly FS: { writeFile(path: string, bytes: Uint8Array): void };
      readonly StringView: new (text: string) => Handle & { getView(): Handle };
    };
    readonly processor: { Load(path: Handle): Handle & { ToString(): string } };
  }
}
