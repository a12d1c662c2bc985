/**
 * Text from peers, manifests and logs made safe for a terminal. Control characters (also the 8-bit ones, which some
 * terminals obey) and characters that reorder text are shown as escapes, so a pod's name can neither move the cursor
 * nor pass for another.
 */

// C0 and DEL, C1, Arabic letter mark, directional marks, embeddings, overrides and isolates, line separators, BOM,
// zero-width characters.
const unsafe =
  // oxlint-disable-next-line no-control-regex -- finding control characters is what this expression is for
  /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060\u2066-\u2069\ufeff]/gu;

const escaped = (character: string): string =>
  `\\u${(character.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}`;

export const printable = (text: string): string => text.replace(unsafe, escaped);

export const hasUnsafe = (text: string): boolean => text.search(unsafe) !== -1;

/** For JSON and YAML texts, which have lines, and where the same escape means the very character. */
export const escapeUnsafe = (text: string): string =>
  text.replace(unsafe, (character) => (character === '\n' ? character : escaped(character)));

/** For text of ours that has lines: each line made safe, the line ends kept. */
export const printableLines = (text: string): string =>
  text
    .split('\n')
    .map((line) => printable(line))
    .join('\n');

// East Asian wide and full-width forms (Unicode TR 11), and what terminals draw as pictures.
const wide =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|\p{Emoji_Presentation}|[\u{20000}-\u{3fffd}]/u;
const zeroWidth = /[\p{Mn}\p{Me}\u200d]/u;

/** Columns a terminal needs for `text`, which must be printable. */
export function width(text: string): number {
  let columns = 0;
  for (const character of text) columns += zeroWidth.test(character) ? 0 : wide.test(character) ? 2 : 1;
  return columns;
}

/** `text` cut to at most `columns`, ending in "…" when something was lost. */
export function truncate(text: string, columns: number): string {
  if (width(text) <= columns) return text;
  let kept = '';
  let used = 1;
  for (const character of text) {
    used += width(character);
    if (used > columns) break;
    kept += character;
  }
  return `${kept}…`;
}
