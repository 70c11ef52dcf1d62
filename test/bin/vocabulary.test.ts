import { describe, expect, it } from 'vitest';
import { adviceInFlags, flagOf, inFlags } from '../../bin/vocabulary.js';
import { fromNative } from '../../lib/addon/calls.js';
import { resolveBenchOptions } from '../../lib/options/bench.js';
import { resolveGenerateOptions, resolveLoadOptions } from '../../lib/options/resolve.js';
import { invoke } from './fake-host.js';

/** As a refusal of an unknown name lists them. */
function optionsOf(resolve: (options: never) => unknown): string[] {
  try {
    resolve({ thereIsNoSuchOption: 1 } as never);
  } catch (error) {
    const { hint } = error as { hint: string };
    return hint.replace('The options are ', '').replace('.', '').split(', ');
  }
  return [];
}

const native = (code: string, message: string, hint: string) =>
  fromNative(Object.assign(new Error(message), { code, hint })) as { message: string; hint: string };

describe('the words of the command line', () => {
  it('have a flag for each option, but for those that no flag sets', async () => {
    const options = new Set([
      ...optionsOf(resolveLoadOptions),
      ...optionsOf((given) => resolveGenerateOptions(given, { vocabSize: 8 } as never)),
      ...optionsOf(resolveBenchOptions),
    ]);
    const unset = [...options].filter((name) => flagOf[name] === undefined).sort();
    expect(unset).toEqual([
      'maxQueue',
      'maxSequences',
      'onOpened',
      'onProgress',
      'prefixCache',
      'readTimeout',
      'signal',
    ]);
    const helps = await Promise.all(
      [[], ['bench'], ['verify'], ['report']].map((command) => invoke([...command, '--help'])),
    );
    const help = helps.map(({ stdout }) => stdout).join('');
    for (const flag of Object.values(flagOf)) expect(help).toContain(flag);
  });

  it.each([
    [
      'Expected `topP` to be a number from 0 to 1, found 2 (number)',
      'Expected --top-p to be a number from 0 to 1, found 2 (number)',
    ],
    ['Expected `stop[1]` to be a text', 'Expected --stop to be a text'],
    ['Expected `prompt[0]` to be an integer', 'Expected the prompt to be an integer'],
    [
      'It would fit with `kvCacheType` "bf16" and `contextSize` 64 or `memoryLimit` 20971521.',
      'It would fit with --kv-cache-type bf16 and --context-size 64 or --memory-limit 21MiB.',
    ],
    ['`config.json` is missing', '`config.json` is missing'],
  ])('name flags: %s', (message, expected) => {
    expect(inFlags(message)).toBe(expected);
  });

  it('leave out advice that cannot be followed there', () => {
    expect(adviceInFlags('Pass its path as `tokenizer`. Token ids work without one: pass `prompt` as an array.')).toBe(
      'Pass its path as --tokenizer.',
    );
    for (const hint of [
      'Load it again with Grok.load().',
      'Use a larger `maxQueue`.',
      'Pass [grok.info.config.bosId].',
    ]) {
      expect(adviceInFlags(hint)).toBeUndefined();
    }
  });
});

describe("the addon's words", () => {
  it("become the library's where they are options, and flags in the program", () => {
    const cuda = native('GROK_CUDA_UNAVAILABLE', 'no driver', 'Use device "cpu" or "auto".').hint;
    expect([cuda, adviceInFlags(cuda)]).toEqual(['Use `device` "cpu" or "auto".', 'Use --device cpu or auto.']);
    const tooLong = native('GROK_INVALID_ARGUMENT', 'expected context_length to be at most 512, found 600', '').message;
    expect(inFlags(tooLong)).toBe('expected --context-size to be at most 512, found 600');
  });

  it("stay a config.json's in errors of a checkpoint", () => {
    const { message } = native('GROK_BAD_CHECKPOINT', 'expected context_length from 1 to 9', '');
    expect(message).toBe('expected context_length from 1 to 9');
  });
});
