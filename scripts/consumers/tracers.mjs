// Programs whose files are copied elsewhere by a tracer, which reads source text to find them.
import { cpSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';

function nft(name, main) {
  return {
    name: `@vercel/nft, ${name}`,
    packages: ['@vercel/nft'],
    async check(kit) {
      const list = await kit.script(`
        import { nodeFileTrace } from '@vercel/nft';
        const { fileList } = await nodeFileTrace([${JSON.stringify(main)}], { base: process.cwd() });
        console.log(JSON.stringify([...fileList]));`);
      const far = kit.emptyFolder();
      for (const file of JSON.parse(list)) {
        mkdirSync(dirname(join(far, file)), { recursive: true });
        cpSync(join(kit.folder, file), join(far, file));
      }
      return [[`${JSON.parse(list).length} files`, kit.mustRun(await kit.node([join(far, main)], { cwd: far }))]];
    },
  };
}

/** A route that runs the program. */
const route = `
import { Grok } from 'grok-run';
export const dynamic = 'force-dynamic';
export async function GET() {
  try {
    const grok = await Grok.load();
    const { text } = await grok.complete('Once upon a time', { maxTokens: 12, temperature: 0 });
    await grok.close();
    return Response.json({ text });
  } catch ({ code, message, hint }) {
    return Response.json({ code, message, hint });
  }
}
`;

function next(bundler, config) {
  const external = 'serverExternalPackages' in config;
  return {
    name: `Next ${bundler}, ${external ? 'external' : 'without a setting'}`,
    folder: 'next',
    installsItself: true,
    packages: ['next', 'react', 'react-dom'],
    isOnlyInAll: bundler === 'webpack' || !external,
    async check(kit) {
      rmSync(join(kit.folder, '.next'), { recursive: true, force: true });
      kit.write('app/layout.js', 'export default ({ children }) => <html><body>{children}</body></html>;');
      kit.write('app/grok/route.js', route);
      kit.write('next.config.mjs', `export default ${JSON.stringify({ output: 'standalone', ...config })};`);
      await kit.bin('next', ['build', `--${bundler}`], { env: { NEXT_TELEMETRY_DISABLED: '1' } });
      // Moved, so that nothing of the build's folder is found.
      const far = kit.emptyFolder();
      cpSync(join(kit.folder, '.next', 'standalone'), far, { recursive: true, verbatimSymlinks: true });
      const server = readdirSync(far, { recursive: true }).find(
        (file) => /(^|[\\/])server\.js$/.test(file) && !file.includes('node_modules'),
      );
      const hidden = kit.hide();
      try {
        const answer = await kit.request(join(far, server), '/grok');
        return [['standalone', external ? kit.mustRun(answer) : kit.mustRunOrAdvise(answer)]];
      } finally {
        hidden.show();
      }
    },
  };
}

export const tracers = [
  nft('import', 'program.mjs'),
  nft('require', 'program.cjs'),
  next('turbopack', { serverExternalPackages: ['grok-run'] }),
  next('turbopack', {}),
  next('webpack', { serverExternalPackages: ['grok-run'] }),
  next('webpack', {}),
];
