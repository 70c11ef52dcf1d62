import { describe, expect, it } from 'vitest';
import { isOneTypoAway } from '../../bin/typo.js';

describe('isOneTypoAway', () => {
  it.each(['inspect', 'inspector2', 'ispcet', 'nispetc', '', 'hello'])('does not take %j for inspect', (word) => {
    expect(isOneTypoAway(word, 'inspect')).toBe(false);
  });

  it.each(['nspect', 'inspec', 'inspet', 'innspect', 'inspects', 'inspekt', 'inpsect', 'nispect', 'inspetc'])(
    'takes %j for inspect',
    (word) => {
      expect(isOneTypoAway(word, 'inspect')).toBe(true);
    },
  );
});
