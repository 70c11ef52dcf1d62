import { readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { describe, expect, it } from 'vitest';
import { filesUnder } from './files-under.js';

// Who may know whom (docs/ARCHITECTURE.md). An entry ending in "/" allows a whole room, any other one file.
// The first entry that a path begins with is its room, and a room may always include its own files.
const NATIVE_ARROWS: Record<string, readonly string[]> = {
  'native/core/': [],
  'native/platform/': ['core/'],
  'native/threads/': ['platform/', 'core/'],
  'native/format/': ['platform/', 'core/'],
  'native/backend/sampling_options.inc': [],
  'native/backend/backend.h': ['backend/sampling_options.inc', 'core/'],
  'native/backend/cpu/layout/': ['backend/backend.h', 'threads/', 'platform/', 'core/'],
  'native/backend/cpu/isa/': ['backend/cpu/layout/', 'backend/backend.h', 'platform/', 'core/'],
  'native/backend/cpu/probe/': [
    'backend/cpu/isa/',
    'backend/cpu/layout/host_memory.h',
    'threads/',
    'platform/',
    'core/',
  ],
  'native/backend/cpu/ops/': [
    'backend/cpu/cpu_backend.h',
    'backend/cpu/footprint.h',
    'backend/cpu/isa/',
    'backend/cpu/layout/',
    'backend/backend.h',
    'threads/',
    'core/',
  ],
  'native/backend/cpu/': [
    'backend/cpu/isa/',
    'backend/cpu/layout/',
    'backend/backend.h',
    'threads/',
    'platform/',
    'core/',
  ],
  'native/backend/cuda/': ['backend/backend.h', 'core/'],
  'native/model/': ['backend/backend.h', 'format/json_file.h', 'format/tensor_source.h', 'core/'],
  // The composition root: the one place that picks a backend and a format, by their factories.
  'native/runtime/': [
    'model/',
    'backend/backend.h',
    'backend/cpu/cpu.h',
    'backend/cpu/probe/probe.h',
    'backend/cuda/cuda.h',
    'format/',
    'platform/',
    'core/',
  ],
  'native/napi/': ['runtime/', 'core/'],
};

// Headers in angle brackets, and the room that may include them; the first that matches counts.
const OUTSIDE_HEADERS: readonly { header: RegExp; room: string; folder?: RegExp }[] = [
  { header: /^(napi|node_api|js_native_api|uv|v8|node)(-inl)?\.h$/, room: 'native/napi/' },
  { header: /^(cuda.*|cub\/.*|cooperative_groups.*|mma\.h|nv.*\.h)$/, room: 'native/backend/cuda/' },
  // The host twins of backend/cuda/device.h, which only the tests have.
  { header: /^emulator\/.*$/, room: 'native/backend/cuda/' },
  // Intrinsics, which the compiler brings for any system.
  {
    header: /^(immintrin|smmintrin|cpuid|arm_neon|wasm_simd128)\.h$/,
    room: 'native/backend/cpu/',
    folder: /^native\/backend\/cpu\/(isa|probe)\//,
  },
  // Headers of C++ have no dot and no slash. All others are the system's, and so are those of C++ that lead to its calls.
  {
    header: /[./]|^(cerrno|csetjmp|csignal|ctime)$/,
    room: 'native/platform/',
    folder: /^native\/platform\/\w+\//, // its own headers serve every system
  },
];

// Words that only code for one system has.
const SYSTEM_WORDS = /\b(__linux__|__APPLE__|_WIN32|__EMSCRIPTEN__)\b|"\/(proc|sys|dev)\b/g;

function nativeRoomOf(file: string): string | undefined {
  return Object.keys(NATIVE_ARROWS).find((prefix) => file.startsWith(prefix));
}

/** The forbidden includes of a native file. `file` is relative to the project. */
function brokenIncludes(file: string, source: string): string[] {
  const room = nativeRoomOf(file);
  if (room === undefined) return [`${file} lies in no room of the house`];
  const allowed = NATIVE_ARROWS[room] ?? [];
  const broken: string[] = [];
  for (const [, bracket, header = ''] of source.matchAll(/^\s*#\s*include\s*([<"])([^>"]+)[>"]/gm)) {
    const systemFolder = /^platform\/\w+\//.exec(header)?.[0];
    if (bracket === '<') {
      const owner = OUTSIDE_HEADERS.find((rule) => rule.header.test(header));
      if (owner && !(owner.folder?.test(file) ?? file.startsWith(owner.room)))
        broken.push(`${file} includes <${header}>, which belongs in ${owner.folder ?? owner.room}`);
    } else if (systemFolder && !file.startsWith(`native/${systemFolder}`)) {
      broken.push(`${file} includes "${header}", which is private to native/${systemFolder}`);
    } else if (
      nativeRoomOf(`native/${header}`) !== room &&
      !allowed.some((prefix) => (prefix.endsWith('/') ? header.startsWith(prefix) : header === prefix))
    ) {
      broken.push(`${file} includes "${header}"; allowed: its own room, ${allowed.join(', ')}`);
    }
  }
  if (room !== 'native/platform/')
    for (const [word] of source.matchAll(SYSTEM_WORDS))
      broken.push(`${file} has ${word}, which belongs in native/platform/`);
  return broken;
}

// The rooms of lib. A file may import its own room, those named here and the files of lib/ itself, which know no room.
// index.ts is the door, and may import all of them. A type may come from anywhere: no code follows it.
const LIB_ARROWS: Record<string, readonly string[]> = {
  'lib/': [],
  'lib/options/': [],
  'lib/addon/': ['lib/options/'],
  'lib/checkpoint/': ['lib/addon/', 'lib/options/'],
  'lib/text/': ['lib/addon/', 'lib/options/'],
  'lib/chat/': ['lib/options/', 'lib/text/'],
  'lib/engine/': ['lib/addon/', 'lib/options/', 'lib/checkpoint/', 'lib/text/', 'lib/chat/'],
  'lib/bench/': ['lib/addon/', 'lib/options/', 'lib/checkpoint/', 'lib/text/', 'lib/engine/'],
};

// Rooms outside lib, and the doors that they may use.
const OUTER_ARROWS: Record<string, readonly string[]> = {
  'server/': ['lib/index.js'],
  'bin/': ['lib/index.js', 'server/index.js'],
};

function libRoomOf(file: string): string {
  return /^lib\/[^/]+\//.exec(file)?.[0] ?? 'lib/';
}

/** The forbidden imports of a TypeScript file. `file` is relative to the project. */
function brokenImports(file: string, source: string): string[] {
  const broken: string[] = [];
  const room = libRoomOf(file);
  if (file.startsWith('lib/') && !LIB_ARROWS[room]) return [`${file} lies in no room of lib`];
  if (
    /(?<!\bimport\()['"]node-gyp-build['"]|\.node['"`]/.test(source) &&
    !/^lib\/addon\/(loader|node-gyp-build\.d)\.ts$/.test(file)
  )
    broken.push(`${file} loads the addon; only lib/addon/loader.ts may`);
  const withoutTypes = source.replace(/^(import|export) type [^;]*;/gm, '');
  for (const [, specifier = ''] of withoutTypes.matchAll(
    /(?:\bfrom\s*|\bimport\s*\(?\s*|\brequire\s*\(\s*)['"]([^'"]+)['"]/g,
  )) {
    if (!specifier.startsWith('.')) continue;
    const target = normalize(join(dirname(file), specifier));
    const outer = Object.keys(OUTER_ARROWS).find((outerRoom) => file.startsWith(outerRoom));
    if (outer !== undefined) {
      const doors = OUTER_ARROWS[outer] ?? [];
      if (target.startsWith(outer) || doors.includes(target)) continue;
      broken.push(`${file} imports ${specifier}; ${outer} may know itself and ${doors.join(', ')}`);
    } else if (!target.startsWith('lib/')) {
      broken.push(`${file} imports ${specifier}; lib may know lib only`);
    } else if (file !== 'lib/index.ts' && target !== 'lib/index.js') {
      const allowed = [...(LIB_ARROWS[room] ?? []), room, 'lib/'];
      if (!allowed.includes(libRoomOf(target)))
        broken.push(`${file} imports ${specifier}; allowed: ${allowed.join(', ')}`);
    } else if (target === 'lib/index.js') {
      broken.push(`${file} imports ${specifier}, the door, from within`);
    }
  }
  return broken;
}

describe('the arrows between native rooms', () => {
  it('are seen to be broken when they are', () => {
    const broken: [string, string][] = [
      ['native/core/tensor.h', '#include "format/tensor_source.h"'],
      ['native/backend/backend.h', '#include "backend/cpu/cpu.h"'],
      ['native/backend/cpu/ops/norm.cpp', '#include "backend/cuda/cuda.h"'],
      ['native/backend/cpu/ops/norm.cpp', '#include "model/config.h"'],
      ['native/model/forward.cpp', '  #  include "backend/cpu/cpu.h"'],
      ['native/model/weights.cpp', '#include "format/pickle.h"'],
      ['native/runtime/engine.cpp', '#include "backend/cpu/isa/kernels.h"'],
      ['native/runtime/engine.cpp', '#include <napi.h>'],
      ['native/napi/addon.cpp', '#include "model/forward.h"'],
      ['native/backend/cpu/ops/norm.cpp', '#include <cuda_runtime.h>'],
      ['native/runtime/engine.cpp', '#include <emulator/device.h>'],
      ['native/runtime/available_memory.cpp', '#include <sys/sysinfo.h>'],
      ['native/runtime/disk_probe.cpp', '#include <fcntl.h>'],
      ['native/format/mapped_file.cpp', '#include <csignal>'],
      ['native/threads/thread_pool.cpp', '#include <pthread.h>'],
      ['native/backend/cpu/ops/norm.cpp', '#include <sched.h>'],
      ['native/backend/cuda/upload.cpp', '#include <windows.h>'],
      ['native/core/json.cpp', '#include <immintrin.h>'],
      ['native/backend/cpu/ops/norm.cpp', '#include <immintrin.h>'],
      ['native/backend/cpu/layout/packing.h', '#include "backend/cpu/isa/kernels.h"'],
      ['native/backend/cpu/isa/kernels.h', '#include "backend/cpu/ops/tasks.h"'],
      ['native/backend/cpu/cpu_backend.h', '#include "backend/cpu/ops/tasks.h"'],
      ['native/platform/file.h', '#include <dirent.h>'],
      ['native/platform/file.h', '#include "platform/linux/file_error.h"'],
      ['native/format/mapped_file.cpp', '#include "platform/linux/file_error.h"'],
      ['native/platform/windows/file.cpp', '#include "platform/linux/file_error.h"'],
      ['native/platform/linux/file.cpp', '#include "threads/thread_pool.h"'],
      ['native/threads/idle_cores.cpp', 'std::ifstream stat("/proc/stat");'],
      ['native/backend/cpu/ops/norm.cpp', '#if defined(__linux__)'],
      ['native/helpers/strings.h', '#include <string>'],
    ];
    for (const [file, source] of broken) expect(brokenIncludes(file, source), `${file}: ${source}`).toHaveLength(1);
  });

  it('are seen to be kept when they are', () => {
    const kept: [string, string][] = [
      ['native/runtime/engine.cpp', '#include "backend/cpu/cpu.h"\n#include "model/forward.h"\n#include <vector>'],
      ['native/napi/addon.cpp', '#include <napi.h>\n#include "runtime/engine.h"'],
      ['native/backend/cuda/norm.cu', '#include <cuda_runtime.h>\n#include "backend/cuda/check.h"'],
      ['native/platform/linux/file.cpp', '#include <sys/stat.h>\n#include "platform/linux/file_error.h"'],
      ['native/platform/linux/file.cpp', '#include "platform/file.h"\nstd::ifstream stat("/proc/stat");'],
      ['native/backend/cpu/isa/kernels_avx2.cpp', '#include <immintrin.h>\n#include "platform/cpu_features.h"'],
      ['native/backend/cpu/cpu_backend.cpp', '#include "backend/cpu/cpu.h"\n#include "backend/cpu/isa/kernels.h"'],
    ];
    for (const [file, source] of kept) expect(brokenIncludes(file, source)).toEqual([]);
  });

  it('hold in every native file', () => {
    const files = filesUnder('native', /\.(h|inc|cpp|cu|cuh)$/);
    expect(files.length).toBeGreaterThan(0);
    expect(files.flatMap((file) => brokenIncludes(file, readFileSync(file, 'utf8')))).toEqual([]);
  });
});

describe('the arrows between bin, server, lib and the addon', () => {
  it('are seen to be broken when they are', () => {
    const broken: [string, string][] = [
      ['bin/commands/run.ts', `import { Grok } from '../../lib/engine/grok.js';`],
      ['bin/grok-run.ts', `import { addon } from '../lib/addon/loader.js';`],
      ['bin/commands/serve.ts', `import { makeApp } from '../../server/app.js';`],
      ['server/app.ts', `import { Generation } from '../lib/engine/generation.js';`],
      ['server/app.ts', `import { Printer } from '../bin/printer.js';`],
      ['lib/index.ts', `export { createServer } from '../server/index.js';`],
      ['bin/grok-run.ts', `import nodeGypBuild from 'node-gyp-build';`],
      ['bin/grok-run.ts', `const addon = createRequire(import.meta.url)('../build/Release/grok-run.node');`],
      ['lib/engine/grok.ts', `const addon = require('/opt/grok-run.node');`],
      ['lib/engine/grok.ts', `const { main } = await import('../../bin/grok-run.js');`],
      ['lib/engine/grok.ts', `import { benchmark } from '../bench/benchmark.js';`],
      ['lib/engine/grok.ts', `import { version } from '../index.js';`],
      ['lib/checkpoint/verify.ts', `import { type Grok, Generation } from '../engine/grok.js';`],
      ['lib/errors.ts', `import { integer } from './options/checks.js';`],
      ['lib/helpers/strings.ts', `import { join } from 'node:path';`],
    ];
    for (const [file, source] of broken) expect(brokenImports(file, source), `${file}: ${source}`).toHaveLength(1);
  });

  it('are seen to be kept when they are', () => {
    const kept: [string, string][] = [
      ['bin/commands/run.ts', `import { Grok } from '../../lib/index.js';`],
      ['bin/commands/serve.ts', `const { createServer } = await import('../../server/index.js');`],
      [
        'server/routes/models.ts',
        `import { version } from '../../lib/index.js';\nimport { HttpError } from '../http/http-error.js';`,
      ],
      ['lib/index.ts', `export { report } from './bench/report.js';`],
      [
        'lib/options/load.ts',
        `import type {\n  Grok,\n} from '../engine/grok.js';\nimport { GrokError } from '../errors.js';`,
      ],
      [
        'lib/bench/report.ts',
        `import { Grok } from '../engine/grok.js';\nimport { peakMemory } from './peak-memory.js';`,
      ],
    ];
    for (const [file, source] of kept) expect(brokenImports(file, source)).toEqual([]);
  });

  it('hold in every TypeScript file', () => {
    const files = ['lib', 'server', 'bin'].flatMap((folder) => filesUnder(folder, /\.ts$/));
    expect(files.length).toBeGreaterThan(0);
    expect(files.flatMap((file) => brokenImports(file, readFileSync(file, 'utf8')))).toEqual([]);
  });
});

describe('error codes', () => {
  it('are the same in native/core/error.h and in lib/errors.ts', () => {
    const codes = (file: string) => [...new Set(readFileSync(file, 'utf8').match(/\bGROK_[A-Z_]+\b/g))].sort();
    const native = codes('native/core/error.h');
    expect(native).toContain('GROK_BAD_CHECKPOINT');
    // lib has codes of its own besides, for what fails before or above the addon.
    expect(codes('lib/errors.ts')).toEqual(expect.arrayContaining(native));
  });
});
