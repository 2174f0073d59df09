/**
 * How much of a text is encoded the same whatever follows it. A merge cannot cross a special token, so a long prompt
 * that ends in a chat mark need not be encoded again with each answer.
 */

interface TokenizerJson {
  normalizer?: unknown;
  pre_tokenizer?: unknown;
  added_tokens?: { content: string; lstrip?: boolean; rstrip?: boolean; single_word?: boolean; normalized?: boolean }[];
}

/** True for byte-level vocabularies, where a piece of text between special tokens is read on its own. */
function readsPiecesAlone(json: TokenizerJson): boolean {
  const steps = JSON.stringify(json.pre_tokenizer ?? null);
  return (
    (json.normalizer ?? null) === null &&
    steps.includes('"ByteLevel"') &&
    !steps.includes('"add_prefix_space":true') &&
    !steps.includes('"Metaspace"')
  );
}

function escapeRegExp(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\/-]/g, '\\$&');
}

/**
 * For a tokenizer.json: a function from a text to the place after its last special token, up to which its ids do not
 * depend on what comes later; 0 where nothing can be promised.
 */
export function independentPrefix(json: TokenizerJson): (text: string) => number {
  const tokens = json.added_tokens ?? [];
  const contents = tokens.map((token) => token.content).filter((content) => content.length > 0);
  const plain = tokens.every((token) => !token.lstrip && !token.rstrip && !token.single_word && !token.normalized);
  // A token that begins another might, with what follows, be that other.
  const ambiguous = contents.some((a) => contents.some((b) => a !== b && b.startsWith(a)));
  if (contents.length === 0 || !plain || ambiguous || !readsPiecesAlone(json)) return () => 0;
  const pattern = new RegExp(contents.map(escapeRegExp).join('|'), 'g');
  return (text) => {
    let end = 0;
    for (const match of text.matchAll(pattern)) end = match.index + match[0].length;
    return end;
  };
}
