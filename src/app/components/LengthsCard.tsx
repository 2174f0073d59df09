import { useId } from 'react';
import type { DataMeasure, HParams, LengthHistogram } from '../../worker/protocol';
import { formatCount, formatPercent, formatRate, plural } from '../lib/format';
import { TRUNCATIONS } from '../settings/constants';
import { cancelInspect, inspect, useInspect } from '../store/inspect';
import { useModels } from '../store/models';
import { showFinding } from '../store/pairs';
import { busyState, useRun } from '../store/run';
import { useSettings } from '../store/settings';
import { goTo } from '../store/ui';
import { LengthPlot } from './LengthPlot';
import { Button, Progress } from './ui';

const RULES: Record<HParams['truncation'], string> = {
  sane: 'Prompt and answers share max_length. The prompt gives way first, keeping BOS and its end; then each answer is cut to what is left and still ends in EOS. Pairs of which no answer would remain are left out.',
  classic:
    'As TRL up to 0.27: an over-long prompt drops to max_prompt_length, then answers are cut to max_length − max_prompt_length, and lose their EOS.',
  trl1: 'As TRL from 0.28 on, which subtracts the wrong length: answers are cut far too short, often to nothing. Only for comparison.',
  independent: 'The prompt is never cut; each answer gets what it leaves, without EOS where it is cut.',
  none: 'Nothing is cut: the longest pair decides how much memory is needed.',
};

const counts = (histogram: LengthHistogram) => histogram.counts;

function Counts({ measure }: { measure: DataMeasure }) {
  const sides = [measure.train, measure.eval].filter((side) => side !== null).map(counts);
  const sum = (of: 'fits' | 'cut' | 'dropped') => sides.reduce((total, side) => total + side[of], 0);
  const all = sum('fits') + sum('cut') + sum('dropped');
  const share = (count: number) =>
    all > 0 && count > 0 ? ` (${formatPercent(count / all, count / all < 0.01 ? 2 : 0)})` : '';
  const roleOf = (of: 'cut' | 'dropped') => (measure.train.counts[of] > 0 ? 'train' : 'eval');
  const fate = (of: 'fits' | 'cut' | 'dropped', word: string) => (
    <li>
      <span className={`fate ${of}`} aria-hidden="true" /> <strong className="number">{formatCount(sum(of))}</strong>{' '}
      {word}
      {share(sum(of))}
      {of !== 'fits' && sum(of) > 0 && (
        <Button
          look="quiet"
          className="small"
          aria-label={`Show pairs ${of === 'cut' ? 'that are cut' : 'left out'}`}
          onClick={() => showFinding(of, roleOf(of))}
        >
          Show
        </Button>
      )}
    </li>
  );
  return (
    <ul className="fates">
      {fate('fits', 'fit')}
      {fate('cut', 'cut')}
      {fate('dropped', 'left out')}
    </ul>
  );
}

function Working() {
  const { measuring, progress, problem } = useInspect();
  const model = useModels((state) => state.model);
  if (!model) {
    return (
      <div className="spread wrap">
        <p className="muted">Lengths in tokens appear once a model is loaded: it brings the tokenizer.</p>
        <Button onClick={() => goTo('model')}>Choose a model</Button>
      </div>
    );
  }
  if (measuring) {
    const share = progress?.activity === 'tokenising' ? progress.done / progress.total : null;
    return (
      <div className="field-row">
        <div className="grow">
          <p className="fine number">
            {progress?.activity === 'tokenising'
              ? `Tokenising ${formatCount(progress.done)} of ${plural(progress.total, 'pair')}`
              : 'Tokenising …'}
          </p>
          <Progress value={share} label="Tokenising" />
        </div>
        <Button className="small" icon="stop" onClick={() => void cancelInspect()}>
          Cancel
        </Button>
      </div>
    );
  }
  if (!problem) return null;
  return (
    <div className="spread wrap">
      <p className="warn-text">{problem}</p>
      <Button onClick={() => void inspect()}>Count again</Button>
    </div>
  );
}

/** How long the pairs are, where the limit lies, and what becomes of those beyond it. */
export function LengthsCard() {
  const id = useId();
  const { measure, measuring } = useInspect();
  const { hparams, set } = useSettings();
  const running = useRun((state) => busyState(state.progress));
  return (
    <section className="card lengths" aria-label="Lengths">
      <div className="spread wrap">
        <h2>Lengths</h2>
        {measure && (
          <span className="fine number">
            {formatCount(measure.tokens)} tokens in all
            {measure.tokensPerSecond ? `, made at ${formatRate(measure.tokensPerSecond)} per second` : ''}
          </span>
        )}
      </div>
      <Working />
      {measure && (
        <div className={measuring ? 'stale' : undefined}>
          <LengthPlot histogram={measure.train} />
          <Counts measure={measure} />
          {measure.dropped.map(({ reason, count, message }) => (
            <p key={reason} className="fine">
              {plural(count, 'pair')} left out, for example: {message}
            </p>
          ))}
        </div>
      )}
      <div className="form-row">
        <label htmlFor={id}>What is too long</label>
        <select
          id={id}
          value={hparams.truncation}
          disabled={running}
          aria-describedby={`${id}about`}
          onChange={(event) => set('truncation', event.target.value as HParams['truncation'])}
        >
          {TRUNCATIONS.map(({ value, label }) => (
            <option key={value} value={value}>
              {label}
            </option>
          ))}
        </select>
      </div>
      <p id={`${id}about`} className="fine">
        {RULES[hparams.truncation]} max_length is {formatCount(hparams.max_length)}, max_prompt_length{' '}
        {formatCount(hparams.max_prompt_length)};{' '}
        <button type="button" className="link" onClick={() => goTo('settings')}>
          change them in the settings
        </button>
        .
      </p>
    </section>
  );
}
