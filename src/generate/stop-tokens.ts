/** Tokens that end an answer, from generation_config.json (where eos_token_id may be a list), config.json and tokenizer. */
import { type ModelFiles, readJson } from '../formats/bytes';

const idsOf = (value: unknown): number[] =>
  (Array.isArray(value) ? value : [value]).filter((id): id is number => Number.isInteger(id) && (id as number) >= 0);

/**
 * As transformers chooses them: generation_config.json's eos_token_id, where it has none config.json's, and where that
 * has none the tokenizer's. Rejects with the error of reading or parsing a file.
 */
export async function stopTokens(files: ModelFiles, tokenizer: { eosTokenId: number | null }): Promise<number[]> {
  for (const name of ['generation_config.json', 'config.json']) {
    if (!files.names.includes(name)) continue;
    const ids = idsOf((await readJson<{ eos_token_id?: unknown }>(files, name)).eos_token_id);
    if (ids.length) return ids;
  }
  return idsOf(tokenizer.eosTokenId);
}
