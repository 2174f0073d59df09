/** The steps of the job, always in sight. */
import { Fragment } from 'react';
import { formatCount } from '../lib/format';
import { useRuns, wasCutOff } from '../store/runs';
import { type StepStatus, useSteps } from '../store/steps';
import { goTo, useUi } from '../store/ui';
import { Glyph } from './icons';

const SPOKEN: Record<StepStatus['state'], string> = {
  done: 'done',
  open: 'to do',
  working: 'under way',
  locked: 'not yet available',
};

function Bubble({ state, number }: { state: StepStatus['state']; number: number }) {
  return (
    <span className={`bubble ${state}`} aria-hidden="true">
      {state === 'done' ? <Glyph name="check" /> : state === 'locked' ? <Glyph name="lock" /> : number}
    </span>
  );
}

/** Parts between dots, broken into lines at these first. */
function Pieces({ text }: { text: string }) {
  const pieces = text.split(' · ');
  return pieces.map((piece, i) => (
    <Fragment key={piece}>
      <span>{i < pieces.length - 1 ? `${piece} ·` : piece}</span>{' '}
    </Fragment>
  ));
}

/** The list of runs: beside the job, not a step of it. */
function RunsLink({ current }: { current: boolean }) {
  const runs = useRuns((state) => state.runs);
  const cutOff = runs?.filter(wasCutOff).length ?? 0;
  const kept = runs?.length ? `${formatCount(runs.length)} kept` : 'none yet';
  return (
    <div className="rail-more">
      <button
        type="button"
        className="rail-step"
        aria-current={current ? 'step' : undefined}
        onClick={() => goTo('runs')}
      >
        <Glyph name="list" className="rail-icon" />
        <span className="rail-text">
          <span className="rail-title">Runs</span>
          <span className="visually-hidden">, </span>
          <span className="rail-detail">{cutOff ? `${kept}, ${formatCount(cutOff)} cut off` : kept}</span>
        </span>
      </button>
    </div>
  );
}

export function Rail() {
  const steps = useSteps();
  const current = useUi((state) => state.step);
  return (
    <nav className="rail" aria-label="Steps">
      <ol>
        {steps.map(({ id, title, detail, state }, index) => (
          <li key={id}>
            <button
              type="button"
              className="rail-step"
              aria-current={id === current ? 'step' : undefined}
              onClick={() => goTo(id)}
            >
              <Bubble state={state} number={index + 1} />
              <span className="rail-text">
                <span className="rail-title">{title}</span>
                <span className="visually-hidden">, {SPOKEN[state]}: </span>
                <span className="rail-detail">
                  <Pieces text={detail} />
                </span>
              </span>
            </button>
          </li>
        ))}
      </ol>
      <RunsLink current={current === 'runs'} />
      <p className="promise">
        <Glyph name="shield" />
        <span>Model, data and training stay on this machine.</span>
      </p>
    </nav>
  );
}
