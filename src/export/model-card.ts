import { version } from '../../package.json';
import type { HParams } from '../train/hparams';
import { cardCurves, tellNumber as number } from './card-curves';
import type { RunLog } from './log';
import type { MergeBase, OutputDtype } from './weights';

/** What the model card tells; anything unknown is left out. */
export interface CardFacts {
  /** The model that was fine-tuned: a Hub id, or its name. */
  baseModel: string;
  /** Whether the base was quantised to 4 bits while training. */
  quantizedBase: boolean;
  dataName?: string;
  trainPairs?: number;
  hparams: HParams;
  log?: RunLog;
  /** The GPU that it was trained on, and the capabilities that its kernels used. */
  gpu?: string;
  tier?: string;
}

/** Licences that the Hub knows by name, of bases whose names tell. */
const LICENCES: [RegExp, string][] = [
  [/llama-?3\.1/i, 'llama3.1'],
  [/llama-?3\.2/i, 'llama3.2'],
  [/llama-?3\.3/i, 'llama3.3'],
  [/llama-?3(?!\.)/i, 'llama3'],
  [/smollm|tinyllama|mistral-7b/i, 'apache-2.0'],
];

const licenceOf = (baseModel: string): string | undefined => LICENCES.find(([name]) => name.test(baseModel))?.[1];

function licenceNote({ baseModel }: CardFacts): string {
  const licence = licenceOf(baseModel);
  const llama = licence?.startsWith('llama')
    ? ' Built with Llama. If you pass it on, its licence asks for that line, for its text, and for a name that begins with “Llama”.'
    : '';
  return (
    `The licence of the base model, ${plain(baseModel)}, applies to this model as well${licence ? ` (${licence})` : ''}.${llama} ` +
    'The data it was trained on may have terms of its own.'
  );
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

function body(facts: CardFacts, howToLoad: string): string {
  const { hparams, log, dataName, trainPairs, gpu, tier } = facts;
  const [lastStep, lastEval] = [log?.steps.at(-1), log?.evals.at(-1)];
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
    const curves = cardCurves(log!);
    if (curves) parts.push(`## Curves\n\n${curves}`);
  }
  parts.push(
    `## Settings\n\n${table(
      ['setting', 'value'],
      HPARAMS_TOLD.map((key) => [key, value(key)] as const),
    )}`,
  );
  const versions: [string, string][] = [['ORPO Studio', version]];
  if (gpu) versions.push(['GPU', plain(gpu)]);
  if (tier) versions.push(['kernels', plain(tier)]);
  parts.push(`## Versions\n\n${table(['', ''], versions)}`, `## Licence\n\n${licenceNote(facts)}`);
  return parts.join('\n\n');
}

function frontMatter(facts: CardFacts, library: string, extra: string[] = []): string {
  const tags = ['orpo', 'lora', 'orpo-studio', ...extra].map((tag) => `- ${tag}`);
  const licence = licenceOf(facts.baseModel);
  const lines = [
    `base_model: ${yaml(facts.baseModel)}`,
    ...(licence ? [`license: ${licence}`] : []),
    `library_name: ${library}`,
    'pipeline_tag: text-generation',
    'tags:',
    ...tags,
  ];
  return `---\n${lines.join('\n')}\n---`;
}

const shortName = (facts: CardFacts): string => plain(facts.baseModel.split('/').at(-1) || 'model');

/** README.md of a merged model. */
export function mergedCard(facts: CardFacts, dtype: OutputDtype, base: MergeBase = 'trained'): string {
  const into = {
    trained: facts.quantizedBase
      ? 'The adapter is merged into the dequantised base, which is what it was trained on'
      : 'The adapter is merged into the base',
    source: 'The adapter is merged into the base’s own weights, finer than the 4-bit ones that it was trained on',
    nf4: 'The adapter is merged into the dequantised base, and the sum is quantised to NF4 again',
  }[base];
  const weights = dtype === 'source' ? 'weights are of the base’s dtypes' : `weights are ${dtype}`;
  const what = base === 'nf4' ? `${into}.` : `${into}; ${weights}.`;
  const load =
    '```python\nfrom transformers import AutoModelForCausalLM, AutoTokenizer\n\nmodel = AutoModelForCausalLM.from_pretrained("path/to/this/folder")\ntokenizer = AutoTokenizer.from_pretrained("path/to/this/folder")\n```';
  return `${frontMatter(facts, 'transformers')}\n\n# ${shortName(facts)}, ORPO\n\n${body(facts, `${what}\n\n${load}`)}\n`;
}

/** README.md beside a GGUF file. */
export function ggufCard(facts: CardFacts, fileName: string): string {
  const run = `\`\`\`sh\nllama-cli -m ${fileName} -p "Tell me a story."\n\n# or, with the Modelfile beside it\nollama create my-model -f Modelfile\nollama run my-model\n\`\`\``;
  return `${frontMatter(facts, 'gguf')}\n\n# ${shortName(facts)}, ORPO, GGUF\n\n${body(facts, `The merged model for llama.cpp and Ollama.\n\n${run}`)}\n`;
}

/** README.md of an adapter. */
export function adapterCard(facts: CardFacts): string {
  const load = `A LoRA adapter in PEFT's layout.\n\n\`\`\`python\nfrom peft import PeftModel\nfrom transformers import AutoModelForCausalLM\n\nbase = AutoModelForCausalLM.from_pretrained(${yaml(facts.baseModel)})\nmodel = PeftModel.from_pretrained(base, "path/to/this/folder")\n\`\`\``;
  return `${frontMatter(facts, 'peft')}\n\n# ${shortName(facts)}, ORPO adapter\n\n${body(facts, load)}\n`;
}
