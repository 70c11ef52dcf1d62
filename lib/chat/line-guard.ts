/** After these characters a reader, human or model, sees a new line. */
const lineStart = /(?<=[\n\v\f\r\u0085\u2028\u2029])/;

/** Characters that show nothing, and accents. A tab is white space, and stays. */
const invisible = /(?!\t)[\p{C}\p{M}\p{Default_Ignorable_Code_Point}]/gu;

/**
 * Indents each line of a content that could be mistaken for the beginning of a turn. Such a line matches `header` after
 * compatibility forms, letter case, accents and invisible characters are removed. `header` is in lower case.
 */
export function guardLines(content: string, header: RegExp): string {
  return content
    .split(lineStart)
    .map((line) => (header.test(plainForm(line)) ? ` ${line}` : line))
    .join('');
}

// A header is far shorter. Bounds the cost for long lines.
const headerCharacters = 256;

/** Upper case first: it also unites letters such as the long s and the dotless i. */
function plainForm(line: string): string {
  const start = line.replaceAll(invisible, '').slice(0, headerCharacters);
  return start.normalize('NFKD').toUpperCase().toLowerCase().normalize('NFKD').replaceAll(invisible, '');
}
