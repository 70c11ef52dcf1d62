/** The part of the library that processor.ts uses. */
declare module '@agnai/sentencepiece-js' {
  interface Handle {
    delete(): void;
  }

  interface CompiledProcessor {
    Load(path: Handle): Handle & { ToString(): string };
  }

  export class SentencePieceProcessor {
    /** Starts the library, then reads the file synchronously. A damaged file is not reported. */
    load(path: string): Promise<void>;
    encodeIds(text: string): number[];

    /** The compiled library, once load() has started it. */
    readonly sentencepiece: {
      /** Files in the library's own memory. */
      readonly FS: { writeFile(path: string, bytes: Uint8Array): void };
      readonly StringView: new (text: string) => Handle & { getView(): Handle };
      readonly SentencePieceProcessor: new () => CompiledProcessor;
    };
    /** A new processor without a model. */
    processor: CompiledProcessor;
  }
}
