import { useId } from 'react';
import { formatCount, formatPercent } from '../lib/format';
import { loadFiles, useData } from '../store/data';
import { useInspect } from '../store/inspect';
import { busyState, useRun } from '../store/run';
import { useSettings } from '../store/settings';
import { ACCEPT } from './DataSources';
import { Segments } from './Segments';
import { FileButton } from './ui';

const WAYS = [
  ['prompt', 'by prompt'],
  ['row', 'by row'],
] as const;

/** Pairs that are measured and never trained on: a share of the file, or a file of their own. */
export function HoldOut() {
  const id = useId();
  const { evalFraction, splitBy, hparams, setEvalFraction, setSplitBy } = useSettings();
  const { trainPairs, evalPairs, reading } = useData();
  const both = useInspect((state) => state.check?.promptsOnBothSides ?? 0);
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
          onChange={(event) => setEvalFraction(Number(event.target.value) / 100)}
        />
        <output htmlFor={id} className="number">
          {formatPercent(evalFraction)}
        </output>
      </div>
      <div className="spread wrap">
        <Segments legend="What is drawn" options={WAYS} value={splitBy} disabled={running} onChange={setSplitBy} />
        <span className="fine">
          {splitBy === 'prompt' ? 'No prompt is on both sides' : 'Rows are drawn one by one'}; seed {hparams.seed}.
        </span>
      </div>
      <p className="fine">
        {formatCount(trainPairs)} to train on, {formatCount(evalPairs)} held out.
        {evalPairs === 0 ? ' Without held-out pairs the curves show only what was trained on.' : ''}
      </p>
      {both > 0 && (
        <p className="fine warn-text">
          {formatCount(both)} {both === 1 ? 'prompt is' : 'prompts are'} on both sides, so the held-out curves look
          better than they should.
        </p>
      )}
      <div className="spread">
        <span className="muted">or a file of their own</span>
        <FileButton
          label="Choose a held-out file"
          accept={ACCEPT}
          icon="file"
          multiple
          disabled={reading !== null || running}
          onFiles={(files) => void loadFiles('eval', files)}
        />
      </div>
    </section>
  );
}
