import type { RunPlan } from '../../worker/protocol';
import { formatCount, formatParameters, formatPercent, plural } from '../lib/format';
import { checkHParams } from '../settings/validate';
import { useData } from '../store/data';
import { useModels } from '../store/models';
import { usePlan } from '../store/plan';
import { useSettings } from '../store/settings';
import { goTo } from '../store/ui';
import { Glyph } from './icons';
import { MemoryBar } from './MemoryBar';
import { TimeEstimate } from './TimeEstimate';
import { Button, Facts } from './ui';

export function PlanMessages({ blockers, warnings }: Pick<RunPlan, 'blockers' | 'warnings'>) {
  if (blockers.length + warnings.length === 0) return null;
  return (
    <ul className="plan-messages">
      {blockers.map((text) => (
        <li key={text} className="bad">
          <Glyph name="alert" />
          <span>
            <span className="visually-hidden">Must be changed: </span>
            {text}
          </span>
        </li>
      ))}
      {warnings.map((text) => (
        <li key={text} className="warn">
          <Glyph name="info" />
          <span>
            <span className="visually-hidden">Warning: </span>
            {text}
          </span>
        </li>
      ))}
    </ul>
  );
}

/** Settings that seldom work, each with where that is known from. */
function AdviceList({ advice }: Pick<RunPlan, 'advice'>) {
  if (advice.length === 0) return null;
  return (
    <ul className="plan-messages advice" aria-label="Settings that seldom work">
      {advice.map(({ text, source }) => (
        <li key={text} className="warn">
          <Glyph name="info" />
          <span>
            <span className="visually-hidden">Warning: </span>
            {text}{' '}
            <a href={source.url} target="_blank" rel="noreferrer">
              {source.title}
            </a>
          </span>
        </li>
      ))}
    </ul>
  );
}

export function planFacts(plan: RunPlan): [string, string][] {
  const saved = plan.paddedTokens > 0 ? 1 - plan.trainTokens / plan.paddedTokens : 0;
  const rows: [string, string][] = [
    ['Steps', `${formatCount(plan.totalSteps)} (${formatCount(plan.stepsPerEpoch)} per epoch)`],
    ['Warm-up', plural(plan.warmupSteps, 'step')],
    ['Effective batch', plural(plan.effectiveBatch, 'pair')],
    ['Training pairs', formatCount(plan.trainPairs)],
    ['Held-out pairs', formatCount(plan.evalPairs)],
    ['Tokens computed', formatCount(plan.trainTokens)],
    [
      'TRL, with padding',
      `${formatCount(plan.paddedTokens)}${saved > 0.005 ? ` (${formatPercent(saved)} saved)` : ''}`,
    ],
    ['Trainable parameters', formatParameters(plan.trainableParameters)],
  ];
  if (plan.truncatedPairs > 0) rows.push(['Shortened pairs', formatCount(plan.truncatedPairs)]);
  if (plan.droppedPairs > 0) rows.push(['Pairs left out', formatCount(plan.droppedPairs)]);
  return rows;
}

function Missing() {
  const model = useModels((state) => state.model);
  const train = useData((state) => state.train);
  if (model && train) return null;
  return (
    <div className="card compact">
      <p>The plan appears here once there are a model and data.</p>
      <div className="actions">
        {!model && <Button onClick={() => goTo('model')}>Choose a model</Button>}
        {!train && <Button onClick={() => goTo('data')}>Choose data</Button>}
      </div>
    </div>
  );
}

/** What will run with these settings, as the engine worked it out. */
export function PlanPanel() {
  const { plan, planning, problem } = usePlan();
  const { hparams, invalid } = useSettings();
  const broken = Object.keys({ ...checkHParams(hparams), ...invalid });
  return (
    <>
      <div className="spread">
        <h2 className="side-title">Plan</h2>
        <span className="fine" role="status">
          {planning ? 'working it out …' : ''}
        </span>
      </div>
      <Missing />
      {broken.length > 0 && (
        <PlanMessages blockers={[`There is no plan until these are mended: ${broken.join(', ')}.`]} warnings={[]} />
      )}
      {problem && <PlanMessages blockers={[problem]} warnings={[]} />}
      {plan && (
        <div className={planning ? 'plan stale' : 'plan'}>
          <PlanMessages blockers={plan.blockers} warnings={plan.warnings} />
          <AdviceList advice={plan.advice} />
          <TimeEstimate />
          <Facts rows={planFacts(plan)} />
          <MemoryBar items={plan.memory} total={plan.memoryBytes} />
        </div>
      )}
    </>
  );
}
