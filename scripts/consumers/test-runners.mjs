// Test runners, whose module loaders are not Node's own.

const test = (getGrok) => `
${getGrok}
test('completes a prompt', async () => {
  const grok = await Grok.load();
  const { text } = await grok.complete('Once upon a time', { maxTokens: 12, temperature: 0 });
  await grok.close();
  expect(text.length).toBeGreaterThan(0);
  await expect(Grok.load('absent')).rejects.toThrow(GrokError);
});
`;
const imports = `import { Grok, GrokError } from 'grok-run';`;

const vitest = {
  name: 'vitest',
  packages: ['vitest'],
  async check(kit) {
    kit.write('vitest/grok.test.mjs', test(`import { expect, test } from 'vitest';\n${imports}`));
    const rows = [];
    for (const pool of ['forks', 'threads']) {
      await kit.bin('vitest', ['run', '--root', 'vitest', '--pool', pool]);
      rows.push([pool, 'runs']);
    }
    kit.write('vitest/inline.mjs', `export default { test: { server: { deps: { inline: ['grok-run'] } } } };`);
    await kit.bin('vitest', ['run', '--root', 'vitest', '--config', 'inline.mjs']);
    return [...rows, ['grok-run inlined', 'runs']];
  },
};

const jest = {
  name: 'jest',
  packages: ['jest'],
  async check(kit) {
    kit.write('jest/package.json', '{ "jest": { "transform": {}, "testMatch": ["**/*.test.*"] } }');
    kit.write('jest/esm.test.mjs', test(imports));
    kit.write('jest/cjs.test.cjs', test(`const { Grok, GrokError } = require('grok-run');`));
    await kit.bin('jest', ['--rootDir', 'jest', 'cjs.test.cjs']);
    await kit.bin('jest', ['--rootDir', 'jest', 'esm.test.mjs'], {
      env: { NODE_OPTIONS: '--experimental-vm-modules' },
    });
    return [
      ['CommonJS', 'runs'],
      ['ES modules', 'runs'],
    ];
  },
};

export const testRunners = [vitest, jest];
