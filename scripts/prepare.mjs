// Runs the whole build, after `npm install` in a clone.
import { spawnSync } from 'node:child_process';

// npx in a clone links the clone into its cache and runs this again with all output hidden, so a failing build would be
// silent. `npm pack` and `npm publish` have already built in `prepack`.
if (!['exec', 'pack', 'publish'].includes(process.env.npm_command))
  process.exit(spawnSync('npm', ['run', 'build'], { stdio: 'inherit' }).status ?? 1);
