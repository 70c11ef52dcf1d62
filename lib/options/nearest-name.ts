/** The known name that is closest to a mistyped one, or undefined if none is close. */
export function nearestName(name: string, known: readonly string[]): string | undefined {
  let nearest: string | undefined;
  let fewestEdits = Infinity;
  for (const candidate of known) {
    const edits = editDistance(name.toLowerCase(), candidate.toLowerCase());
    const mostEdits = Math.max(2, Math.floor(candidate.length / 3));
    if (edits < fewestEdits && edits <= mostEdits) {
      fewestEdits = edits;
      nearest = candidate;
    }
  }
  return nearest;
}

/** Levenshtein distance, one row at a time. Ignores underscores and hyphens, so snake case equals camel case. */
function editDistance(from: string, to: string): number {
  const source = from.replaceAll(/[_-]/g, '').slice(0, 64); // bounds the quadratic cost for long names
  let previous = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (let row = 1; row <= source.length; row++) {
    const current = [row];
    for (let column = 1; column <= to.length; column++) {
      const substitution = (previous[column - 1] ?? 0) + (source[row - 1] === to[column - 1] ? 0 : 1);
      current.push(Math.min(substitution, (previous[column] ?? 0) + 1, (current[column - 1] ?? 0) + 1));
    }
    previous = current;
  }
  return previous[to.length] ?? 0;
}
