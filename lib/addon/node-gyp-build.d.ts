/** The part of the library that loader.ts uses. */
declare module 'node-gyp-build' {
  export function resolve(directory: string): string;
}
