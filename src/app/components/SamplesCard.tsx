/** Answers to a run's prompts: before training and at a step of choice, greedy and sampled. */
import { useId, useState } from 'react';
import type { SampleAnswer, SampleRecord } from '../../worker/protocol';
import { formatCount } from '../lib/format';

function Answer({ kind, answer }: { kind: 'greedy' | 'sampled'; answer: SampleAnswer }) {
  return (
    <div className="sample-answer">
      <span className="sample-kind">{kind}</span>
      <p>
        {answer.text.trim() === '' ? <em className="muted">nothing</em> : answer.text.trim()}
        {!answer.ended && (
          <span className="muted" title="Cut off at max_new_tokens">
            {' '}
            …
          </span>
        )}
      </p>
    </div>
  );
}

function Column({ title, of }: { title: string; of: SampleRecord['answers'][number] }) {
  return (
    <div className="sample-column">
      <h3>{title}</h3>
      <Answer kind="greedy" answer={of.greedy} />
      <Answer kind="sampled" answer={of.sampled} />
    </div>
  );
}

const titleOf = ({ step }: SampleRecord): string =>
  step === 0 ? 'Before training' : `After step ${formatCount(step)}`;

export function SamplesCard({ samples, heading }: { samples: readonly SampleRecord[]; heading: string }) {
  const slider = useId();
  const title = useId();
  // Null follows the newest.
  const [chosen, setChosen] = useState<number | null>(null);
  if (samples.length === 0) return null;
  const at = Math.min(chosen ?? samples.length - 1, samples.length - 1);
  const [first, now] = [samples[0], samples[at]];
  return (
    <section aria-labelledby={title} className="stack">
      <div className="charts-head">
        <h2 className="section-title" id={title}>
          {heading}
        </h2>
        {samples.length > 1 && (
          <div className="smoothing">
            <label htmlFor={slider}>At step</label>
            <input
              id={slider}
              type="range"
              min={0}
              max={samples.length - 1}
              step={1}
              value={at}
              aria-valuetext={titleOf(now)}
              onChange={({ target }) => {
                const index = Number(target.value);
                setChosen(index === samples.length - 1 ? null : index);
              }}
            />
            <output htmlFor={slider} className="number">
              {formatCount(now.step)}
            </output>
          </div>
        )}
      </div>
      <ol className="samples">
        {now.answers.map((answer, i) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: prompts of a run stay where they are
          <li className="card sample" key={i}>
            <p className="sample-prompt">
              <span className="visually-hidden">Prompt: </span>
              {answer.prompt.trim()}
            </p>
            <div className={at > 0 ? 'sample-columns two' : 'sample-columns'}>
              {at > 0 && <Column title={titleOf(first)} of={first.answers[i]} />}
              <Column title={titleOf(now)} of={answer} />
            </div>
          </li>
        ))}
      </ol>
    </section>
  );
}
