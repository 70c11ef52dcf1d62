import { spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';

/** Its error for an invalid command line; llama.cpp is not needed for that. */
function complaintAbout(...args: string[]): string {
  const { status, stderr } = spawnSync(process.execPath, ['bench/peers/side-by-side.mjs', ...args], {
    encoding: 'utf8',
  });
  expect(status).toBe(2);
  expect(stderr).toContain('\nusage: side-by-side.mjs');
  return stderr.split('\n')[0] ?? '';
}

describe('the command line of side-by-side', () => {
  it.each([
    [[], 'Expected --models, a folder with room for the models'],
    [['--models', 'm', '--reps', '0'], "Expected --reps to be a whole number from 1 to 9007199254740991, found '0'"],
    [
      ['--models', 'm', '--prefill', '128,1024'],
      "Expected --prefill to be a whole number from 1 to 1023, found '1024'",
    ],
    [['--models', 'm', '--quiet-share', '5%'], "Expected --quiet-share to be a number above 0 and up to 1, found '5%'"],
    [['--models', 'm', '--figures', 'speed'], 'Expected --figures to be one of decode, prefill, load-warm, load-cold'],
    [
      ['--models', 'm', '--weights', 'memory', '--figures', 'load-warm'],
      'Expected --figures to be one of decode, prefill',
    ],
    [
      ['--models', 'm', '--weights', 'memory', '--shape', 'a.json'],
      'Expected --weights checkpoint for the shape of a file',
    ],
  ])('refuses %j', (args, complaint) => {
    expect(complaintAbout(...args)).toContain(complaint);
  });
});
