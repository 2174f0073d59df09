/** A kept run as one file: its newest checkpoint with its record and its pairs, and the way back. */
import { readTensorFile, writeTensorFile } from '../formats/tensor-file';
import { RunError } from '../runs/errors';
import { pairsFingerprint, pairsOf, pairTensors } from '../runs/pairs-file';
import type { KeptRun, RunStore } from '../runs/run-store';
import { readCheckpoint, writeCheckpoint } from '../train/checkpoint-file';
import { TrainingError } from '../train/errors';
import type { ExportResult, KeptRecord } from './protocol';

const RUN = 'run';

/** @throws RunError `no-checkpoint`, `damaged-run` */
export async function exportedCheckpoint(runs: RunStore<KeptRecord>, id: string): Promise<ExportResult> {
  const { record } = await runs.get(id);
  const { bytes, step } = await runs.newestCheckpoint(id);
  const { checkpoint } = await readCheckpoint(bytes, `checkpoint ${step}`);
  const { tensors } = await readTensorFile(await runs.pairs(id), 'pairs');
  const file = writeCheckpoint(checkpoint, {
    metadata: { [RUN]: JSON.stringify(record) },
    tensors: [...tensors.values()],
  });
  const name = `${record.model.id.split('/').at(-1)}-checkpoint-${step}.safetensors`;
  const stream = new Blob([file]).stream() as ReadableStream<Uint8Array>;
  return {
    files: [{ name, bytes: file.byteLength }],
    download: { name, mimeType: 'application/octet-stream', stream },
  };
}

/** @throws TrainingError `bad-checkpoint`, RunError `damaged-run` */
export async function importedCheckpoint(runs: RunStore<KeptRecord>, file: File): Promise<KeptRun<KeptRecord>> {
  const bytes = new Uint8Array(await file.arrayBuffer());
  const { checkpoint, metadata, extras } = await readCheckpoint(bytes, file.name);
  if (!metadata[RUN]) {
    throw new TrainingError(
      'bad-checkpoint',
      `${file.name} does not say which run it is of. Export it from the list of runs.`,
    );
  }
  const told = JSON.parse(metadata[RUN]) as KeptRecord;
  const pairs = pairTensors(pairsOf(extras));
  if ((await pairsFingerprint(pairs)) !== told.data.fingerprint) {
    throw new RunError(
      'damaged-run',
      `The pairs in ${file.name} are not those of its run. Export the checkpoint again.`,
    );
  }
  const id = crypto.randomUUID();
  const now = Date.now();
  const state = checkpoint.step >= told.totalSteps ? 'finished' : 'stopped';
  const record = { ...told, id, createdAt: now, updatedAt: now, deletedAt: null, state, error: null } as const;
  await runs.create(record, writeTensorFile(pairs, {}));
  await runs.addCheckpoint(id, checkpoint.step, writeCheckpoint(checkpoint), {}, 1);
  return runs.get(id);
}
