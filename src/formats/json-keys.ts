/** Strings, brackets and commas of JSON text; numbers and literals in between do not matter here. */
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
      if (!keys || !/^\s*:/u.test(text.slice(match.index + token.length, match.index + token.length + 64))) continue;
      const key = JSON.parse(token) as string;
      if (keys.has(key)) return key;
      keys.add(key);
    }
  }
  return null;
}
