/** Settings that seldom work, each with where that is known from. They hold nothing back. */
import type { HParams } from './hparams';

export interface Advice {
  text: string;
  source: { title: string; url: string };
}

const ORPO = { title: 'ORPO paper, section 5 and appendix', url: 'https://arxiv.org/abs/2403.07691' };
const QLORA = { title: 'QLoRA paper, appendix B', url: 'https://arxiv.org/abs/2305.14314' };
const HANDBOOK = {
  title: 'alignment-handbook’s ORPO recipe',
  url: 'https://github.com/huggingface/alignment-handbook/tree/main/recipes/zephyr-141b-A35b',
};
const TRL = { title: 'TRL’s ORPO trainer', url: 'https://huggingface.co/docs/trl/main/en/orpo_trainer' };
const RSLORA = { title: 'rank-stabilised LoRA', url: 'https://arxiv.org/abs/2312.03732' };

export interface RunSize {
  /** Of the frozen model. */
  parameters: number;
  trainPairs: number;
  totalSteps: number;
  stepsPerEpoch: number;
}

/** Highest rate that published LoRA recipes use for a model of this size. */
const highestRate = (parameters: number): number => (parameters > 2e10 ? 1e-4 : parameters >= 5e8 ? 2e-4 : 2e-3);

export function adviceOn(h: HParams, size: RunSize): Advice[] {
  const advice: Advice[] = [];
  const add = (when: boolean, text: string, source: Advice['source']) => when && advice.push({ text, source });
  const billions = `${(size.parameters / 1e9).toPrecision(2)} B`;
  const most = highestRate(size.parameters);
  const epochs = size.totalSteps / Math.max(1, size.stepsPerEpoch);
  add(
    h.learning_rate > 2 * most,
    `learning_rate ${h.learning_rate} is far above what LoRA recipes use for a model of this size (${billions} parameters, about ${most}). The loss may jump.`,
    QLORA,
  );
  add(
    h.learning_rate < 1e-6,
    `learning_rate ${h.learning_rate} hardly moves an adapter; ORPO’s authors train the whole model at 8e-6, and an adapter wants more.`,
    ORPO,
  );
  add(
    h.beta === 0,
    'With beta 0 the rejected answers count for nothing: this is plain fine-tuning on the chosen ones.',
    TRL,
  );
  add(
    h.beta > 1,
    `beta ${h.beta} lets the preference outweigh the language-model loss, and answers tend to fall apart. Published runs use 0.05 to 0.25.`,
    HANDBOOK,
  );
  add(
    epochs > 5,
    `${Number(epochs.toFixed(1))} passes over the same pairs mostly memorise them. Watch the held-out loss, and take the checkpoint where it is lowest.`,
    ORPO,
  );
  add(
    size.totalSteps < 20 && size.parameters > 1e8,
    `The run has only ${size.totalSteps} steps: a rate that is safe for it changes little. Take more pairs, more epochs or a smaller batch.`,
    HANDBOOK,
  );
  add(
    h.lora_r > 64 && !h.use_rslora,
    `At rank ${h.lora_r} alpha divided by the rank makes each step small; switch on use_rslora, or raise lora_alpha.`,
    RSLORA,
  );
  return advice;
}
