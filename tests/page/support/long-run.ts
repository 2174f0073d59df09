/** A checkpoint file of a short run made into one of many steps: its log goes on as noisy copies of what is there. */
import { MersenneTwister } from '../../../src/data/random';
import { readTensorFile } from '../../../src/formats/tensor-file';
import { EXTRA, readCheckpoint, writeCheckpoint } from '../../../src/train/checkpoint-file';
import type { KeptRecord } from '../../../src/worker/protocol';

export async function lengthened(
  file: Uint8Array,
  { name, step, totalSteps, evalEvery }: { name: string; step: number; totalSteps: number; evalEvery: number },
): Promise<Uint8Array<ArrayBuffer>> {
  const { checkpoint, metadata } = await readCheckpoint(file, 'a checkpoint');
  const { tensors } = await readTensorFile(file, 'a checkpoint');
  const numbers = new MersenneTwister(7);
  const random = () => numbers.nextU32() / 2 ** 32;
  const noisy = <T extends object>(row: T, at: number): T =>
    ({
      ...Object.fromEntries(
        Object.entries(row as Record<string, number>).map(([key, value]) => [key, value * (0.8 + 0.4 * random())]),
      ),
      step: at,
    }) as T;
  const steps = Array.from({ length: step }, (_, i) => noisy(checkpoint.steps[i % checkpoint.steps.length], i + 1));
  const evals = Array.from({ length: step / evalEvery }, (_, i) =>
    noisy(checkpoint.evals[i % checkpoint.evals.length], (i + 1) * evalEvery),
  );
  const record = JSON.parse(metadata.run) as KeptRecord;
  record.settings.hparams.max_steps = totalSteps;
  // A checkpoint in mid-measurement would be a task of the engine's, not of the page's.
  record.settings.hparams.save_steps = 0;
  record.settings.hparams.eval_steps = 0;
  return writeCheckpoint(
    { ...checkpoint, step, steps, evals, sampler: { ...checkpoint.sampler, steps: step } },
    {
      metadata: { run: JSON.stringify({ ...record, name, step, totalSteps }) },
      tensors: [...tensors.values()]
        .filter((tensor) => tensor.name.startsWith(EXTRA))
        .map((tensor) => ({ ...tensor, name: tensor.name.slice(EXTRA.length) })),
    },
  );
}
