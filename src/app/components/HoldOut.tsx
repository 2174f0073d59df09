import { useId } from 'react';
import { formatCount, formatPercent } from '../lib/format';
import { loadFile, setEvalFraction, useData } from '../store/data';
import { busyState, useRun } from '../store/run';
import { useSettings } from '../store/settings';
import { ACCEPT } from './DataSources';
import { FileButton } from './ui';

/** Pairs that are measured and never trained on: a share of the file, or a file of their own. */
export function HoldOut() {
  const id = useId();
  const evalFraction = useSettings((state) => state.evalFraction);
  const { trainPairs, evalPairs, reading } = useData();
  const running = useRun((state) => busyState(state.progress));
  return (
    <section className="card" aria-label="Held-out pairs">
      <h2>Held-out pairs</h2>
      <p>Measured during training, never trained on: they show whether what is learned carries over.</p>
      <div className="field-row">
        <label htmlFor={id}>Share held out</label>
        <input
          id={id}
          type="range"
          min={0}
          max={50}
          step={1}
          value={Math.round(evalFraction * 100)}
          disabled={running}
          aria-valuetext={formatPercent(evalFraction)}
          onChange={(event) => void setEvalFraction(Number(event.target.value) / 100)}
        />
        <output htmlFor={id} className="number">
          {formatPercent(evalFraction)}
        </output>
      </div>
      <p className="fine">
        {formatCount(trainPairs)} to train on, {formatCount(evalPairs)} held out.
        {evalPairs === 0 ? ' Without held-out pairs the curves show only what was trained on.' : ''}
      </p>
      <div className="spread">
        <span className="muted">or a file of their own</span>
        <FileButton
          label="Choose a held-out file"
          accept={ACCEPT}
          icon="file"
          disabled={reading !== null || running}
          onFile={(file) => void loadFile('eval', file)}
        />
      </div>
    </section>
  );
}
