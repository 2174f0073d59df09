/** GPU time of one step, by operation. */
import { formatCount } from '../lib/format';
import { timeNextStep, useKernels } from '../store/kernels';
import { busyState, useRun } from '../store/run';
import { Button } from './ui';

const SHOWN = 8;

const milliseconds = (ms: number): string => `${ms >= 10 ? ms.toFixed(0) : ms.toFixed(ms >= 1 ? 1 : 2)} ms`;

export function KernelCard() {
  const { latest, waiting, problem } = useKernels();
  const state = useRun(({ progress }) => progress?.state);
  const busy = useRun(({ progress }) => busyState(progress));
  if (!busy && !latest) return null;
  const all = latest?.times ?? [];
  const total = all.reduce((sum, { ms }) => sum + ms, 0);
  const rest = all.slice(SHOWN).reduce((sum, { ms }) => sum + ms, 0);
  const rows = [
    ...all.slice(0, SHOWN).map(({ name, ms, dispatches }) => ({ name, ms, note: `${formatCount(dispatches)} ×` })),
    ...(rest > 0 ? [{ name: 'all others', ms: rest, note: '' }] : []),
  ];
  return (
    <section aria-labelledby="kernels-title">
      <div className="spread">
        <h2 className="side-title" id="kernels-title">
          GPU time
        </h2>
        {busy && (
          <Button
            look="quiet"
            className="small"
            disabled={waiting || (state !== 'running' && state !== 'paused')}
            onClick={() => void timeNextStep()}
          >
            {waiting ? 'timing …' : 'Time one step'}
          </Button>
        )}
      </div>
      {problem && <p className="fine">{problem}</p>}
      {latest ? (
        <>
          <ul className="kernel-list">
            {rows.map(({ name, ms, note }) => (
              <li key={name}>
                <span
                  className="kernel-bar"
                  style={{ width: `${(100 * ms) / Math.max(total, 1e-9)}%` }}
                  aria-hidden="true"
                />
                <code className="grow">{name}</code>
                <span className="fine number">{note}</span>
                <span className="number">{milliseconds(ms)}</span>
              </li>
            ))}
          </ul>
          <p className="fine">
            Step {formatCount(latest.step)}: {milliseconds(total)} on the GPU. Browsers may round each kernel’s time to
            0.1 ms.
          </p>
        </>
      ) : (
        <p className="fine">Times every kernel of one step; the numbers stay the same, that step is slower.</p>
      )}
    </section>
  );
}
