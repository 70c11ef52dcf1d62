// Bundlers, each with grok-run external and with grok-run bundled. A bundle beside an installed grok-run uses that package's
// files; a bundle far from one must say what to do.
import { cpSync } from 'node:fs';
import { join } from 'node:path';

/** Bundled code is run beside node_modules and in a folder without one. `build(isExternal)` returns the bundle's folder and main file. */
async function bothWays(kit, build) {
  const rows = [];
  const external = await build(true);
  rows.push(['external', kit.mustRun(await kit.node([join(external.folder, external.main)]))]);
  const bundled = await build(false);
  rows.push(['bundled, installed beside', kit.mustRun(await kit.node([join(bundled.folder, bundled.main)]))]);
  const far = kit.emptyFolder();
  cpSync(bundled.folder, far, { recursive: true });
  rows.push(['bundled, alone', kit.mustRunOrAdvise(await kit.node([join(far, bundled.main)], { cwd: far }))]);
  return rows;
}

function esbuild(format) {
  return {
    name: `esbuild, ${format}`,
    packages: ['esbuild'],
    check: (kit) =>
      bothWays(kit, async (isExternal) => {
        const folder = kit.emptyFolder('out');
        const main = format === 'esm' ? 'main.mjs' : 'main.cjs';
        const external = isExternal ? ['--external:grok-run'] : [];
        const flags = ['--bundle', '--platform=node', '--log-level=error', `--format=${format}`, ...external];
        await kit.bin('esbuild', ['program.mjs', ...flags, `--outfile=${join(folder, main)}`]);
        return { folder, main };
      }),
  };
}

function rollup(format) {
  return {
    name: `rollup, ${format}`,
    packages: ['rollup', '@rollup/plugin-node-resolve', '@rollup/plugin-commonjs', '@rollup/plugin-json'],
    check: (kit) =>
      bothWays(kit, async (isExternal) => {
        const folder = kit.emptyFolder('out');
        const extension = format === 'es' ? 'mjs' : 'cjs';
        const flags = ['-f', format, '-d', folder, '--entryFileNames', `[name].${extension}`, '--silent'];
        const plugins = ['node-resolve', 'commonjs', 'json'].flatMap((name) => ['-p', `@rollup/plugin-${name}`]);
        const external = isExternal ? ['--external', 'grok-run'] : [];
        await kit.bin('rollup', ['program.mjs', ...flags, ...plugins, ...external]);
        return { folder, main: `program.${extension}` };
      }),
  };
}

function webpack(format) {
  return {
    name: `webpack, ${format}`,
    packages: ['webpack'],
    check: (kit) =>
      bothWays(kit, async (isExternal) => {
        const folder = kit.emptyFolder('out');
        const main = format === 'esm' ? 'main.mjs' : 'main.cjs';
        const config = {
          mode: 'production',
          target: 'node20',
          context: kit.folder,
          entry: './program.mjs',
          output: { path: folder, filename: main, ...(format === 'esm' && { module: true, chunkFormat: 'module' }) },
          experiments: { outputModule: format === 'esm' },
          externals: isExternal ? { 'grok-run': format === 'esm' ? 'module grok-run' : 'commonjs grok-run' } : {},
        };
        await kit.script(`
          import webpack from 'webpack';
          webpack(${JSON.stringify(config)}, (error, stats) => {
            const { errors = [], warnings = [] } = stats?.toJson({ all: false, errors: true, warnings: true }) ?? {};
            for (const { message } of [...errors, ...warnings]) console.error(message);
            if (error) console.error(error);
            process.exitCode = error || errors.length + warnings.length > 0 ? 1 : 0;
          });`);
        return { folder, main };
      }),
  };
}

const vite = {
  name: 'vite, ssr',
  packages: ['vite'],
  check: (kit) =>
    bothWays(kit, async (isExternal) => {
      const folder = kit.emptyFolder('out');
      await kit.script(`
        import { build } from 'vite';
        await build({
          root: ${JSON.stringify(kit.folder)},
          configFile: false,
          logLevel: 'warn',
          ssr: ${isExternal ? '{}' : '{ noExternal: true }'},
          build: { ssr: 'program.mjs', outDir: ${JSON.stringify(folder)}, emptyOutDir: false },
        });`);
      return { folder, main: 'program.mjs' };
    }),
};

const rolldown = {
  name: 'rolldown',
  packages: ['rolldown'],
  check: (kit) =>
    bothWays(kit, async (isExternal) => {
      const folder = kit.emptyFolder('out');
      const external = isExternal ? ['--external', 'grok-run'] : [];
      await kit.bin('rolldown', [
        'program.mjs',
        '--platform',
        'node',
        '-d',
        folder,
        '--entry-file-names',
        '[name].mjs',
        ...external,
      ]);
      return { folder, main: 'program.mjs' };
    }),
};

export const bundlers = [
  esbuild('esm'),
  esbuild('cjs'),
  rollup('es'),
  rollup('cjs'),
  webpack('esm'),
  webpack('cjs'),
  vite,
  rolldown,
];
