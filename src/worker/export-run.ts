/** A finished run as files: into a folder, or as one stream to download. */
import { DirectorySink } from '../export/directory-sink';
import { type ExportProgress, exportAdapter, exportMerged, type WrittenFile } from '../export/export';
import { logCsv, logJsonl } from '../export/log';
import { cpuMerger } from '../export/merge';
import { adapterCard, type CardFacts, mergedCard } from '../export/model-card';
import type { OutputSink } from '../export/sink';
import { ZipSink } from '../export/zip-sink';
import { isNf4 } from '../formats/bnb-nf4';
import type { OpenModel } from '../model/load';
import type { ExportOptions, ExportResult, ModelSummary } from './protocol';
import type { FinishedRun } from './run';

const LOGS = {
  'log-jsonl': { name: 'log.jsonl', mimeType: 'application/jsonl', make: logJsonl },
  'log-csv': { name: 'log.csv', mimeType: 'text/csv', make: logCsv },
} as const;

function facts(run: FinishedRun, model: ModelSummary): CardFacts {
  return {
    baseModel: model.id,
    quantizedBase: /nf4|4-bit/i.test(model.format),
    dataName: run.dataName,
    trainPairs: run.plan.train.length,
    hparams: run.plan.hparams,
    lastStep: run.steps.at(-1),
    lastEval: run.evals.at(-1),
  };
}

/** Writes all files of one kind into a sink. */
function write(
  sink: OutputSink,
  options: ExportOptions,
  run: FinishedRun,
  open: OpenModel,
  model: ModelSummary,
  onProgress: (progress: ExportProgress) => void,
): Promise<WrittenFile[]> {
  const { hparams, lora } = run.plan;
  if (options.kind === 'merged') {
    const merger = cpuMerger(run.adapter, lora.scale);
    const card = mergedCard(facts(run, model), options.dtype);
    const { dtype, base } = options;
    const { checkpoint, weights } = open;
    const quantizedOnLoad = (name: string) => weights.byName.get(name)?.format === 'NF4' && !isNf4(checkpoint, name);
    return exportMerged({ checkpoint, merger, dtype, base, quantizedOnLoad, card, sink, onProgress });
  }
  const config = {
    base_model_name_or_path: model.id,
    r: hparams.lora_r,
    lora_alpha: hparams.lora_alpha,
    lora_dropout: hparams.disable_dropout ? 0 : hparams.lora_dropout,
    target_modules: hparams.target_modules,
    use_rslora: hparams.use_rslora,
    use_dora: hparams.use_dora,
  };
  return exportAdapter({ tensors: [...run.adapter.values()], config, card: adapterCard(facts(run, model)), sink });
}

/** Rejects with what failed; nothing that looks complete is left in the folder then. */
export async function exportRun(
  options: ExportOptions,
  run: FinishedRun,
  open: OpenModel,
  model: ModelSummary,
  onProgress: (progress: ExportProgress) => void,
): Promise<ExportResult> {
  const base = `${model.id.split('/').at(-1)}-orpo`;
  if (options.kind === 'log-jsonl' || options.kind === 'log-csv') {
    const { name, mimeType, make } = LOGS[options.kind];
    const bytes = new TextEncoder().encode(make(run));
    const stream = new Blob([bytes]).stream() as ReadableStream<Uint8Array>;
    return {
      files: [{ name, bytes: bytes.byteLength }],
      download: { name: `${base}-${name}`, mimeType, stream },
    };
  }
  const folder = options.kind === 'merged' ? base : `${base}-adapter`;
  if (options.directory) {
    const { sink, folder: made } = await DirectorySink.inNewFolder(options.directory, folder);
    const files = await write(sink, options, run, open, model, onProgress);
    return { files: files.map((f) => ({ ...f, name: `${made}/${f.name}` })) };
  }
  const sink = new ZipSink(folder);
  // The zip is made while the page reads it; a failure reaches the reader through the stream.
  write(sink, options, run, open, model, onProgress).catch(() => undefined);
  return { files: [], download: { name: `${folder}.zip`, mimeType: 'application/zip', stream: sink.stream } };
}
