/** The exports themselves: a merged model, a GGUF file, an adapter. Each either writes all of its files or leaves nothing behind. */
import { readText } from '../formats/bytes';
import type { Checkpoint } from '../formats/checkpoint';
import {
  ADAPTER_CONFIG_FILE,
  ADAPTER_FILE,
  type AdapterConfig,
  type AdapterTensor,
  writeAdapter,
  writeAdapterConfig,
} from '../formats/peft';
import { COMPANION_FILES, derivedGenerationConfig, mergedConfig } from './config-out';
import { type GgufForm, planGguf, writeGguf } from './gguf-out';
import type { Merger } from './merge';
import { modelfile } from './modelfile';
import { dataBytes, writeWeights } from './safetensors-out';
import { exportTo, type OutputSink, writeFile } from './sink';
import { type MergeBase, type MergeForm, mergedWeights, type OutputDtype } from './weights';

export interface WrittenFile {
  name: string;
  bytes: number;
}

export interface ExportProgress {
  file: string;
  bytes: number;
  totalBytes: number;
}

export interface MergedExport {
  checkpoint: Checkpoint;
  merger: Merger;
  dtype: OutputDtype;
  /** What the adapter is added to; `trained` by default. */
  base?: MergeBase;
  /** See MergeForm. */
  quantize?: MergeForm['quantize'];
  /** README.md; see model-card.ts. */
  card: string;
  sink: OutputSink;
  maxShardBytes?: number;
  onProgress?: (progress: ExportProgress) => void;
  signal?: AbortSignal;
}

/**
 * Writes a merged model that transformers loads. Weights come first and config.json last, so that an export that was cut
 * short is not taken for a model. Rejects with what failed, after the sink has been aborted.
 */
export function exportMerged(options: MergedExport): Promise<WrittenFile[]> {
  const {
    checkpoint,
    merger,
    dtype,
    base = 'trained',
    card,
    sink,
    maxShardBytes,
    onProgress = () => {},
    signal,
  } = options;
  return exportTo(
    sink,
    async (out) => {
      const tensors = await mergedWeights(checkpoint, merger, {
        dtype,
        base,
        quantize: options.quantize,
      });
      const totalBytes = dataBytes(tensors);
      let bytes = 0;
      const files = await writeWeights(out, tensors, {
        maxShardBytes,
        onBytes: (more, file) => {
          bytes += more;
          onProgress({ file, bytes, totalBytes });
        },
      });
      const { files: source } = checkpoint;
      const add = async (name: string, content: Uint8Array | string) =>
        files.push({ name, bytes: await writeFile(out, name, content) });
      for (const name of COMPANION_FILES.filter((n) => source.names.includes(n))) {
        const file = await source.open(name);
        await add(name, await file.read(0, file.size));
      }
      const generation = 'generation_config.json';
      const hasGeneration = source.names.includes(generation);
      await add(
        generation,
        hasGeneration ? await readText(source, generation) : derivedGenerationConfig(checkpoint.config),
      );
      await add('README.md', card);
      await add(
        'config.json',
        mergedConfig(await readText(source, 'config.json'), base === 'nf4' ? 'BF16' : dtype, base === 'nf4'),
      );
      return files;
    },
    signal,
  );
}

export interface GgufExport {
  checkpoint: Checkpoint;
  merger: Merger;
  form: GgufForm;
  /** Without `.gguf`. */
  fileName: string;
  /** README.md */
  card: string;
  sink: OutputSink;
  onProgress?: (progress: ExportProgress) => void;
  signal?: AbortSignal;
}

/** Writes a merged model as one GGUF file, with a Modelfile for Ollama. Rejects with what failed, after the sink has been aborted. */
export function exportGguf(options: GgufExport): Promise<WrittenFile[]> {
  const { checkpoint, merger, form, card, sink, onProgress = () => {}, signal } = options;
  const file = `${options.fileName}.gguf`;
  return exportTo(
    sink,
    async (out) => {
      const plan = await planGguf(checkpoint, merger, form);
      let bytes = 0;
      const written = await writeGguf(out, file, plan, (more) => {
        bytes += more;
        onProgress({ file, bytes, totalBytes: plan.layout.size });
      });
      const recipe = modelfile(file, plan.chatTemplate);
      return [
        written,
        { name: 'README.md', bytes: await writeFile(out, 'README.md', card) },
        { name: 'Modelfile', bytes: await writeFile(out, 'Modelfile', recipe) },
      ];
    },
    signal,
  );
}

export interface AdapterExport {
  tensors: readonly AdapterTensor[];
  config: AdapterConfig;
  card: string;
  sink: OutputSink;
  signal?: AbortSignal;
}

/** Writes an adapter that PEFT loads. */
export function exportAdapter({ tensors, config, card, sink, signal }: AdapterExport): Promise<WrittenFile[]> {
  const files: [string, Uint8Array | string][] = [
    [ADAPTER_FILE, writeAdapter(tensors)],
    ['README.md', card],
    [ADAPTER_CONFIG_FILE, writeAdapterConfig(config)],
  ];
  return exportTo(
    sink,
    async (out) => {
      const written: WrittenFile[] = [];
      for (const [name, content] of files) written.push({ name, bytes: await writeFile(out, name, content) });
      return written;
    },
    signal,
  );
}
