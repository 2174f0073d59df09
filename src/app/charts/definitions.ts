/** Which curves the training view draws. Loss is `nll_loss - beta * log_odds_ratio`, so its two parts add up. */
import type { EvalRecord, StepRecord } from '../../worker/protocol';
import { formatMetric, formatPercent, formatScientific } from '../lib/format';

export interface Series {
  label: string;
  /** 1..6: a colour of the theme. */
  color: 1 | 2 | 3 | 4 | 5 | 6;
  of(record: StepRecord, beta: number): number;
  ofEval?(record: EvalRecord, beta: number): number;
}

export interface ChartDefinition {
  id: string;
  title: string;
  /** One sentence: how to read it. */
  about: string;
  series: Series[];
  format(value: number): string;
  /** The same for the value axis, where it is not simply a number. */
  tick?(value: number): string;
  /** False for what is a plan rather than a measurement. */
  smoothed: boolean;
  /** Value axis that does not depend on the data. */
  domain?: [number, number];
  /** A line to compare with. */
  guide?: { at(settings: { max_grad_norm: number }): number | null; label: string };
}

const percent = (value: number) => formatPercent(value);

export const CHARTS: ChartDefinition[] = [
  {
    id: 'loss',
    title: 'Loss',
    about: 'What is minimised, and its two parts: the language-model loss and beta times the odds-ratio term.',
    format: formatMetric,
    smoothed: true,
    series: [
      { label: 'loss', color: 1, of: (r) => r.loss, ofEval: (r) => r.eval_loss },
      { label: 'nll', color: 5, of: (r) => r.nll_loss, ofEval: (r) => r.eval_nll_loss },
      {
        label: 'β·odds',
        color: 4,
        of: (r, beta) => -beta * r.log_odds_ratio,
        ofEval: (r, beta) => -beta * r.eval_log_odds_ratio,
      },
    ],
  },
  {
    id: 'margins',
    title: 'Reward margin',
    about: 'Reward of chosen less reward of rejected: above zero the model prefers what it should.',
    format: formatMetric,
    smoothed: true,
    guide: { at: () => 0, label: '' },
    series: [{ label: 'margin', color: 2, of: (r) => r['rewards/margins'], ofEval: (r) => r['eval_rewards/margins'] }],
  },
  {
    id: 'accuracy',
    title: 'Accuracy',
    about: 'Share of pairs whose chosen answer is the likelier one. Half is chance.',
    format: percent,
    tick: percent,
    smoothed: true,
    domain: [0, 1],
    guide: { at: () => 0.5, label: '' },
    series: [
      {
        label: 'chosen preferred',
        color: 3,
        of: (r) => r['rewards/accuracies'],
        ofEval: (r) => r['eval_rewards/accuracies'],
      },
    ],
  },
  {
    id: 'rewards',
    title: 'Rewards',
    about: 'Beta times the mean log-probability of an answer’s tokens. The two should part, chosen on top.',
    format: formatMetric,
    smoothed: true,
    series: [
      { label: 'chosen', color: 2, of: (r) => r['rewards/chosen'], ofEval: (r) => r['eval_rewards/chosen'] },
      { label: 'rejected', color: 4, of: (r) => r['rewards/rejected'], ofEval: (r) => r['eval_rewards/rejected'] },
    ],
  },
  {
    id: 'log-odds',
    title: 'Log odds',
    about: 'Log of the odds of chosen over those of rejected, and its log-sigmoid, which the loss uses.',
    format: formatMetric,
    smoothed: true,
    series: [
      { label: 'log odds', color: 6, of: (r) => r.log_odds_chosen, ofEval: (r) => r.eval_log_odds_chosen },
      { label: 'log σ', color: 4, of: (r) => r.log_odds_ratio, ofEval: (r) => r.eval_log_odds_ratio },
    ],
  },
  {
    id: 'logps',
    title: 'Log-probs',
    about: 'Mean log-probability per token of the answers.',
    format: formatMetric,
    smoothed: true,
    series: [
      { label: 'chosen', color: 2, of: (r) => r['logps/chosen'], ofEval: (r) => r['eval_logps/chosen'] },
      { label: 'rejected', color: 4, of: (r) => r['logps/rejected'], ofEval: (r) => r['eval_logps/rejected'] },
    ],
  },
  {
    id: 'grad-norm',
    title: 'Gradient norm',
    about: 'Length of the gradient before clipping. Spikes above the clip are shortened to it.',
    format: formatMetric,
    smoothed: true,
    guide: { at: ({ max_grad_norm }) => (max_grad_norm > 0 ? max_grad_norm : null), label: 'clip' },
    series: [{ label: 'norm', color: 1, of: (r) => r.grad_norm }],
  },
  {
    id: 'learning-rate',
    title: 'Learning rate',
    about: 'The rate each step used.',
    format: (value) => (value === 0 ? '0' : formatScientific(value)),
    tick: (value) => (value === 0 ? '0' : formatScientific(value)),
    smoothed: false,
    series: [{ label: 'rate', color: 5, of: (r) => r.learning_rate }],
  },
];
