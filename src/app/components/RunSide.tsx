import { type ReactNode, useEffect, useState } from 'react';
import { formatCount, formatDuration, formatMetric, formatSetting } from '../lib/format';
import { formatOffer } from '../settings/prompt';
import { metrics, useMetricsVersion } from '../store/metrics';
import { usePlan } from '../store/plan';
import { busyState, useRun } from '../store/run';
import { KernelCard } from './KernelCard';
import { MarginCard } from './MarginCard';
import { MemoryBar } from './MemoryBar';
import { PlanPanel, planFacts } from './PlanPanel';
import { Facts } from './ui';
import { WandbLine } from './WandbLine';

function Elapsed() {
  const { startedAt, endedAt } = useRun();
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    if (endedAt) return;
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, [endedAt]);
  if (!startedAt) return null;
  return <>{formatDuration(Math.max(0, (endedAt ?? now) - startedAt) / 1000)}</>;
}

function HeldOutTable() {
  useMetricsVersion();
  const rows = metrics.evals;
  if (rows.length === 0) return null;
  return (
    <section aria-labelledby="held-title">
      <h2 className="side-title" id="held-title">
        Held-out pairs
      </h2>
      <table className="held-table">
        <thead>
          <tr>
            <th scope="col">Step</th>
            <th scope="col">Loss</th>
            <th scope="col">Margin</th>
            <th scope="col">Acc.</th>
          </tr>
        </thead>
        <tbody className="number">
          {rows.slice(-8).map((record) => (
            <tr key={record.step}>
              <td>{formatCount(record.step)}</td>
              <td>{record.eval_loss.toFixed(3)}</td>
              <td>{formatMetric(record['eval_rewards/margins'])}</td>
              <td>{Math.round(record['eval_rewards/accuracies'] * 100)} %</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

/** What fills the GPU and what this run is. Before a run: the plan. */
export function RunSide() {
  const { facts, progress } = useRun();
  const planned = usePlan((state) => state.plan);
  if (!facts) return <PlanPanel />;
  const plan = facts.plan ?? planned;
  const { hparams } = facts.settings;
  const rows: [string, ReactNode][] = [
    ['Model', facts.modelTitle],
    ['Data', facts.dataName],
    ['Prompt format', formatOffer(facts.format ?? facts.settings.prompt?.format ?? 'auto').title],
    ['Truncation', `${hparams.truncation}, max_length ${formatCount(hparams.max_length)}`],
    ['Elapsed', <Elapsed key="elapsed" />],
    ['Adapter', `LoRA, rank ${hparams.lora_r}, alpha ${formatSetting(hparams.lora_alpha)}`],
    ['Learning rate', `${formatSetting(hparams.learning_rate)}, ${hparams.lr_scheduler_type}`],
    ['Beta', formatSetting(hparams.beta)],
    ['Seed', String(hparams.seed)],
  ];
  return (
    <>
      {plan && <MemoryBar items={plan.memory} total={plan.memoryBytes} />}
      <MarginCard />
      <HeldOutTable />
      <KernelCard />
      <section aria-labelledby="run-title">
        <h2 className="side-title" id="run-title">
          {busyState(progress) ? 'This run' : 'Last run'}
        </h2>
        <WandbLine />
        <Facts rows={plan ? [...rows, ...planFacts(plan)] : rows} />
      </section>
    </>
  );
}
