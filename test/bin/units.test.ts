import { describe, expect, it } from 'vitest';
import { formatBytes, formatCount, formatDuration, formatRate, parseBytes, parseDuration } from '../../bin/units.js';

describe('parseBytes', () => {
  it.each(['', 'GiB', '-1G', '1.5.2G', '1e9', '12 parsecs', 'seventy'])('refuses %j', (text) => {
    expect(parseBytes(text)).toBeUndefined();
  });

  it.each([
    ['0', 0],
    ['1024', 1024],
    ['70GiB', 70 * 2 ** 30],
    ['70 gib', 70 * 2 ** 30],
    ['1.5G', 1.5 * 2 ** 30],
    ['512M', 512 * 2 ** 20],
    ['2TB', 2e12],
    ['3kB', 3000],
    ['0.1KiB', 102],
  ])('reads %j', (text, bytes) => {
    expect(parseBytes(text)).toBe(bytes);
  });
});

describe('parseDuration', () => {
  it.each(['', 's', '-1s', '1 week', 'soon', '1.2.3'])('refuses %j', (text) => {
    expect(parseDuration(text)).toBeUndefined();
  });

  it.each([
    ['30', 30_000],
    ['30s', 30_000],
    ['1.5m', 90_000],
    ['250 ms', 250],
    ['1h', 3_600_000],
  ])('reads %j', (text, milliseconds) => {
    expect(parseDuration(text)).toBe(milliseconds);
  });
});

describe('numbers for people', () => {
  it('never reach 1024 of a unit that has a larger neighbour', () => {
    expect(formatBytes(2 ** 20 - 1)).toBe('1.0 MiB');
    expect(formatBytes(1023)).toBe('1023 B');
    expect(formatBytes(0)).toBe('0 B');
  });

  it('show the size of Grok-1 as it is known', () => {
    expect(formatBytes(318_241_000_000)).toBe('296.4 GiB');
    expect(formatCount(314_000_000_000)).toBe('314.0B');
    expect(formatCount(42)).toBe('42');
  });

  it('show durations in the unit that fits', () => {
    expect([0.4, 999, 1500, 59_990, 130_000].map(formatDuration)).toEqual([
      '0 ms',
      '999 ms',
      '1.50 s',
      '59.99 s',
      '2 min 10 s',
    ]);
  });

  it('show no rate where no time passed', () => {
    expect(formatRate(5, 0)).toBe('- tokens/s');
    expect(formatRate(50, 250)).toBe('200.0 tokens/s');
  });
});
