// What npm runs after `npm install` in a clone: the whole build.
import { spawnSync } from 'node:child_process';

// npx in a clone links the clone into its cache and runs this again, with all output hidden: a build that fails there would
// end in silence. `npm pack` and `npm publish` have built already, in `prepack`.
if (!['exec', 'pack', 'publish'].includes(process.env.npm_command))
  process.exit(spawnSync('npm', ['run', 'build'], { stdio: 'inherit' }).status ?? 1);
