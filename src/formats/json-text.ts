/** Work on the text of JSON objects, where a round trip through JSON.parse would lose something. */

/** Strings and brackets of JSON text; numbers, literals and punctuation in between do not matter here. */
const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\]]/gu;

/**
 * The first key that some object of this (valid) JSON text has twice, or null. `JSON.parse` keeps the last silently,
 * so that two readers of one file could see different things.
 */
export function duplicateKey(text: string): string | null {
  const stack: (Set<string> | null)[] = []; // null for an array
  for (const match of text.matchAll(TOKEN)) {
    const token = match[0];
    if (token === '{') stack.push(new Set());
    else if (token === '[') stack.push(null);
    else if (token === '}' || token === ']') stack.pop();
    else {
      const keys = stack.at(-1);
      if (!keys || !isKey(text, match.index + token.length)) continue;
      const key = JSON.parse(token) as string;
      if (keys.has(key)) return key;
      keys.add(key);
    }
  }
  return null;
}

/** Whether the string that ends here is followed by a colon. */
function isKey(text: string, end: number): boolean {
  let at = end;
  while (text[at] === ' ' || text[at] === '\n' || text[at] === '\r' || text[at] === '\t') at++;
  return text[at] === ':';
}

/** Keys of the outermost object with the text of each value, in order. Throws SyntaxError unless it is an object. */
export function members(text: string): Map<string, string> {
  const json: unknown = JSON.parse(text);
  if (typeof json !== 'object' || json === null || Array.isArray(json)) throw new SyntaxError('not a JSON object');
  const out = new Map<string, string>();
  let depth = 0;
  let key: string | null = null;
  let start = 0;
  const finish = (end: number) => {
    if (key === null) return;
    const value = text.slice(start, end).trim();
    out.set(key, value.replace(/,$/u, '').trimEnd());
    key = null;
  };
  for (const { 0: token, index } of text.matchAll(TOKEN)) {
    if (token === '{' || token === '[') depth++;
    else if (token === '}' || token === ']') {
      depth--;
      if (depth === 0) finish(index);
    } else if (depth === 1 && isKey(text, index + token.length)) {
      finish(index);
      key = JSON.parse(token) as string;
      start = text.indexOf(':', index + token.length) + 1;
    }
  }
  return out;
}

/**
 * The object with some members set (null in `changes` is JSON's null) or, where undefined, removed. All other values keep
 * their spelling: 1e-05 and 500000.0 stay what they are, which matters to readers that tell floats from integers.
 */
export function editObject(text: string, changes: Readonly<Record<string, unknown>>): string {
  const all = members(text);
  for (const [key, value] of Object.entries(changes)) {
    if (value === undefined) all.delete(key);
    else all.set(key, JSON.stringify(value));
  }
  const lines = Array.from(all, ([key, value]) => `  ${JSON.stringify(key)}: ${value}`);
  return `{\n${lines.join(',\n')}\n}\n`;
}
