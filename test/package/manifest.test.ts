import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

const manifest = JSON.parse(readFileSync('package.json', 'utf8'));
const lockfile = JSON.parse(readFileSync('package-lock.json', 'utf8'));

describe('package.json', () => {
  it('names one public address', () => {
    const { homepage, bugs, repository } = manifest;
    const address = /^git\+(https:.*)\.git$/.exec(repository.url)?.[1];
    expect({ homepage, bugs }).toEqual({ homepage: `${address}#readme`, bugs: `${address}/issues` });
  });

  it('packs the documents that README.md links to', () => {
    const links = [...readFileSync('README.md', 'utf8').matchAll(/\]\((?!https?:|#)([^)#]+)/g)].map(([, path]) => path);
    expect(links.filter((path = '') => !existsSync(path))).toEqual([]);
    const roots = links.filter((path) => path?.endsWith('.md')).map((path) => path?.split('/')[0]);
    expect(manifest.files).toEqual(expect.arrayContaining(roots));
  });

  it('runs nothing when someone installs the package', () => {
    for (const script of ['preinstall', 'install', 'postinstall']) expect(manifest.scripts).not.toHaveProperty(script);
  });

  it('keeps binding.gyp out of the tarball, because npm would run node-gyp', () => {
    expect(manifest.files).not.toContain('binding.gyp');
    expect(manifest.gypfile).toBe(false);
  });

  it('requires one exact version of everything', () => {
    for (const version of Object.values({ ...manifest.dependencies, ...manifest.devDependencies }))
      expect(version).toMatch(/^\d+\.\d+\.\d+$/);
  });
});

describe('package-lock.json', () => {
  it('names the version of package.json', () => {
    expect(lockfile.version).toBe(manifest.version);
  });

  it('names no registry, and a hash for every package', () => {
    const packages = Object.entries<{ resolved?: string; integrity?: string }>(lockfile.packages).filter(
      ([path]) => path,
    );
    expect(packages.length).toBeGreaterThan(0);
    for (const [path, { resolved, integrity }] of packages) {
      expect(resolved, path).toBeUndefined();
      expect(integrity, path).toMatch(/^sha512-/);
    }
  });
});
