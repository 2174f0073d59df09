import type { FloatDtype } from '../formats/float';
import type { HParams } from '../train/hparams';
import type { EvalRecord, StepRecord } from '../train/records';

/** What the model card tells; anything unknown is left out. */
export interface CardFacts {
  /** The model that was fine-tuned: a Hub id, or its name. */
  baseModel: string;
  /** Whether the base was quantised to 4 bits while training. */
  quantizedBase: boolean;
  dataName?: string;
  trainPairs?: number;
  hparams: HParams;
  lastStep?: StepRecord;
  lastEval?: EvalRecord;
}

const HPARAMS_TOLD = [
  ...(['beta', 'learning_rate', 'lr_scheduler_type', 'warmup_steps', 'num_train_epochs', 'max_steps'] as const),
  ...([
    'per_device_train_batch_size',
    'gradient_accumulation_steps',
    'optim',
    'weight_decay',
    'max_grad_norm',
  ] as const),
  ...(['max_length', 'max_prompt_length', 'truncation', 'seed'] as const),
  ...(['lora_r', 'lora_alpha', 'use_rslora', 'use_dora', 'target_modules'] as const),
];

const METRICS_TOLD = ['loss', 'nll_loss', 'rewards/margins', 'rewards/accuracies', 'log_odds_chosen'] as const;

/** A YAML double-quoted scalar; JSON's escapes are YAML's. */
const yaml = (text: string): string => JSON.stringify(text);
/** Text in a Markdown table cell or code span. */
const plain = (text: string): string => text.replace(/[`|\r\n]/gu, ' ');
const table = (head: [string, string], rows: (readonly [string, string])[]): string =>
  [`| ${head.join(' | ')} |`, '|---|---|', ...rows.map((row) => `| ${row.join(' | ')} |`)].join('\n');
const number = (x: number): string => (Number.isFinite(x) ? String(Number(x.toPrecision(5))) : 'not finite');

function body(facts: CardFacts, howToLoad: string): string {
  const { hparams, lastStep, lastEval, dataName, trainPairs } = facts;
  const value = (key: keyof HParams) => plain([hparams[key]].flat().join(', '));
  const parts = [
    `Fine-tuned from **${plain(facts.baseModel)}** with [ORPO](https://arxiv.org/abs/2403.07691) and LoRA` +
      `${facts.quantizedBase ? ' on a base in NF4 (QLoRA)' : ''}, in the browser, with ORPO Studio. ` +
      'Loss, batches and metric names are those of the TRL ORPOTrainer.',
    howToLoad,
  ];
  if (dataName) {
    parts.push(
      `## Data\n\n${plain(dataName)}${trainPairs === undefined ? '' : `: ${trainPairs} preference pairs trained on`}.`,
    );
  }
  if (lastStep) {
    const rows = METRICS_TOLD.map((name) => {
      const evaluated = lastEval ? number(lastEval[`eval_${name}`]) : '';
      return [`${name}`, `${number(lastStep[name])}${evaluated && ` | ${evaluated}`}`] as const;
    });
    const head = lastEval
      ? `last step (${lastStep.step}) | evaluation after step ${lastEval.step}`
      : `last step (${lastStep.step})`;
    const text = table(['metric', head], rows);
    parts.push(`## Results\n\n${lastEval ? text.replace('|---|---|', '|---|---|---|') : text}`);
  }
  parts.push(
    `## Settings\n\n${table(
      ['setting', 'value'],
      HPARAMS_TOLD.map((key) => [key, value(key)] as const),
    )}`,
  );
  return parts.join('\n\n');
}

function frontMatter(facts: CardFacts, library: string, extra: string[] = []): string {
  const tags = ['orpo', 'lora', 'orpo-studio', ...extra].map((tag) => `- ${tag}`);
  const lines = [
    `base_model: ${yaml(facts.baseModel)}`,
    `library_name: ${library}`,
    'pipeline_tag: text-generation',
    'tags:',
    ...tags,
  ];
  return `---\n${lines.join('\n')}\n---`;
}

const shortName = (facts: CardFacts): string => plain(facts.baseModel.split('/').at(-1) || 'model');

/** README.md of a merged model. */
export function mergedCard(facts: CardFacts, dtype: FloatDtype): string {
  const what = facts.quantizedBase
    ? `The adapter is merged into the dequantised base, which is what it was trained on; weights are ${dtype}.`
    : `The adapter is merged into the base; weights are ${dtype}.`;
  const load =
    '```python\nfrom transformers import AutoModelForCausalLM, AutoTokenizer\n\nmodel = AutoModelForCausalLM.from_pretrained("path/to/this/folder")\ntokenizer = AutoTokenizer.from_pretrained("path/to/this/folder")\n```';
  return `${frontMatter(facts, 'transformers')}\n\n# ${shortName(facts)}, ORPO\n\n${body(facts, `${what}\n\n${load}`)}\n`;
}

/** README.md of an adapter. */
export function adapterCard(facts: CardFacts): string {
  const load = `A LoRA adapter in PEFT's layout.\n\n\`\`\`python\nfrom peft import PeftModel\nfrom transformers import AutoModelForCausalLM\n\nbase = AutoModelForCausalLM.from_pretrained(${yaml(facts.baseModel)})\nmodel = PeftModel.from_pretrained(base, "path/to/this/folder")\n\`\`\``;
  return `${frontMatter(facts, 'peft')}\n\n# ${shortName(facts)}, ORPO adapter\n\n${body(facts, load)}\n`;
}
