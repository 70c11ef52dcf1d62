// Writes dist/cjs/, the library and the server for `require` and for TypeScript that compiles to CommonJS. Node could load
// the ES modules by `require`, but Jest, Yarn's Plug'n'Play and TypeScript's node16 cannot.
import { appendFileSync, cpSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { rolldown } from 'rolldown';

const output = join('dist', 'cjs');
const doors = { 'lib/index': 'dist/lib/index.js', 'server/index': 'dist/server/index.js' };
const packages = /^[^./]/;
// As tracedFiles() in lib/package-root.ts, which is not in the bundle because nobody calls it.
const traced = `
function tracedFiles() {
  const { join } = require('node:path');
  const directories = [join(__dirname, '../../../prebuilds/'), join(__dirname, '../../../models/grok-tiny/')];
  return [...directories, require('node-gyp-build'), require('@agnai/sentencepiece-js')];
}
`;

rmSync(output, { recursive: true, force: true });
const bundle = await rolldown({ input: doors, platform: 'node', external: packages });
await bundle.write({ dir: output, format: 'cjs' });
await bundle.close();
appendFileSync(join(output, 'lib', 'index.js'), traced);
for (const room of ['lib', 'server']) {
  const filter = (path) => !/\.(js|map)$/.test(path);
  cpSync(join('dist', room), join(output, room), { recursive: true, filter });
}
writeFileSync(join(output, 'package.json'), '{ "type": "commonjs" }\n');
