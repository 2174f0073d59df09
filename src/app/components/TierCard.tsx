/** What the GPU computes in: which tier, why not a faster one, and how it was found to compare with f32. */
import type { DeviceInfo, Tier, TierCheck, TierChoice } from '../../worker/protocol';
import { checkTierAgain, setTier, tierName } from '../store/device';
import { busyState, useRun } from '../store/run';
import { Segments } from './Segments';
import { Badge, Button, Progress } from './ui';

const ABOUT: Record<Tier, string> = {
  f32: 'All arithmetic has 32 bits.',
  f16: 'Large products multiply numbers of 16 bits and add up in 32.',
  'subgroup-matrix': 'Large products multiply numbers of 16 bits on the GPU’s matrix units and add up in 32.',
};

const ABOUT_FLOAT = 'All arithmetic has 32 bits; large products run on the GPU’s matrix units.';

const OPTIONS: [TierChoice, string][] = [
  ['auto', 'Auto'],
  ['f32', 'f32'],
  ['f16', 'f16'],
  ['subgroup-matrix', 'Matrix'],
];

const percent = (share: number): string => `${(100 * share).toPrecision(2)} %`;

const formatSeconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;

const FLOAT_UNITS =
  'This GPU’s matrix units multiply blocks of 8 × 8 numbers of 32 bits. Their kernel has never run on a real GPU of that ' +
  'kind, only in an emulation, so Auto leaves them out. Choose Matrix to have it checked against f32 and used.';

function Finding({ check, info }: { check: TierCheck; info: DeviceInfo }) {
  const { tier, passed, loss, gradients, problem } = check;
  if (!passed) {
    return (
      <p className="warn-text">
        {tierName(tier, info)} is not used on this GPU: {problem}.
      </p>
    );
  }
  return (
    <p className="fine">
      Checked on this GPU: in {tierName(tier, info)} a small step’s loss differs by {percent(loss ?? 0)} from f32’s, its
      gradients by {percent(gradients ?? 0)}.
    </p>
  );
}

export function TierCard({ info }: { info: DeviceInfo }) {
  const running = useRun((state) => busyState(state.progress));
  const { tier, tiers, choice, checks, activity, problem, measuredMs } = info;
  const missing = new Map(tiers.map((entry) => [entry.tier, entry.missing]));
  const lacking = tiers.filter((entry) => entry.missing !== null);
  const floatUnits = info.matrixOperands === 'f32';
  const told = checks.filter((check) => !check.passed || check.tier === tier);
  return (
    <section className="card compact" aria-labelledby="tier-title">
      <div className="spread">
        <h3 id="tier-title">Arithmetic</h3>
        <Badge>{tierName(tier, info)}</Badge>
      </div>
      <Segments
        legend="What the GPU computes in"
        className="tiers"
        options={OPTIONS}
        value={choice}
        onChange={(next) => void setTier(next)}
        disabled={running || activity !== null}
        closed={(option) => {
          const needs = option === 'auto' ? null : missing.get(option);
          return needs ? `Needs ${needs}` : undefined;
        }}
      />
      <p>{tier === 'subgroup-matrix' && floatUnits ? ABOUT_FLOAT : ABOUT[tier]}</p>
      {floatUnits && <p className="fine">{FLOAT_UNITS}</p>}
      {activity && (
        <>
          <Progress value={null} label={activity} />
          <p className="fine" aria-live="polite">
            {activity} …
          </p>
        </>
      )}
      {told.map((check) => (
        <Finding key={check.tier} check={check} info={info} />
      ))}
      {problem && <p className="warn-text">{problem}</p>}
      {!info.isSoftware &&
        lacking.map((entry) => (
          <p className="fine" key={entry.tier}>
            {tierName(entry.tier, info)} needs {entry.missing}.
          </p>
        ))}
      {measuredMs !== null && (
        <p className="fine">The kernels that are fastest on this GPU were found in {formatSeconds(measuredMs)}.</p>
      )}
      {!info.isSoftware && (
        <div>
          <Button disabled={running || activity !== null} onClick={() => void checkTierAgain()}>
            Measure and check again
          </Button>
        </div>
      )}
    </section>
  );
}
