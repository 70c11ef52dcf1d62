// The actions that a consumer is written with: writing its files, running its tools, and judging the program's output.
import { execFile, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, renameSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const TIMEOUT_MS = 300_000;

// Settings of the npm script that runs this must not affect the consumers' npm.
const inherited = Object.entries(process.env).filter(([name]) => !/^(npm_|GROK_|NODE_OPTIONS$)/.test(name));

export class Kit {
  /** The consumer's folder. */
  folder;
  tarball;
  #root;
  #tools;
  #reference;
  #env;
  #numScripts = 0;

  /** `root` holds all folders, `tools` the installed tools; `reference` is the text that the program must print. */
  constructor({ root, tools, folder, tarball, reference, registry }) {
    this.folder = folder;
    this.tarball = tarball;
    this.#root = root;
    this.#tools = tools;
    this.#reference = reference;
    const settings = { npm_config_registry: registry, YARN_REGISTRY: registry, YARN_NPM_REGISTRY_SERVER: registry };
    this.#env = { ...Object.fromEntries(inherited), ...settings };
    mkdirSync(folder, { recursive: true });
  }

  write(path, text) {
    const file = join(this.folder, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
    return file;
  }

  /** A new folder in the consumer's folder, or far from any node_modules. */
  emptyFolder(within) {
    const parent = within ? join(this.folder, within) : this.#root;
    mkdirSync(parent, { recursive: true });
    return mkdtempSync(join(parent, 'folder-'));
  }

  /** Hides the consumer's installed packages, as on another machine. */
  hide() {
    const packages = join(this.folder, 'node_modules');
    renameSync(packages, `${packages}-hidden`);
    return { show: () => renameSync(`${packages}-hidden`, packages) };
  }

  /** Runs a program that must succeed, and returns what it prints. */
  async run(program, args, options) {
    const { error, stdout, stderr } = await this.#execute(program, args, options);
    if (error) throw new Error(`${program} ${args.join(' ')}: ${error.code ?? error.signal}\n${stdout}${stderr}`);
    return stdout;
  }

  /** Runs a program that must fail. */
  async fail(program, args, options) {
    const { error, ...output } = await this.#execute(program, args, options);
    if (!error) throw new Error(`${program} ${args.join(' ')}: expected a failure, found ${output.stdout}`);
    return output;
  }

  #execute(program, args, { cwd = this.folder, env = {} } = {}) {
    const options = { cwd, env: { ...this.#env, ...env }, timeout: TIMEOUT_MS, maxBuffer: 64e6 };
    return new Promise((resolve) =>
      execFile(program, args, options, (error, stdout, stderr) => resolve({ error, stdout, stderr })),
    );
  }

  node(args, options) {
    return this.run(process.execPath, args, options);
  }

  npm(args) {
    return this.run('npm', [...args, '--no-audit', '--no-fund', '--loglevel', 'error']);
  }

  /** Runs the text of a module in the consumer's folder. */
  script(text) {
    return this.node([this.write(`script-${this.#numScripts++}-${process.hrtime.bigint()}.mjs`, text)]);
  }

  /** Runs a command of a package that is installed in the consumer's folder. */
  bin(name, args, options) {
    return this.run(join(this.folder, 'node_modules', '.bin', name), args, options);
  }

  /** Runs a command of the tools' folder, such as a package manager, in the consumer's folder. */
  tool(name, args, options) {
    return name.endsWith('.js')
      ? this.node([this.toolPath(name), ...args], options)
      : this.run(this.toolPath(join('.bin', name)), args, options);
  }

  toolPath(path) {
    return join(this.#tools, 'node_modules', path);
  }

  /** The program completed the prompt. */
  mustRun(printed) {
    const { text, code, message } = answerIn(printed);
    if (text === undefined || text !== (this.#reference ?? text))
      throw new Error(`expected the text ${JSON.stringify(this.#reference)}, found ${text ?? `${code}: ${message}`}`);
    return 'runs';
  }

  /** The program was imported, and its first use said what to do. */
  mustAdvise(printed) {
    const { code, message, hint } = answerIn(printed);
    if (!/^GROK_(NO_BINARY|UNSUPPORTED)$/.test(code) || !hint) throw new Error(`expected advice, found ${printed}`);
    return `${code}: ${message} (${hint})`;
  }

  /** Either of the two. */
  mustRunOrAdvise(printed) {
    return answerIn(printed).text === undefined ? this.mustAdvise(printed) : this.mustRun(printed);
  }

  /** The answer of a server to one request. */
  async request(file, path) {
    const port = await freePort();
    const env = { ...this.#env, PORT: String(port), HOSTNAME: '127.0.0.1' };
    const server = spawn(process.execPath, [file], { cwd: dirname(file), env, stdio: 'ignore' });
    try {
      for (let numTries = 0; ; numTries++) {
        await sleep(200);
        const answer = await fetch(`http://127.0.0.1:${port}${path}`).catch(() => undefined);
        if (answer) return await answer.text();
        if (numTries > 100 || server.exitCode !== null) throw new Error(`${file} does not answer`);
      }
    } finally {
      server.kill();
    }
  }
}

/** The last line of the output. */
function answerIn(printed) {
  const line = printed.trim().split('\n').at(-1);
  try {
    return JSON.parse(line);
  } catch {
    throw new Error(`expected a line of JSON, found ${JSON.stringify(printed)}`);
  }
}

function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on('error', reject).listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}
