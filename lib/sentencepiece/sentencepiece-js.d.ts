/** The part of the library that encoder.ts uses. */
declare module '@agnai/sentencepiece-js' {
  export class SentencePieceProcessor {
    /** A damaged file is not reported. */
    load(path: string): Promise<void>;
    encodeIds(text: string): number[];
  }
}
