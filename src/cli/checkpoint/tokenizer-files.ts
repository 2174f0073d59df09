/** The tokenizer that goes with a checkpoint of random weights: of a folder, or the one of the built-in chat model. */
import chatTemplate from '../../../public/models/pocket-15m-bnb-4bit/chat_template.jinja?raw';
import config from '../../../public/models/pocket-15m-bnb-4bit/config.json?raw';
import tokenizer from '../../../public/models/pocket-15m-bnb-4bit/tokenizer.json?raw';
import tokenizerConfig from '../../../public/models/pocket-15m-bnb-4bit/tokenizer_config.json?raw';
import { TokenizerError } from '../../data/tokenizer';
import { COMPANION_FILES } from '../../export/config-out';
import { type ModelFiles, memoryFiles, readJson, readText } from '../../formats/bytes';

type Json = Record<string, unknown>;

/** Inside the bundle of the command, so that it needs no other file. */
export const builtInTokenizer = (): ModelFiles =>
  memoryFiles({
    'chat_template.jinja': chatTemplate,
    'config.json': config,
    'tokenizer.json': tokenizer,
    'tokenizer_config.json': tokenizerConfig,
  });

export interface TokenizerFiles {
  /** Contents by name. */
  files: Map<string, string>;
  /** The ids of its special tokens, as a config.json has them. */
  tokens: Json;
}

/** Throws TokenizerError when there is none, or when it has ids that a model of this vocabulary has no rows for. */
export async function tokenizerFiles(from: ModelFiles, vocabSize: number): Promise<TokenizerFiles> {
  if (!from.names.includes('tokenizer.json')) {
    throw new TokenizerError('The tokenizer folder has no tokenizer.json. Choose the folder of a whole model.');
  }
  const files = new Map<string, string>();
  for (const name of COMPANION_FILES) if (from.names.includes(name)) files.set(name, await readText(from, name));
  const most = largestId(JSON.parse(files.get('tokenizer.json')!) as Json);
  if (most >= vocabSize) {
    throw new TokenizerError(
      `The tokenizer has ids up to ${most}, but the config's vocab_size is ${vocabSize}. Choose another with --tokenizer.`,
    );
  }
  const tokens: Json = {};
  if (from.names.includes('config.json')) {
    const config = await readJson<Json>(from, 'config.json');
    for (const key of ['bos_token_id', 'eos_token_id', 'pad_token_id']) {
      if (config[key] != null) tokens[key] = config[key];
    }
  }
  return { files, tokens };
}

function largestId({ model, added_tokens }: Json): number {
  const { vocab } = (model ?? {}) as { vocab?: Record<string, number> | unknown[] };
  const own = Array.isArray(vocab) ? vocab.length - 1 : Object.values(vocab ?? {}).reduce((a, b) => Math.max(a, b), -1);
  return ((added_tokens ?? []) as { id: number }[]).reduce((a, { id }) => Math.max(a, id), own);
}
