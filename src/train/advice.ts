/** Settings that seldom work, each with where that is known from. They hold nothing back. */
import type { HParams } from './hparams';

export interface Advice {
  text: string;
  source: { title: string; url: string };
}

const ORPO = { title: 'ORPO paper', url: 'https://arxiv.org/abs/2403.07691' };
/** The authors' settings: lambda 0.1, 0.2 and 0.25 for three models, 5 epochs. */
const SETTINGS = {
  title: 'ORPO’s settings for TRL’s index of papers',
  url: 'https://github.com/huggingface/trl/pull/5080',
};
/** A whole model at 8e-6, an adapter at 8e-5. */
const EXAMPLE = {
  title: 'TRL’s example of ORPO',
  url: 'https://github.com/huggingface/trl/blob/main/examples/scripts/orpo.py',
};
/** Beta 0.05, 100 steps of warm-up. */
const HANDBOOK = {
  title: 'alignment-handbook’s ORPO recipe',
  url: 'https://github.com/huggingface/alignment-handbook/blob/main/recipes/zephyr-141b-A35b/orpo/config_full.yaml',
};
/** 2e-4, and 1e-4 for models larger than 13B. */
const QLORA = { title: 'QLoRA’s own code', url: 'https://github.com/artidoro/qlora' };
/** Its abstract: dividing by the rank slows learning at higher ranks. */
const RSLORA = { title: 'rank-stabilised LoRA', url: 'https://arxiv.org/abs/2312.03732' };

export interface RunSize {
  /** Of the frozen model. */
  parameters: number;
  trainPairs: number;
  totalSteps: number;
  stepsPerEpoch: number;
}

/** QLoRA's rate for a model of this size; none for models far smaller than those it was tried on. */
const usualRate = (parameters: number): number => {
  if (parameters < 5e8) return Number.POSITIVE_INFINITY;
  return parameters > 1.4e10 ? 1e-4 : 2e-4;
};

export function adviceOn(h: HParams, size: RunSize): Advice[] {
  const advice: Advice[] = [];
  const add = (when: boolean, text: string, source: Advice['source']) => when && advice.push({ text, source });
  const billions = `${(size.parameters / 1e9).toPrecision(2)} B`;
  const usual = usualRate(size.parameters);
  const epochs = size.totalSteps / Math.max(1, size.stepsPerEpoch);
  add(
    h.learning_rate > 2 * usual,
    `learning_rate ${h.learning_rate} is far above the ${usual} that QLoRA uses for a model of this size (${billions} parameters). The loss may jump.`,
    QLORA,
  );
  add(
    h.learning_rate < 1e-6,
    `learning_rate ${h.learning_rate} hardly moves an adapter: TRL’s example trains a whole model at 8e-6, and an adapter at 8e-5.`,
    EXAMPLE,
  );
  add(
    h.beta === 0,
    'With beta 0 the rejected answers count for nothing: this is plain fine-tuning on the chosen ones.',
    ORPO,
  );
  add(
    h.beta > 1,
    `beta ${h.beta} gives the preference more weight than the language-model loss has. ORPO’s authors used 0.1 to 0.25.`,
    SETTINGS,
  );
  add(
    epochs > 5,
    `${Number(epochs.toFixed(1))} passes over the same pairs are more than the five of ORPO’s authors. Watch the held-out loss, and take the checkpoint where it is lowest.`,
    SETTINGS,
  );
  add(
    size.totalSteps < 20 && size.parameters > 1e8,
    `The run has only ${size.totalSteps} steps, where published runs take 100 to warm up. Take more pairs, more epochs or a smaller batch.`,
    HANDBOOK,
  );
  add(
    h.lora_r > 64 && !h.use_rslora,
    `At rank ${h.lora_r}, alpha divided by the rank slows learning down: switch on use_rslora, or raise lora_alpha.`,
    RSLORA,
  );
  return advice;
}
