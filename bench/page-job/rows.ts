/** Preference rows of random words, long enough that every sequence is cut at the limit. */

const WORDS =
  'the a one and then so but she he they we it was is went saw took gave made found little big old new red blue dog cat boy girl tree house day time sun friend park ball water food happy sad good kind very much again home away'.split(
    ' ',
  );

/** JSON lines; the prompt is about half of each sequence. `words` in prompt and in answer. */
export function randomRows(count: number, words: number): string {
  let state = 1;
  const word = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return WORDS[(state >>> 8) % WORDS.length];
  };
  const text = (length: number) => Array.from({ length }, word).join(' ');
  const rows = Array.from({ length: count }, () => ({
    prompt: `${text(words)}.`,
    chosen: ` ${text(words)}.`,
    rejected: ` ${text(words)}.`,
  }));
  return rows.map((row) => `${JSON.stringify(row)}\n`).join('');
}
