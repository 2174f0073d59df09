/** The README of a hand-over folder. */
import type { RunRecord } from '../record';
import type { JobFacts } from './configs';

export function handOverReadme(record: RunRecord, job: JobFacts, firstLoss: number | null): string {
  const { hparams } = job;
  const { name, data, model } = record;
  const steps = `${record.step} of ${record.totalSteps} steps`;
  const start = job.start
    ? `\`${job.start}/\` is the adapter to start from, in PEFT's layout.`
    : 'The run began with an adapter of yours; put its folder here and name it with `--start`.';
  const promptNote = hparams.nll_on_prompt
    ? ''
    : '\n- `nll_on_prompt` was off in the studio. TRL always takes the prompt into its language-model loss, so its numbers differ.\n';
  return `# ${name}

A preference-tuning job (ORPO) from ORPO Studio, ready for a bigger machine: same rows, tokens, LoRA, schedule and seed.
It was trained for ${steps} on ${data.name} (${data.trainPairs} pairs, ${data.evalPairs} held out) with ${model.title}.

## Files

- \`train.jsonl\`, \`eval.jsonl\`: one pair a line. \`prompt\`, \`chosen\`, \`rejected\` are text in the run's template, shortened as in the
  run; \`chosen_input_ids\` and so on are the very tokens it trained on.
- ${start}${record.step > 0 ? `\n- \`adapter-step-${record.step}/\` is the adapter after ${record.step} steps.` : ''}
- \`job.json\`: every setting, under the names of TRL, transformers and PEFT; \`hparams.json\`: those that the numbers depend on.
- \`train_trl.py\`, \`accelerate.yaml\`: TRL + PEFT + accelerate. \`axolotl.yaml\`, \`llamafactory.yaml\` (with \`dataset_info.json\`): the
  same job for those trainers.

## Base model

\`${job.model}\`${job.isNf4 ? ', whose weights are in 4 bits (bitsandbytes) as they lie' : ''}${job.quantizeNf4 ? ', quantised to NF4 as it is loaded' : ''}. Give its folder or repository with \`--model\` where that
name is not one of the Hub.

## TRL

    pip install torch transformers trl peft accelerate datasets safetensors${job.quantizeNf4 || job.isNf4 ? ' bitsandbytes' : ''}
    python train_trl.py --model ${job.model}
    accelerate launch --config_file accelerate.yaml train_trl.py --model ${job.model}

With \`--dtype float32\` (as by default) the loss of step 1 is the studio's${firstLoss === null ? '' : `, ${firstLoss.toPrecision(8)},`} to about four digits after the point.
\`--dtype bfloat16\` is much faster and differs in the third digit.
${record.step > 0 ? `\nTo go on from where the studio was: \`--start adapter-step-${record.step}\`. The optimizer's moments and the schedule start afresh.\n` : ''}
## Axolotl, LLaMA-Factory

    axolotl train axolotl.yaml
    llamafactory-cli train llamafactory.yaml

They tokenise the text themselves, so a token at a seam may differ, and their defaults beyond these settings are their own.
Set \`gradient_accumulation_steps\` so that it times the number of GPUs gives ${hparams.gradient_accumulation_steps}.
${promptNote}
## Back again

The adapter that comes out is \`adapter_model.safetensors\` with \`adapter_config.json\`. Drop both on the page to train it further.
`;
}
