/** What a config.json tells of a model before anything else of it is fetched. */
import { assertReadableQuantizationConfig } from '../formats/bnb-nf4';
import { HubError } from '../hub/errors';
import type { ModelAbout } from '../hub/manifest';
import type { Listing, RemoteModel } from '../hub/remote';
import type { RepositoryAbout } from '../hub/repository';
import { type LlamaConfig, parameterCount, parseConfig } from '../model/config';
import type { ModelSource } from './protocol';

const DTYPES: Record<string, string> = { bfloat16: 'BF16', float16: 'F16', float32: 'F32' };

/** What a config.json tells of the weights. Throws ConfigError or QuantizationError for what cannot be trained. */
export function configFacts(text: string): { format: string; quantizable: boolean; config: LlamaConfig } {
  let json: Record<string, unknown>;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new HubError('unsupported-repository', 'Its config.json is not JSON. Get the file again.', { cause });
  }
  assertReadableQuantizationConfig(json);
  const config = parseConfig(json);
  if (json.quantization_config) return { format: 'NF4, 4-bit', quantizable: false, config };
  const dtype = String(json.dtype ?? json.torch_dtype ?? '');
  return { format: DTYPES[dtype] ?? 'BF16', quantizable: true, config };
}

/** Refuses a model by its config.json, and adds what is remembered of one that is not described by a manifest. */
export function examiner(source: ModelSource, { id }: RemoteModel) {
  return async (listing: Listing, text: (file: string) => Promise<string>): Promise<Listing> => {
    if (source.kind === 'builtin') return listing;
    const { format, quantizable, config } = configFacts(await text('config.json'));
    const parameters = parameterCount(config);
    const { commit } = listing.about as Partial<RepositoryAbout>;
    const about: ModelAbout & { quantizable: boolean } = {
      id,
      title: id.replace(/\/$/u, '').split('/').at(-1)!,
      about: commit ? `${id} from the Hugging Face Hub, commit ${commit.slice(0, 7)}.` : `From ${id}.`,
      format,
      parameters,
      fineOnCpu: parameters < 1e6,
      quantizable,
    };
    return { ...listing, about: { ...listing.about, ...about } };
  };
}

export const shapeFacts = (config: LlamaConfig) => ({
  parameters: parameterCount(config),
  layers: config.layers,
  hiddenSize: config.hiddenSize,
  vocabSize: config.vocabSize,
  maxPositions: config.maxPositions,
});
