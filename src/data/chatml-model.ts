/**
 * A model that knows ChatML: its tokenizer as {@link import('./chatml-tokens').withChatmlTokens} changes it, rows for new
 * tokens in embedding and head, and the ids of BOS, EOS and padding in config.json and generation_config.json. All of it lies
 * over the model's own files, so whatever reads the model, training and export alike, reads the changed one.
 */
import { type ModelFiles, memorySource, readText } from '../formats/bytes';
import { editObject } from '../formats/json-text';
import { type ResizeOptions, withVocabSize } from '../formats/resized-vocab';
import { withChatmlTokens } from './chatml-tokens';

/** `reserved`: two reserved tokens are renamed. `add`: two tokens are added, with new rows in embedding and head. */
export type ChatmlTokenSource = 'reserved' | 'add';

/**
 * @throws TokenizerError when `reserved` finds too few reserved tokens, CheckpointError when rows cannot be added.
 */
export async function asChatmlModel(
  files: ModelFiles,
  how: ChatmlTokenSource,
  options: Pick<ResizeOptions, 'onProgress' | 'signal'> = {},
): Promise<ModelFiles> {
  const tokens = await withChatmlTokens(files, how);
  const ids = {
    bos_token_id: tokens.bosTokenId,
    eos_token_id: tokens.eosTokenId,
    pad_token_id: tokens.padTokenId,
  };
  const resized = await withVocabSize(tokens.files, { ...options, vocabSize: tokens.vocabSize, config: ids });
  const GENERATION = 'generation_config.json';
  if (!files.names.includes(GENERATION)) return resized;
  const generation = memorySource(new TextEncoder().encode(editObject(await readText(files, GENERATION), ids)));
  return { names: resized.names, open: async (name) => (name === GENERATION ? generation : resized.open(name)) };
}
