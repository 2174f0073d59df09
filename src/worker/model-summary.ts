/** A loaded model as the page knows it. */
import { chatmlSupport } from '../data/chatml-tokens';
import type { Tokenizer } from '../data/tokenizer';
import { isNf4 } from '../formats/bnb-nf4';
import { parameterCount } from '../model/config';
import type { OpenModel } from '../model/load';
import type { MergeBase, ModelRequests, ModelSource, ModelSummary } from './protocol';

type LoadArgs = ModelRequests['loadModel']['args'];

interface Opened extends Pick<LoadArgs, 'chatml' | 'quantize'> {
  id: string;
  title: string;
  format: string;
  kind: ModelSource['kind'];
  fromStorage: boolean;
}

export function summarize(open: OpenModel, tokenizer: Tokenizer, opened: Opened): ModelSummary {
  const { id, title, format, kind, fromStorage, chatml, quantize } = opened;
  const { config } = open;
  const { inNf4, onTheWay } = quantizationOf(open);
  return {
    id,
    origin: kind,
    title,
    parameters: parameterCount(config),
    layers: config.layers,
    hiddenSize: config.hiddenSize,
    vocabSize: config.vocabSize,
    maxPositions: config.maxPositions,
    format: onTheWay ? `${format}, quantised to NF4` : format,
    quantized: quantize !== undefined,
    hasChatTemplate: tokenizer.hasChatTemplate,
    chatmlSupport: chatmlSupport(tokenizer.specialTokens),
    chatml,
    fromStorage,
    mergeBases: mergeBases(inNf4, onTheWay),
  };
}

/** Whether weights are in NF4 on the GPU, and whether some were quantised on their way there. */
function quantizationOf({ weights, checkpoint }: OpenModel): { inNf4: boolean; onTheWay: boolean } {
  const small = [...weights.byName].filter(([, { format }]) => format === 'NF4');
  return { inNf4: small.length > 0, onTheWay: small.some(([name]) => !isNf4(checkpoint, name)) };
}

/** What an adapter can be merged into: the source's own weights where training saw them in fewer bits. */
const mergeBases = (inNf4: boolean, onTheWay: boolean): MergeBase[] => [
  'trained',
  ...(onTheWay ? (['source'] as const) : []),
  ...(inNf4 ? (['nf4'] as const) : []),
];
