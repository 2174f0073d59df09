/** A kept run as a folder for a bigger machine, in one zip that is made while it is read. */

import type { Tokenizer } from '../data/tokenizer';
import { ZipSink } from '../export/zip-sink';
import { initialAdapter } from '../model/adapter';
import { type HandOver, handOverFiles } from '../runs/hand-over/files';
import type { Checkpoint } from '../train/checkpoint';
import type { TrainingPlan } from '../train/run-plan';
import type { ExportResult, KeptRecord } from './protocol';
import { Pause } from './shared-job';

export interface RunToHandOver {
  record: KeptRecord;
  plan: TrainingPlan;
  newest: Checkpoint | null;
  tokenizer: Tokenizer;
  /** Whether the model's own files are in 4 bits. */
  isNf4: boolean;
}

/** What another machine finds the base model by. */
function modelName({ id, load }: KeptRecord['model']): string {
  if (load?.source.kind === 'hub') return load.source.repo;
  return load?.source.kind === 'url' ? load.source.url : id;
}

async function write(sink: ZipSink, input: HandOver): Promise<void> {
  const encoder = new TextEncoder();
  const pause = new Pause();
  for (const { name, parts } of handOverFiles(input)) {
    const file = await sink.open(name);
    for (const part of parts) {
      await file.write(typeof part === 'string' ? encoder.encode(part) : part);
      if (pause.due) await pause.breathe();
    }
    await file.close();
  }
  await sink.close();
}

export function handedOver({ record, plan, newest, tokenizer, isNf4 }: RunToHandOver): ExportResult {
  const folder = `${record.model.id.split('/').at(-1)}-orpo-job`;
  const sink = new ZipSink(folder);
  const input: HandOver = {
    record: { ...record, step: newest?.step ?? 0 },
    model: modelName(record.model),
    isNf4,
    train: plan.train.map(({ pair }) => pair),
    evaluation: plan.evaluation.map(({ pair }) => pair),
    tokenizer,
    initial: record.settings.startAdapter ? null : initialAdapter(plan.lora, plan.hparams.init_seed),
    trained: newest && newest.step > 0 ? newest.adapter : null,
    steps: newest?.steps ?? [],
  };
  // A failure reaches the reader through the stream.
  write(sink, input).catch((error: unknown) => sink.abort(error));
  return { files: [], download: { name: `${folder}.zip`, mimeType: 'application/zip', stream: sink.stream } };
}
