/**
 * A run as transformers' trainer_state.json (`TrainerState.load_from_json`), whose log_history other tools read. Only
 * fields that every version since 4.31 has: older ones refuse names they do not know.
 */
import type { EvalRecord, StepRecord } from '../train/records';
import type { RunRecord } from './record';

/** JSON has no NaN: what is not finite is left out. */
const finite = (row: object): Record<string, number> =>
  Object.fromEntries(Object.entries(row as Record<string, number>).filter(([, value]) => Number.isFinite(value)));

export function trainerState(
  { settings: { hparams }, totalSteps }: Pick<RunRecord, 'settings' | 'totalSteps'>,
  steps: readonly StepRecord[],
  evals: readonly EvalRecord[],
): string {
  const epochs = new Map(steps.map(({ step, epoch }) => [step, epoch]));
  const rows: { step: number }[] = [...steps, ...evals.map((row) => ({ epoch: epochs.get(row.step) ?? 0, ...row }))];
  const best = evals.reduce<EvalRecord | null>((a, b) => (a && a.eval_loss <= b.eval_loss ? a : b), null);
  const every = (setting: number) => (setting > 0 && setting < 1 ? Math.ceil(totalSteps * setting) : setting);
  const last = steps.at(-1);
  const epoch = last?.epoch ?? 0;
  const epochsPlanned =
    hparams.max_steps > 0 && last ? Math.ceil((epoch * totalSteps) / last.step) : Math.ceil(hparams.num_train_epochs);
  const state = {
    best_metric: best?.eval_loss ?? null,
    best_model_checkpoint: best ? `checkpoint-${best.step}` : null,
    epoch,
    eval_steps: every(hparams.eval_steps) || totalSteps,
    global_step: last?.step ?? 0,
    is_hyper_param_search: false,
    is_local_process_zero: true,
    is_world_process_zero: true,
    log_history: rows.sort((a, b) => a.step - b.step).map(finite),
    logging_steps: 1,
    max_steps: totalSteps,
    num_input_tokens_seen: 0,
    num_train_epochs: epochsPlanned,
    save_steps: every(hparams.save_steps) || totalSteps,
    total_flos: 0,
    train_batch_size: hparams.per_device_train_batch_size,
    trial_name: null,
    trial_params: null,
  };
  return `${JSON.stringify(state, null, 2)}\n`;
}
