// Joins the compiled modules of the CLI into a few files: Node.js spends 60 ms at each start on reading them one by one.
// Packages that npm installs stay outside.
import { chmodSync } from 'node:fs';
import { rolldown } from 'rolldown';

const packages = /^[^./]/;
const bundle = await rolldown({ input: 'dist/bin/grok-run.js', platform: 'node', external: packages });
await bundle.write({ dir: 'dist/bin', format: 'esm', cleanDir: true });
await bundle.close();
chmodSync('dist/bin/grok-run.js', 0o755);
