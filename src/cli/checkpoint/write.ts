/** A whole folder of a model with random weights. */
import { derivedGenerationConfig } from '../../export/config-out';
import { dataBytes, writeWeights } from '../../export/safetensors-out';
import { exportTo, type OutputSink, writeFile } from '../../export/sink';
import type { ModelFiles } from '../../formats/bytes';
import { parameterCount, parseConfig } from '../../model/config';
import { checkpointConfig } from './configs';
import { type CheckpointFormat, randomTensors } from './tensors';
import { tokenizerFiles } from './tokenizer-files';

export interface CheckpointOptions {
  /** A config.json. */
  config: Record<string, unknown>;
  format: CheckpointFormat;
  /** A whole number; the same seed gives the same bytes. */
  seed: number;
  /** Above so many bytes of tensors a new file begins. */
  shardBytes: number;
  /** A folder with a tokenizer. */
  tokenizer: ModelFiles;
  sink: OutputSink;
  onProgress?: (bytes: number, totalBytes: number) => void;
}

export interface WrittenCheckpoint {
  files: { name: string; bytes: number }[];
  parameters: number;
}

/**
 * Writes weights, index, tokenizer and configs; config.json last, so that a folder cut short is not taken for a model.
 * Rejects with ConfigError, TokenizerError or what the sink reports, after the sink has been aborted.
 */
export function writeCheckpoint(options: CheckpointOptions): Promise<WrittenCheckpoint> {
  const { format, seed, shardBytes, tokenizer, sink, onProgress = () => {} } = options;
  return exportTo(sink, async (out) => {
    const config = parseConfig(options.config);
    const { files: companions, tokens } = await tokenizerFiles(tokenizer, config.vocabSize);
    const json = checkpointConfig(options.config, format, tokens);
    const std = typeof json.initializer_range === 'number' ? json.initializer_range : 0.02;
    const tensors = randomTensors({ config, format, seed, std });
    const total = dataBytes(tensors);
    let done = 0;
    const files = await writeWeights(out, tensors, {
      maxShardBytes: shardBytes,
      onBytes: (bytes) => {
        done += bytes;
        onProgress(done, total);
      },
    });
    const texts = new Map(companions);
    texts.set('generation_config.json', derivedGenerationConfig(json));
    texts.set('config.json', `${JSON.stringify(json, null, 2)}\n`);
    for (const [name, text] of texts) files.push({ name, bytes: await writeFile(out, name, text) });
    return { files, parameters: parameterCount(config) };
  });
}
