// Strict TypeScript in each module resolution, as a module and as CommonJS.
import { typed } from './program.mjs';

const nodenext = { module: 'nodenext' };
const bundler = { module: 'esnext', moduleResolution: 'bundler' };
const resolutions = {
  5.2: { node16: { module: 'node16' }, nodenext, bundler, node10: { module: 'commonjs', moduleResolution: 'node10' } },
  5.4: { node16: { module: 'node16' }, nodenext, bundler, preserve: { module: 'preserve' } },
  5.9: { node16: { module: 'node16' }, node18: { module: 'node18' }, node20: { module: 'node20' }, nodenext, bundler },
  '6.0': {
    node16: { module: 'node16' },
    node18: { module: 'node18' },
    node20: { module: 'node20' },
    nodenext,
    bundler,
  },
  '7.0': {
    node16: { module: 'node16' },
    node18: { module: 'node18' },
    node20: { module: 'node20' },
    nodenext,
    bundler,
  },
};
/** Those that CI compiles: compiling all takes minutes. */
const inCi = { 5.2: ['nodenext', 'node10'], '6.0': ['node16', 'node20', 'bundler'], '7.0': ['nodenext'] };

function typescript(version, names, isOnlyInAll) {
  return {
    name: `TypeScript ${version}`,
    packages: [`typescript-${version}`],
    isOnlyInAll,
    async check(kit) {
      for (const extension of ['mts', 'cts']) kit.write(`types/consumer.${extension}`, typed);
      const rows = [];
      for (const name of names) {
        const options = resolutions[version][name];
        const modules =
          options.module === 'esnext' ? ['mts'] : options.module === 'commonjs' ? ['cts'] : ['mts', 'cts'];
        const project = `types/${version}-${name}.json`;
        const strict = {
          strict: true,
          exactOptionalPropertyTypes: true,
          noUncheckedIndexedAccess: true,
          skipLibCheck: false,
        };
        kit.write(
          project,
          JSON.stringify({
            compilerOptions: { ...strict, noEmit: true, target: 'es2022', lib: ['es2022'], types: [], ...options },
            files: modules.map((extension) => `consumer.${extension}`),
          }),
        );
        await kit.node([`node_modules/typescript-${version}/bin/tsc`, '-p', project]);
        rows.push([`${name}: ${modules.map((extension) => `.${extension}`).join(', ')}`, 'compiles']);
      }
      return rows;
    },
  };
}

export const types = [
  ...Object.entries(inCi).map(([version, names]) => typescript(version, names, false)),
  ...Object.entries(resolutions).map(([version, found]) => {
    const others = Object.keys(found).filter((name) => !inCi[version]?.includes(name));
    return typescript(version, others, true);
  }),
];
