import { describe, expect, it } from 'vitest';
import { version } from '../../package.json';
import { logCsv, logJsonl } from '../../src/export/log';
import { adapterCard, ggufCard, mergedCard } from '../../src/export/model-card';
import { DEFAULT_HPARAMS } from '../../src/train/hparams';
import type { EvalRecord, StepRecord } from '../../src/train/records';
import { fixture } from '../support/files';

async function records<T>(name: string): Promise<T[]> {
  const text = new TextDecoder().decode(await fixture(`tests/goldens/stories-260k-lora/${name}`));
  return text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
}
const steps = (await records<StepRecord & { micro?: unknown; micro_loss?: unknown }>('log.jsonl')).map(
  ({ micro: _, micro_loss: __, ...record }) => record as StepRecord,
);
const evals = await records<EvalRecord>('eval.jsonl');

describe('the log', () => {
  it('as JSONL has every record whole, evaluations after their step', () => {
    const lines = logJsonl({ steps, evals })
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines).toHaveLength(steps.length + evals.length);
    expect(lines.filter((line) => 'loss' in line)).toEqual(steps);
    expect(lines.filter((line) => 'eval_loss' in line)).toEqual(evals);
    const at = lines.findIndex((line) => 'eval_loss' in line);
    expect([lines[at - 1].step, lines[at].step, lines[at + 1].step]).toEqual([6, 6, 7]);
  });

  it('as CSV has a row a step, at full precision', () => {
    const [head, ...rows] = logCsv({ steps, evals })
      .trimEnd()
      .split('\r\n')
      .map((line) => line.split(','));
    expect(head.slice(0, 6)).toEqual(['step', 'epoch', 'loss', 'grad_norm', 'learning_rate', 'nll_loss']);
    expect(head).toContain('rewards/margins');
    expect(head).toContain('eval_rewards/margins');
    expect(rows).toHaveLength(24);
    expect(new Set(rows.map((row) => row.length))).toEqual(new Set([head.length]));
    expect(Number(rows[2][head.indexOf('loss')])).toBe(steps[2].loss);
    expect(rows[0][head.indexOf('eval_loss')]).toBe('');
    expect(Number(rows[5][head.indexOf('eval_loss')])).toBe(evals[0].eval_loss);
  });

  it('leaves a cell empty where a value is not finite, and has a head without rows', () => {
    const csv = logCsv({ steps: [{ ...steps[0], loss: Number.NaN }], evals: [] }).split('\r\n');
    expect(csv[1].split(',').slice(0, 3)).toEqual(['1', String(steps[0].epoch), '']);
    expect(logCsv({ steps: [], evals: [] })).toBe('step,epoch,loss,grad_norm,learning_rate\r\n');
  });
});

describe('model cards', () => {
  const facts = {
    baseModel: 'meta-llama/Llama-3.2-1B',
    quantizedBase: true,
    dataName: 'politeness | pairs.jsonl',
    trainPairs: 120,
    hparams: DEFAULT_HPARAMS as typeof DEFAULT_HPARAMS & { target_modules: never[] },
    log: { steps, evals },
    gpu: 'Some | GPU',
    tier: 'f32',
  };

  it('tell base, data, settings and results', () => {
    const card = mergedCard(facts, 'BF16');
    expect(card).toMatch(
      /^---\nbase_model: "meta-llama\/Llama-3\.2-1B"\nlicense: llama3\.2\nlibrary_name: transformers\n/,
    );
    expect(card).toContain('tags:\n- orpo\n- lora\n');
    expect(card).toContain('# Llama-3.2-1B, ORPO');
    expect(card).toContain('dequantised base');
    expect(card).toContain('politeness   pairs.jsonl: 120 preference pairs');
    expect(card).toContain('| learning_rate | 0.000008 |');
    expect(card).toContain('| target_modules | q_proj, k_proj,');
    expect(card).toContain(
      `| loss | ${Number(steps.at(-1)!.loss.toPrecision(5))} | ${Number(evals.at(-1)!.eval_loss.toPrecision(5))} |`,
    );
    for (const table of card
      .trimEnd()
      .split('\n\n')
      .filter((part) => part.startsWith('|'))) {
      expect(new Set(table.split('\n').map((line) => line.split('|').length)).size, table).toBe(1);
    }
  });

  it('draw the curves, and tell versions, GPU and licence', () => {
    const card = mergedCard(facts, 'source', 'source');
    const line = /^loss +([▁▂▃▄▅▆▇█]+)$/mu.exec(card)![1];
    expect(line).toHaveLength(24);
    const losses = steps.map(({ loss }) => loss);
    expect(line[losses.indexOf(Math.min(...losses))]).toBe('▁');
    expect(line[losses.indexOf(Math.max(...losses))]).toBe('█');
    const mean = (steps[0].loss + steps[1].loss) / 2;
    expect(card).toContain(`| 1–2 | ${Number(mean.toPrecision(5))} |`);
    expect(card).toContain(`| ${evals[0].step} | ${Number(evals[0].eval_loss.toPrecision(5))} |`);
    expect(card).toContain(`| ORPO Studio | ${version} |\n| GPU | Some   GPU |\n| kernels | f32 |`);
    expect(card).toContain('(llama3.2). Built with Llama.');
    expect(card).toContain('the base’s dtypes');
    expect(ggufCard(facts, 'm-Q8_0.gguf')).toContain('llama-cli -m m-Q8_0.gguf');
    const other = mergedCard({ ...facts, baseModel: 'stories-260k' }, 'F16');
    expect(other).not.toMatch(/^license:|Built with/mu);
    expect(other).toContain('The licence of the base model, stories-260k, applies');
  });

  it('of adapters say how PEFT loads them, and leave out what is not known', () => {
    const card = adapterCard({ baseModel: 'stories-260k', quantizedBase: false, hparams: facts.hparams });
    expect(card).toContain('library_name: peft');
    expect(card).toContain('PeftModel.from_pretrained');
    expect(card).not.toMatch(/## (Data|Results|Curves)|undefined|NF4/);
  });
});
