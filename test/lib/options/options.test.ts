import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { resolveBenchOptions } from '../../../lib/options/bench.js';
import { rejectUnknownOptions, tokenIds } from '../../../lib/options/checks.js';
import { nearestName } from '../../../lib/options/nearest-name.js';
import {
  resolveGenerateOptions,
  resolveInspectOptions,
  resolveLoadOptions,
  resolveOptions,
} from '../../../lib/options/resolve.js';
import {
  defaults,
  type GenerateOptions,
  type LoadOptions,
  logitsOptions,
  scoreOptions,
} from '../../../lib/options/schema.js';

const model = { vocabSize: 4096 };
const generate = (options: unknown) => resolveGenerateOptions(options as GenerateOptions, model);
const scored = (options: unknown) => resolveOptions(scoreOptions, options as object);
const logits = (options: unknown) => resolveOptions(logitsOptions, options as object);
const load = (options: unknown) => resolveLoadOptions(options as LoadOptions);

describe('options of any kind', () => {
  const resolvers = [
    ...[generate, load, resolveInspectOptions, scored, logits, resolveBenchOptions],
    (options: unknown) => rejectUnknownOptions(options as object, ['seed']),
  ];

  it.each([
    ...[null, 7, 'fast', [], true, new Map([['seed', 7]]), new Set(['seed']), Promise.resolve({ seed: 7 }), () => ({})],
    ...[
      new (class Mine {
        seed = 7;
      })(),
      Object.create({ seed: 7 }),
      new Date(),
      new URLSearchParams('seed=7'),
    ],
  ])('must be a plain object, not %s', (options) => {
    for (const resolve of resolvers) {
      expect(() => resolve(options as never)).toThrow(
        expect.objectContaining({ code: 'GROK_INVALID_ARGUMENT', message: expect.stringContaining('a plain object') }),
      );
    }
  });

  it.each([
    ['without a prototype', Object.assign(Object.create(null), { seed: 7 })],
    ['of another realm', runInNewContext('({ seed: 7 })')],
    ['behind a proxy', new Proxy({ seed: 7 }, {})],
    ['frozen', Object.freeze({ seed: 7 })],
  ])('may be an object %s', (_, options) => {
    expect(generate(options).seed).toBe(7);
  });

  it('refuse a name they do not know, and say which was meant', () => {
    const refusal = (message: string, hint: string) =>
      expect.objectContaining({ code: 'GROK_INVALID_ARGUMENT', message, hint: expect.stringContaining(hint) });
    expect(() => generate({ temprature: 1 })).toThrow(
      refusal('Unknown option `temprature`', 'Did you mean `temperature`?'),
    );
    expect(() => generate({ max_tokens: 1 })).toThrow(
      refusal('Unknown option `max_tokens`', 'Did you mean `maxTokens`?'),
    );
    expect(() => generate({ [Symbol('seed')]: 1 })).toThrow('Unknown option `Symbol(seed)`');
    expect(() => generate({ zebra: 1 })).toThrow(refusal('Unknown option `zebra`', 'The options are maxTokens'));
    expect(() => load({ contextSzie: 1 })).toThrow(
      refusal('Unknown option `contextSzie`', 'Did you mean `contextSize`?'),
    );
    expect(() => resolveInspectOptions({ onProgress() {} } as object)).toThrow('Unknown option `onProgress`');
    expect(() => scored({ seed: 1 } as object)).toThrow('Unknown option `seed`');
    expect(() => logits({ logprobs: 1 } as object)).toThrow('Unknown option `logprobs`');
  });

  it('take undefined for not given', () => {
    expect(generate({ temperature: undefined, maxTokens: undefined, signal: undefined }).temperature).toBe(0.7);
    expect(load({ threads: undefined }).native.threads).toBe(0);
  });
});

describe('options of generate', () => {
  it.each<[keyof GenerateOptions, unknown[], string]>([
    ['maxTokens', [-1, 1.5, Number.NaN, '8', 2 ** 31, null], 'an integer from 0 to 2147483647'],
    ['temperature', [-0.1, Number.NaN, Infinity, '1', null], 'a number ≥ 0'],
    ['topP', [-0.1, 1.1, Number.NaN, '1'], 'a number from 0 to 1'],
    ['topK', [-1, 0.5, '1'], 'an integer from 0'],
    ['minP', [-0.1, 1.1, '1'], 'a number from 0 to 1'],
    ['repetitionPenalty', [0, -1, Infinity, '1'], 'a number > 0'],
    ['presencePenalty', [-2.1, 2.1, '1'], 'a number from -2 to 2'],
    ['frequencyPenalty', [-2.1, 2.1, '1'], 'a number from -2 to 2'],
    ['seed', [-1, 1.5, 2 ** 53, 1n, '1'], 'an integer from 0 to 9007199254740991'],
    ['logprobs', [-1, 21, true], 'an integer from 0 to 20'],
    ['echo', [1, 'yes', null], 'true or false'],
    ['ignoreEos', [1, 'yes', null], 'true or false'],
    ['signal', [{}, true, new AbortController()], 'an AbortSignal'],
    ['logitBias', [[], 5, null, new Set([5]), Int32Array.of(5), new URLSearchParams('5=1')], 'an object or a Map of'],
    ['stop', [5, {}, null], 'a text or an array of texts'],
    ['stopTokenIds', [5, '5', {}, null, new Set([5])], 'an array of token ids'],
  ])('refuse a bad `%s`', (name, values, expectation) => {
    for (const value of values) {
      expect(() => generate({ [name]: value })).toThrow(
        expect.objectContaining({
          code: 'GROK_INVALID_ARGUMENT',
          message: expect.stringContaining(`Expected \`${name}\` to be ${expectation}`),
        }),
      );
    }
  });

  it('refuse empty stop texts and biases of tokens that are not there', () => {
    expect(() => generate({ stop: '' })).toThrow('`stop[0]` to be a text that is not empty');
    expect(() => generate({ stop: ['a', 5] })).toThrow('`stop[1]`');
    for (const key of [4096, -1, 1.5, 'the', '05', '', Symbol('5'), 5n]) {
      expect(() => generate({ logitBias: new Map([[key, 1]]) })).toThrow('keyed by token ids from 0 to 4095');
    }
    expect(() => generate({ logitBias: { the: 1 } })).toThrow('keyed by token ids from 0 to 4095');
    expect(() =>
      generate({
        logitBias: new Map<unknown, number>([
          [5, 1],
          ['5', 2],
        ]),
      }),
    ).toThrow('each token id once');
  });

  it('refuse more stop texts, longer ones and more biases than a request may hold', () => {
    expect(generate({ stop: new Array(256).fill('a'.repeat(1024)) }).stop).toHaveLength(256);
    expect(() => generate({ stop: new Array(257).fill('a') })).toThrow('at most 256 texts, found an array of 257');
    expect(() => generate({ stop: ['a', 'b'.repeat(1025)] })).toThrow(
      '`stop[1]` to be a text of at most 1024 characters',
    );
    const biases = (count: number) => new Map(Array.from({ length: count }, (_, id) => [id, 1]));
    const large = (logitBias: Map<number, number>) => resolveGenerateOptions({ logitBias }, { vocabSize: 131_072 });
    expect(large(biases(8192)).logitBias.size).toBe(8192);
    expect(() => large(biases(8193))).toThrow('`logitBias` to be for at most 8192 token ids');
  });

  it('refuse numbers that float32 does not hold, and never with words that allow them', () => {
    for (const bias of [Infinity, Number.NaN, 1e300, -1e300, '1', null]) {
      expect(() => generate({ logitBias: { 5: bias } })).toThrow(
        '`logitBias[5]` to be a number from -3.4e+38 to 3.4e+38, or -Infinity, found',
      );
    }
    for (const name of ['temperature', 'repetitionPenalty']) {
      for (const value of [Infinity, 1e300]) expect(() => generate({ [name]: value })).toThrow('3.4e+38, found');
    }
    expect(() => generate({ repetitionPenalty: 1e-60 })).toThrow('from 1e-38 to 3.4e+38, found 1e-60');
  });

  it('refuse to ban every token, and no fewer', () => {
    const ban = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, id) => [id, -Infinity]));
    expect(() => generate({ logitBias: ban(4096) })).toThrow('above -Infinity for one token at least');
    expect(generate({ logitBias: ban(4095) }).logitBias.size).toBe(4095);
    expect(generate({ logitBias: { ...ban(4095), 4095: -100 } }).logitBias.size).toBe(4096);
  });

  it('take the ends of every range', () => {
    const least = {
      maxTokens: 0,
      temperature: 0,
      topP: 0,
      topK: 0,
      minP: 0,
      presencePenalty: -2,
      frequencyPenalty: -2,
      seed: 0,
      logprobs: 0,
    };
    const most = { topP: 1, minP: 1, presencePenalty: 2, frequencyPenalty: 2, seed: 2 ** 53 - 1, logprobs: 20 };
    expect(generate(least)).toMatchObject(least);
    expect(generate(most)).toMatchObject(most);
  });

  it('have the documented defaults', () => {
    const { maxTokens, ...rest } = defaults.generate;
    expect(generate(undefined)).toMatchObject({ ...rest, maxTokens: undefined, stop: [], logprobs: undefined });
    expect(defaults.generate).toMatchObject({
      maxTokens: 256,
      temperature: 0.7,
      topP: 0.9,
      topK: 0,
      minP: 0,
      repetitionPenalty: 1,
    });
  });

  it('draw a seed of their own each time, of 53 bits', () => {
    const seeds = Array.from({ length: 200 }, () => generate({}).seed);
    expect(new Set(seeds).size).toBe(200);
    expect(seeds.every((seed) => Number.isSafeInteger(seed) && seed >= 0)).toBe(true);
    expect(Math.max(...seeds)).toBeGreaterThan(2 ** 52);
  });

  it('refuse stop tokens that are not in the vocabulary, and take none', () => {
    expect(() => generate({ stopTokenIds: new Int32Array(257) })).toThrow('`stopTokenIds` to be at most 256 token ids');
    expect(() => generate({ stopTokenIds: [1, 4096] })).toThrow('`stopTokenIds[1]` to be an integer from 0 to 4095');
    expect(generate({ stopTokenIds: [] }).stopTokenIds).toEqual([]);
    expect(generate({ stopTokenIds: Int32Array.of(7) }).stopTokenIds).toEqual([7]);
  });

  it('read stop texts and biases', () => {
    expect(generate({ stop: '\n' }).stop).toEqual(['\n']);
    expect(generate({ stop: ['a', 'b'] }).stop).toEqual(['a', 'b']);
    expect([...generate({ logitBias: { 7: -5, 9: 0.5 } }).logitBias]).toEqual([
      [7, -5],
      [9, 0.5],
    ]);
    const asMap = new Map<unknown, number>([
      [7, -Infinity],
      ['9', 0.5],
    ]);
    const otherRealm = runInNewContext('new Map([[7, -Infinity], ["9", 0.5]])');
    for (const logitBias of [asMap, otherRealm, { 7: -Infinity, 9: 0.5 }]) {
      expect([...generate({ logitBias }).logitBias]).toEqual([
        [7, -Infinity],
        [9, 0.5],
      ]);
    }
  });
});

describe('options of load', () => {
  it.each<[keyof LoadOptions, unknown[], string]>([
    ['device', ['gpu', '', 5, null], "'auto', 'cpu' or 'cuda'"],
    ['threads', [0, 1.5, 1025, '2'], 'an integer from 1 to 1024'],
    ['contextSize', [0, -1, '8'], 'an integer from 1'],
    ['maxSequences', [0, 1025], 'an integer from 1 to 1024'],
    ['prefillChunk', [0, 65537], 'an integer from 1 to 65536'],
    ['kvCacheType', ['fp8', '', 'F32', 16, null], "'f32', 'bf16' or 'int8'"],
    ['weights', ['disk', '', 'Mapped', true, null], "'packed' or 'mapped'"],
    ['memoryLimit', [0, -1, 0.5, '70GiB'], 'an integer from 1'],
    ['prefixCache', [0, 'no', null], 'true or false'],
    ['tokenizer', ['', 5, null], 'the path of a tokenizer.model'],
    ['onProgress', [5, {}, null], 'a function'],
    ['signal', [5, {}, null], 'an AbortSignal'],
  ])('refuse a bad `%s`', (name, values, expectation) => {
    for (const value of values) {
      expect(() => load({ [name]: value })).toThrow(`Expected \`${name}\` to be ${expectation}`);
    }
  });

  it('leave to the engine what is not given', () => {
    expect(load(undefined).native).toEqual({
      device: 'auto',
      threads: 0,
      contextSize: 0,
      maxSequences: 0,
      prefillChunk: 0,
      kvCacheType: 'f32',
      weights: 'packed',
      prefixCache: true,
      memoryLimit: 0,
    });
  });

  it('pass the type of the key-value cache on', () => {
    for (const kvCacheType of ['f32', 'bf16', 'int8'] as const) {
      expect(load({ kvCacheType }).native.kvCacheType).toBe(kvCacheType);
    }
  });

  it('pass on where the weights are to be', () => {
    for (const weights of ['packed', 'mapped'] as const) expect(load({ weights }).native.weights).toBe(weights);
  });
});

describe('limits of a queue', () => {
  it('have defaults, and take the ends of their ranges', () => {
    expect(load({})).toMatchObject({ maxQueue: 1024, readTimeout: 5000 });
    expect(load({ maxQueue: 0, readTimeout: 2 ** 31 - 1 })).toMatchObject({ maxQueue: 0, readTimeout: 2 ** 31 - 1 });
    for (const off of [0, Infinity]) expect(load({ readTimeout: off }).readTimeout).toBe(0);
  });

  it('refuse what a queue or a timer cannot hold', () => {
    for (const maxQueue of [-1, 1.5, 2 ** 20 + 1, '8']) expect(() => load({ maxQueue })).toThrow('`maxQueue`');
    for (const readTimeout of [-1, Number.NaN, 2 ** 31, '60'])
      expect(() => load({ readTimeout })).toThrow('`readTimeout`');
  });
});

describe('token ids', () => {
  const tiny = { vocabSize: 10, contextSize: 8 };
  const small = { vocabSize: 4096, contextSize: 8 };

  it('are an array, or a typed array of integers', () => {
    expect(() => tokenIds('prompt', new Float32Array([1]), tiny)).toThrow('a text or an array of token ids');
    expect(tokenIds('ids', Int32Array.of(3, 1), tiny)).toEqual([3, 1]);
    expect(tokenIds('ids', Uint32Array.of(3, 1), tiny)).toEqual([3, 1]);
  });

  it('must be in the vocabulary, and at least one', () => {
    expect(() => tokenIds('prompt', [1, 4096], small)).toThrow('`prompt[1]` to be an integer from 0 to 4095');
    expect(() => tokenIds('prompt', [-1], small)).toThrow('`prompt[0]`');
    // biome-ignore lint: a hole in an array is the point
    expect(() => tokenIds('prompt', [1, , 2] as number[], small)).toThrow('`prompt[1]`');
    expect(() => tokenIds('prompt', [], small)).toThrow('at least one token');
    expect(tokenIds('prompt', [0, 4095], small)).toEqual([0, 4095]);
  });

  it('are not looked at one by one when the context has no room for so many', () => {
    const ids = new Int32Array(9).fill(-1);
    expect(tokenIds('prompt', ids, small)).toBe(ids);
  });
});

describe('nearestName', () => {
  it('finds nothing when nothing is close, or the name is absurd', () => {
    expect(nearestName('zebra', ['seed', 'stop'])).toBeUndefined();
    expect(nearestName('s'.repeat(100_000), ['seed', 'stop'])).toBeUndefined();
  });
});
