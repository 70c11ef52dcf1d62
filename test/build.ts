import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

/** Compiles the TypeScript before the first test: tests that ran beside a build would read half of it. */
export default function build(): void {
  execFileSync('npm', ['run', '--silent', 'build:ts'], { cwd: join(import.meta.dirname, '..'), stdio: 'inherit' });
}
