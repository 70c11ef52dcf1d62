/** Whether `word` becomes `name` by adding, dropping or changing one letter, or by swapping two adjacent ones. */
export function isOneTypoAway(word: string, name: string): boolean {
  if (word === name) return false;
  let start = 0;
  while (start < word.length && word[start] === name[start]) start++;
  const [ours, theirs] = [word.slice(start), name.slice(start)];
  return (
    ours.slice(1) === theirs ||
    ours === theirs.slice(1) ||
    ours.slice(1) === theirs.slice(1) ||
    (ours.slice(2) === theirs.slice(2) && ours[0] === theirs[1] && ours[1] === theirs[0])
  );
}
