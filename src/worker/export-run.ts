/** A finished run as files: into a folder, into a repository, or as one stream to download. */
import { DirectorySink } from '../export/directory-sink';
import { exportAdapter, exportGguf, exportMerged, type WrittenFile } from '../export/export';
import { planGguf } from '../export/gguf-out';
import { mergerFor } from '../export/gpu-merger';
import { HubSink } from '../export/hub-sink';
import { logCsv, logJsonl } from '../export/log';
import { cpuMerger, type Merger } from '../export/merge';
import { adapterCard, type CardFacts, ggufCard, mergedCard } from '../export/model-card';
import { dataBytes, planShards } from '../export/safetensors-out';
import type { OutputSink } from '../export/sink';
import { opfsSpool } from '../export/spool';
import { mergedWeights } from '../export/weights';
import { ZipSink } from '../export/zip-sink';
import type { OpenModel } from '../model/load';
import type {
  ExportForm,
  ExportOptions,
  ExportProgress,
  ExportResult,
  ExportSize,
  HubTarget,
  ModelSummary,
} from './protocol';
import type { FinishedRun } from './run';

export interface ExportSubject {
  run: FinishedRun;
  open: OpenModel;
  model: ModelSummary;
}

export interface ExportContext {
  onProgress(progress: ExportProgress): void;
  signal: AbortSignal;
  /** Address of the Hub, without a slash at the end. */
  hubUrl: string;
}

/** The answer, and the end of all work: a download is still being made when its stream is handed out. */
export interface ExportWork {
  result: ExportResult;
  done: Promise<unknown>;
}

const LOGS = {
  'log-jsonl': { name: 'log.jsonl', mimeType: 'application/jsonl', make: logJsonl },
  'log-csv': { name: 'log.csv', mimeType: 'text/csv', make: logCsv },
} as const;

function facts({ run, open, model }: ExportSubject): CardFacts {
  const { info, isSoftware, profile } = open.gpu;
  return {
    baseModel: modelName(model),
    quantizedBase: [...open.weights.byName.values()].some(({ format }) => format === 'NF4'),
    dataName: run.dataName,
    trainPairs: run.plan.train.length,
    hparams: run.plan.hparams,
    log: run,
    gpu: `${[info.vendor, info.architecture, info.description].filter(Boolean).join(' ')}${isSoftware ? ' (software)' : ''}`,
    tier: profile.tier,
  };
}

/** A model's name without the revision that a repository's id may carry. */
const modelName = (model: ModelSummary) => model.id.replace(/@[^@/]*$/u, '');
const baseName = (model: ModelSummary) => `${modelName(model).split('/').findLast(Boolean)}-orpo`;
const ggufBase = (form: ExportForm) => (form.base === 'source' ? 'source' : 'trained');

function ggufForm(form: ExportForm, { model, open }: ExportSubject) {
  const { gguf: type = 'Q8_0' } = form;
  return { type, base: ggufBase(form), quantize: open.quantize, name: baseName(model) } as const;
}

/** Writes all files of one kind into a sink. */
async function write(
  sink: OutputSink,
  options: ExportForm,
  subject: ExportSubject,
  { onProgress, signal }: Pick<ExportContext, 'onProgress' | 'signal'>,
): Promise<WrittenFile[]> {
  const { run, open, model } = subject;
  const { hparams, lora } = run.plan;
  const { checkpoint, quantize } = open;
  const told = facts(subject);
  if (options.kind === 'merged' || options.kind === 'gguf') {
    const { dtype, base, shardBytes: maxShardBytes } = options;
    const { merger, release } = mergerFor(open.gpu, run.adapter, lora.scale);
    const common = {
      checkpoint,
      merger,
      sink,
      signal,
      onProgress: (progress: Omit<ExportProgress, 'phase'>) => onProgress({ phase: 'writing', ...progress }),
    };
    try {
      if (options.kind === 'merged') {
        return await exportMerged({
          ...common,
          dtype,
          base,
          quantize,
          maxShardBytes,
          card: mergedCard(told, dtype, base),
        });
      }
      const form = ggufForm(options, subject);
      const fileName = `${baseName(model)}-${form.type}`;
      return await exportGguf({ ...common, form, fileName, card: ggufCard(told, `${fileName}.gguf`) });
    } finally {
      release();
    }
  }
  const config = {
    base_model_name_or_path: modelName(model),
    r: hparams.lora_r,
    lora_alpha: hparams.lora_alpha,
    lora_dropout: hparams.disable_dropout ? 0 : hparams.lora_dropout,
    target_modules: hparams.target_modules,
    use_rslora: hparams.use_rslora,
    use_dora: hparams.use_dora,
  };
  return exportAdapter({ tensors: [...run.adapter.values()], config, card: adapterCard(told), sink, signal });
}

/** Rejects with what failed; nothing that looks complete is left then. */
export async function exportRun(
  options: ExportOptions,
  subject: ExportSubject,
  context: ExportContext,
): Promise<ExportWork> {
  const base = baseName(subject.model);
  if (options.kind === 'log-jsonl' || options.kind === 'log-csv') {
    const { name, mimeType, make } = LOGS[options.kind];
    const bytes = new TextEncoder().encode(make(subject.run));
    const stream = new Blob([bytes]).stream() as ReadableStream<Uint8Array>;
    const result = {
      files: [{ name, bytes: bytes.byteLength }],
      download: { name: `${base}-${name}`, mimeType, stream },
    };
    return { result, done: Promise.resolve() };
  }
  const folder = { merged: base, gguf: `${base}-gguf`, adapter: `${base}-adapter` }[options.kind];
  if (options.directory) {
    const { sink, folder: made } = await DirectorySink.inNewFolder(options.directory, folder);
    const files = await write(sink, options, subject, context);
    return { result: { files: files.map((f) => ({ ...f, name: `${made}/${f.name}` })) }, done: Promise.resolve() };
  }
  if (options.hub) return { result: await upload(options, options.hub, subject, context), done: Promise.resolve() };
  const sink = new ZipSink(folder);
  // The zip is made while the page reads it; a failure reaches the reader through the stream.
  const done = write(sink, options, subject, context).catch(() => undefined);
  const download = { name: `${folder}.zip`, mimeType: 'application/zip', stream: sink.stream };
  return { result: { files: [], download }, done };
}

/** Of the bytes that a bar shows, an upload counts half for writing and half for sending. */
async function upload(
  form: ExportForm,
  { token, ...target }: HubTarget,
  subject: ExportSubject,
  { onProgress, signal, hubUrl }: ExportContext,
): Promise<ExportResult> {
  let [written, sentBefore, sentNow, totalBytes] = [0, 0, 0, 0];
  let sending = '';
  const tell = (phase: ExportProgress['phase'], file: string) =>
    onProgress({ phase, file, bytes: Math.min((written + sentBefore + sentNow) / 2, totalBytes), totalBytes });
  const sink = await HubSink.open({
    ...target,
    token,
    hubUrl,
    signal,
    spool: opfsSpool,
    title: `${baseName(subject.model)}, written by ORPO Studio`,
    onUpload({ phase, file, bytes }) {
      if (file !== sending) [sentBefore, sentNow, sending] = [sentBefore + sentNow, 0, file];
      sentNow = bytes;
      tell(phase, file);
    },
  });
  const files = await write(sink, form, subject, {
    signal,
    onProgress(progress) {
      written = progress.bytes;
      totalBytes = progress.totalBytes;
      tell('writing', progress.file);
    },
  });
  return { files, repository: { url: sink.url } };
}

/** How large the weights of an export will be. */
export async function exportSize(form: ExportForm, { run, open, ...subject }: ExportSubject): Promise<ExportSize> {
  const merger: Merger = cpuMerger(run.adapter, run.plan.lora.scale);
  const { checkpoint, quantize } = open;
  if (form.kind === 'gguf') {
    const { layout } = await planGguf(checkpoint, merger, ggufForm(form, { run, open, ...subject }));
    return { bytes: layout.size, weightFiles: 1 };
  }
  if (form.kind === 'merged') {
    const { dtype, base = 'trained', shardBytes } = form;
    const tensors = await mergedWeights(checkpoint, merger, { dtype, base, quantize });
    return { bytes: dataBytes(tensors), weightFiles: planShards(tensors, shardBytes).size };
  }
  const bytes = [...run.adapter.values()].reduce((sum, { values }) => sum + values.byteLength, 0);
  return { bytes, weightFiles: 1 };
}
