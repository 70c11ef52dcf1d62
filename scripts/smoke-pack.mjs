// Packs the package, installs the tarball in an empty folder with scripts disabled, and uses it there like a new user.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const PROMPT = 'Once upon a time';
const folder = mkdtempSync(join(tmpdir(), 'grok-run-smoke-'));
const consumer = join(folder, 'consumer');
mkdirSync(consumer);

// Settings of the npm script that runs this must not affect the user's npm.
const env = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !name.startsWith('npm_') && !name.startsWith('GROK_')),
);

function run(step, program, args, { cwd = consumer, timeoutS = 60 } = {}) {
  const started = performance.now();
  try {
    const stdout = execFileSync(program, args, {
      cwd,
      env,
      encoding: 'utf8',
      timeout: timeoutS * 1000,
      maxBuffer: 64e6,
    });
    console.log(`ok  ${step} (${((performance.now() - started) / 1000).toFixed(1)} s)`);
    return stdout;
  } catch (error) {
    console.error(`FAILED  ${step}: ${error.message}\n${error.stdout ?? ''}`);
    process.exit(1);
  }
}

function expect(condition, sentence) {
  if (condition) return;
  console.error(`FAILED  ${sentence}`);
  process.exit(1);
}

/** Loads the embedded model, completes the prompt and prints the text; the same in each kind of module. */
const useIt = (getGrok) => `
  ${getGrok}
  const grok = await Grok.load();
  const { text } = await grok.complete(${JSON.stringify(PROMPT)}, { maxTokens: 16, temperature: 0 });
  await grok.close();`;

try {
  run('npm pack', 'npm', ['pack', '--ignore-scripts', '--loglevel', 'error', '--pack-destination', folder], {
    cwd: process.cwd(),
  });
  const tarball = readdirSync(folder).find((file) => file.endsWith('.tgz'));
  expect(tarball, 'npm pack left no tarball');

  writeFileSync(join(consumer, 'package.json'), JSON.stringify({ name: 'consumer', version: '1.0.0', private: true }));
  run(
    'npm install --ignore-scripts',
    'npm',
    ['install', '--ignore-scripts', '--no-audit', '--no-fund', join(folder, tarball)],
    {
      timeoutS: 300,
    },
  );
  // A clean install follows the lockfile. npm has been known to start node-gyp by itself in that case.
  run('npm ci', 'npm', ['ci', '--no-audit', '--no-fund'], { timeoutS: 300 });
  expect(!existsSync(join(consumer, 'node_modules', 'grok-run', 'build')), 'installing the package ran a build');

  const load = {
    'import.mjs': `${useIt(`import { Grok } from 'grok-run';`)}\nconsole.log(text);`,
    'require.cjs': `const { Grok } = require('grok-run');\n(async () => {${useIt('')}\nconsole.log(text);\n})();`,
    'worker.mjs': `
      import { isMainThread, parentPort, Worker } from 'node:worker_threads';
      if (isMainThread) {
        new Worker(new URL(import.meta.url)).on('message', (text) => console.log(text));
      } else {${useIt(`const { Grok } = await import('grok-run');`)}
        parentPort.postMessage(text);
      }`,
  };
  const texts = Object.entries(load).map(([file, source]) => {
    writeFileSync(join(consumer, file), source);
    return run(`node ${file}`, 'node', [file]).trim();
  });
  expect(texts[0].length > 0, 'import: the completion is empty');
  for (const text of texts)
    expect(text === texts[0], `expected the same greedy text everywhere, found ${JSON.stringify(texts)}`);

  writeFileSync(
    join(consumer, 'server.mjs'),
    `import { Grok } from 'grok-run';
    import { createServer } from 'grok-run/server';
    const grok = await Grok.load();
    const server = createServer(grok);
    const { port } = await server.listen(0);
    const body = JSON.stringify({ prompt: ${JSON.stringify(PROMPT)}, max_tokens: 16, temperature: 0, echo: true });
    const answer = await fetch('http://127.0.0.1:' + port + '/v1/completions', { method: 'POST', body });
    console.log((await answer.json()).choices[0].text);
    await server.close();
    await grok.close();`,
  );
  const served = run('node server.mjs', 'node', ['server.mjs']).trim();
  expect(served.startsWith(PROMPT), `expected the server to continue the prompt, found ${JSON.stringify(served)}`);

  const { version } = JSON.parse(
    run('node -p version', 'node', ['-p', 'JSON.stringify(require("grok-run/package.json"))']),
  );
  const printed = run('grok-run --version', 'npx', ['--no-install', 'grok-run', '--version']);
  expect(printed.includes(version), `expected --version to print ${version}, found ${printed}`);
  const story = run(`npx grok-run "${PROMPT}"`, 'npx', ['--no-install', 'grok-run', PROMPT]);
  expect(story.trim().length > 0, 'npx grok-run printed nothing');
  console.log(`smoke: all steps passed; the story begins: ${JSON.stringify(story.slice(0, 60))}`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
