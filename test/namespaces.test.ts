import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { filesUnder } from './files-under.js';

// One namespace a room: the linker silently keeps one of two inline functions of one name.

interface Definition {
  namespace: string; // without anonymous ones, whose contents no other file can see
  name: string; // of a type, or of a function with the types of its parameters
}

interface Declarations {
  opened: string[]; // the namespaces that the file opens, but for anonymous ones
  definitions: Definition[];
}

/** The room of a native file and the room's namespace. Rooms are folders; core and the contract share `grok`. */
function roomOf(file: string): { room: string; namespace: string } | undefined {
  if (/^native\/backend\/[^/]+$/.test(file)) return { room: 'native/backend/', namespace: 'grok' };
  // The host twins of the CUDA room's own device.h.
  if (file === 'test/native/emulator/device.h') return { room: 'native/backend/cuda/', namespace: 'grok::cuda' };
  const [room, name = ''] = /^native\/(?:backend\/)?(\w+)\//.exec(file) ?? [];
  if (room) return { room, namespace: name === 'core' ? 'grok' : `grok::${name}` };
  const others: Record<string, string> = {
    'bench/': 'grok::bench',
    'test/fault/': 'grok::fault',
    'test/fuzz/': 'grok::fuzz',
    'test/native/emulator/': 'emulator',
    'test/native/support/': 'grok::testing',
  };
  const other = Object.keys(others).find((folder) => file.startsWith(folder));
  return other === undefined ? undefined : { room: other, namespace: others[other] ?? '' };
}

/** The code alone: no comments, preprocessor lines or contents of literals. */
function codeOf(source: string): string {
  return source
    .replaceAll(
      /\/\/.*|\/\*[\s\S]*?\*\/|R"(\w*)\([\s\S]*?\)\1"|"(?:\\.|[^"\\\n])*"|(?<!\w)'(?:\\.|[^'\\\n])+'/g,
      (found) => (found.startsWith('/') ? ' ' : '""'),
    )
    .replaceAll(/^[ \t]*#(?:.*\\\n)*.*$/gm, '');
}

/** The index behind the brace that closes the one at `open`. */
function behindBraces(code: string, open: number): number {
  let depth = 0;
  for (let at = open; at < code.length; ++at) {
    if (code[at] === '{') ++depth;
    if (code[at] === '}' && --depth === 0) return at + 1;
  }
  throw new Error(`a brace is not closed: ${code.slice(open, open + 80)}`);
}

/** "KvCacheType type, int head_dim = 1" becomes "KvCacheType,int". */
function parameterTypes(parameters: string): string {
  const types = parameters
    .split(',')
    .map((parameter) => parameter.replace(/=.*/s, '').trim())
    .map((parameter) => parameter.replace(/(?<=[\w>&*]\s*[ &*])\w+$/, '').replaceAll(/\s/g, ''));
  return types.join(',');
}

/** The type or function that a brace after `head` defines: "" for a class's member and main, undefined for neither. */
function definedBy(head: string): string | undefined {
  let plain = head
    .replaceAll(/\b(?:__launch_bounds__|alignas|decltype|noexcept)\s*\((?:[^()]|\([^()]*\))*\)/g, ' ')
    .trim();
  while (plain.startsWith('template')) plain = plain.replace(/^template\s*<(?:[^<>]|<[^<>]*>)*>/, '').trim();
  const type = /^(?:enum\s+class|enum|class|struct|union)\s+(\w+)[^(]*$/.exec(plain);
  if (type) return type[1];
  const called = /^[^=(]*?([\w:~]+)\s*\(((?:[^()]|\([^()]*\))*)\)/.exec(plain);
  if (!called) return undefined;
  return called[1]?.includes('::') || called[1] === 'main' ? '' : `${called[1]}(${parameterTypes(called[2] ?? '')})`;
}

function declarationsOf(source: string): Declarations {
  const found: Declarations = { opened: [], definitions: [] };
  const read = (code: string, namespace: string) => {
    let head = '';
    for (let at = 0; at < code.length; ) {
      if (code[at] === ';') {
        const alias = /^\s*using\s+(\w+)\s*=/.exec(head)?.[1];
        if (alias) found.definitions.push({ namespace, name: alias });
        head = '';
        ++at;
        continue;
      }
      if (code[at] !== '{') {
        head += code[at++];
        continue;
      }
      const end = behindBraces(code, at);
      const inner = code.slice(at + 1, end - 1);
      const [isNamespace, opened] = /^\s*namespace\b\s*([\w:]*)\s*$/.exec(head) ?? [];
      const name = definedBy(head);
      // A default argument, an initial value or a member's in a constructor's list ends nothing.
      const isWithin = name === undefined || /^\s*[,{]/.test(code.slice(end));
      if (opened) {
        const whole = namespace ? `${namespace}::${opened}` : opened;
        found.opened.push(whole);
        read(inner, whole);
      } else if (/^\s*extern\s*""\s*$/.test(head)) {
        read(inner, namespace);
      } else if (isWithin && isNamespace === undefined) {
        head += '{}';
        at = end;
        continue;
      } else if (name) {
        found.definitions.push({ namespace, name });
      }
      head = '';
      at = end;
    }
  };
  read(codeOf(source), '');
  return found;
}

/** Namespaces that a file opens and should not, or does not open and should. */
function wrongNamespaces(file: string, source: string): string[] {
  const home = roomOf(file);
  if (!home) return [`${file} lies in no room of the house`];
  const { opened, definitions } = declarationsOf(source);
  const wrong = opened.filter((namespace) => namespace !== home.namespace);
  if (wrong.length > 0) return [`${file} opens ${wrong.join(' and ')}; its room is ${home.namespace}`];
  // Files included inside a namespace, those that define nothing of their own and programs open none.
  const mayOpenNone = !file.startsWith('native/') || file.endsWith('.inc') || definitions.length === 0;
  return opened.length > 0 || mayOpenNone ? [] : [`${file} does not open ${home.namespace}`];
}

/** Definitions that exist in two rooms under one name. */
function definedTwice(files: readonly (readonly [file: string, source: string])[]): string[] {
  const rooms = new Map<string, Set<string>>();
  for (const [file, source] of files)
    for (const { namespace, name } of declarationsOf(source).definitions) {
      const key = `${namespace}::${name}`;
      rooms.set(key, (rooms.get(key) ?? new Set()).add(roomOf(file)?.room ?? file));
    }
  return [...rooms].filter(([, where]) => where.size > 1).map(([key, where]) => `${key}: ${[...where].join(', ')}`);
}

describe('one namespace a room', () => {
  it('is seen to be broken when it is', () => {
    const broken: [string, string][] = [
      ['native/backend/cpu/layout/kv_page.h', 'namespace grok { struct KvPlace {}; }'],
      ['native/backend/cpu/ops/norm.cpp', 'namespace grok::cuda {}'],
      ['native/backend/cuda/norm.cu', 'namespace grok { namespace cpu { void norm() {} } }'],
      ['native/core/json.h', 'namespace grok::core {}'],
      ['native/runtime/engine.h', '// namespace grok::runtime {}\nclass Engine {};'],
      ['test/native/emulator/device.h', 'namespace grok { inline void copy() {} }'],
      ['native/strings.h', 'namespace grok {}'],
    ];
    for (const [file, source] of broken) expect(wrongNamespaces(file, source), `${file}: ${source}`).toHaveLength(1);
  });

  it('is seen to be kept when it is', () => {
    const kept: [string, string][] = [
      ['native/core/json.h', 'namespace grok { class JsonReader; }'],
      ['native/backend/backend.h', 'namespace grok { namespace { int a; } struct Backend {}; }'],
      ['native/backend/cpu/isa/kernels.inc', 'inline float sum(Vec value) { return value[0]; }'],
      ['native/napi/napi_setup.h', '#pragma once\n#include <napi.h>'],
      ['native/napi/addon.cpp', 'namespace grok::napi { } static int start() { return 0; }'],
    ];
    for (const [file, source] of kept) expect(wrongNamespaces(file, source)).toEqual([]);
  });

  it('holds in every native file', () => {
    const files = filesUnder('native', /\.(h|inc|cpp|cu|cuh)$/);
    expect(files.length).toBeGreaterThan(0);
    expect(files.flatMap((file) => wrongNamespaces(file, readFileSync(file, 'utf8')))).toEqual([]);
  });
});

describe('a type or function of one name in two rooms', () => {
  const twice = (first: string, second: string) =>
    definedTwice([
      ['native/backend/cpu/a.h', first],
      ['bench/b.h', second],
    ]);

  it('is seen', () => {
    const same: [string, string][] = [
      [
        'namespace grok {\nconstexpr std::size_t kv_head_bytes(KvCacheType type, int head_dim) { return 1; }\n}',
        'namespace grok { inline std::size_t kv_head_bytes(KvCacheType kind, int d = 8) { return 2; } }',
      ],
      ['namespace grok { struct Candidate { int a; }; }', 'namespace grok { class Candidate final : Base {}; }'],
      ['namespace grok { using Jobs = std::list<int>; }', 'namespace grok::x {} namespace grok { struct Jobs {}; }'],
      ['namespace grok::cpu { enum class A { b }; }', 'namespace grok { namespace cpu { enum A { c }; } }'],
      [
        'namespace grok { A::A(int x) : x_{x}, y_(x) {} inline void f() {} }',
        'extern "C" { int k[2] = {1, 2}; } namespace grok { void A::g(B b = {}) {} int n = 1; void f() {} }',
      ],
      [
        'namespace grok { template <typename T, typename U = F<T>>\n__device__ T sum(const T& a) { return a; } }',
        '#define A {\nnamespace grok { const char* k = "}"; template <int> auto sum(const T& b) noexcept(true) { } }',
      ],
    ];
    for (const [first, second] of same) expect(twice(first, second), `${first} and ${second}`).toHaveLength(1);
  });

  it('is not seen where there is none', () => {
    const different: [string, string][] = [
      ['namespace grok::cpu { struct A {}; }', 'namespace grok::bench { struct A {}; }'],
      ['namespace grok { namespace { struct A {}; } }', 'namespace grok { struct A {}; }'],
      [
        'namespace grok { int size_of(DType type) { return 1; } }',
        'namespace grok { int size_of(Kind kind) { return 1; } }',
      ],
      ['namespace grok { struct A; int f(A a); }', 'namespace grok { struct A { int f(A a) { return 1; } }; }'],
      ['namespace grok { void A::run(int i) {} }', 'namespace grok { void B::run(int i) {} }'],
      ['namespace grok { void f(A a = {}, int b = 1); }', 'namespace grok { void f(A a, int b) {} }'],
    ];
    for (const [first, second] of different) expect(twice(first, second), `${first} and ${second}`).toEqual([]);
  });

  it('is nowhere in the house, the emulator, the tests or the benchmarks', () => {
    const folders = ['native', 'bench', 'test/native/emulator', 'test/native/support', 'test/fuzz', 'test/fault'];
    const files = folders.flatMap((folder) => filesUnder(folder, /(?<!\.test)\.(h|cpp|cu|cuh)$/));
    const sources = files.map((file) => [file, readFileSync(file, 'utf8')] as const);
    expect(sources.flatMap(([, source]) => declarationsOf(source).definitions).length).toBeGreaterThan(300);
    expect(definedTwice(sources)).toEqual([]);
  });
});
