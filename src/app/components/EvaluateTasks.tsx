/** What is evaluated: tick tasks, add files, and start. */
import { type ReactNode, useEffect, useId } from 'react';
import { formatCount, formatDuration, formatPercent, plural } from '../lib/format';
import { useData } from '../store/data';
import {
  addFile,
  fetchBenchmarks,
  HELD_OUT,
  setEvaluation,
  startEvaluation,
  steerEvaluation,
  tasksOf,
  toggleTask,
  useEvaluation,
  useLimit,
} from '../store/evaluation';
import { useModels } from '../store/models';
import { busyState, hasAdapter, useRun } from '../store/run';
import { EvaluateHub } from './EvaluateHub';
import { NumberField, wholeFrom } from './NumberField';
import { Button, FileButton, Progress } from './ui';

function Task({ id, title, children }: { id: string; title: string; children: ReactNode }) {
  const chosen = useEvaluation((state) => state.chosen.includes(id));
  const working = useEvaluation((state) => state.progress !== null);
  const note = useId();
  return (
    <li className="eval-task">
      <label>
        <input
          type="checkbox"
          checked={chosen}
          disabled={working}
          aria-describedby={note}
          onChange={() => toggleTask(id)}
        />
        <span>{title}</span>
      </label>
      <p className="fine" id={note}>
        {children}
      </p>
    </li>
  );
}

function Working() {
  const progress = useEvaluation((state) => state.progress);
  if (!progress) return null;
  const { title, number, count, done, items, totalItems, secondsLeft, paused } = progress;
  const left = secondsLeft !== null && !paused ? ` · ${formatDuration(secondsLeft)} left` : '';
  const counted = totalItems > 0 ? ` · ${formatCount(items)} of ${formatCount(totalItems)}` : '';
  return (
    <div className="eval-working">
      <Progress label={`Evaluating ${title}`} value={done} />
      <p className="fine number">
        {paused ? 'Paused' : formatPercent(done)} · {title} ({number} of {count}){counted}
        {left}
      </p>
      <div className="actions">
        <Button icon={paused ? 'play' : 'pause'} onClick={() => void steerEvaluation(paused ? 'resume' : 'pause')}>
          {paused ? 'Go on' : 'Pause'}
        </Button>
        <Button onClick={() => void steerEvaluation('cancel')}>Cancel</Button>
      </div>
    </div>
  );
}

export function EvaluateTasks() {
  const { offers, own, chosen, shots, seed, progress } = useEvaluation();
  const evalPairs = useData((state) => state.evalPairs);
  const model = useModels((state) => state.model);
  const training = useRun((state) => busyState(state.progress));
  const tuned = useRun(hasAdapter);
  const limit = useLimit();
  useEffect(() => {
    void fetchBenchmarks();
  }, []);
  const ready = tasksOf({ offers, own }, evalPairs).filter(({ id }) => chosen.includes(id));
  const working = progress !== null;
  const why = !model ? 'Load a model first.' : training ? 'Wait for the end of the run, or stop it.' : null;
  return (
    <section className="card stack" aria-labelledby="eval-tasks">
      <h2 id="eval-tasks">Tasks</h2>
      <ul className="eval-tasks">
        {evalPairs > 0 && (
          <Task id={HELD_OUT} title="Held-out pairs">
            {plural(evalPairs, 'pair')} that training never saw: how often the chosen answer is the likelier one.
          </Task>
        )}
        {offers?.map(({ id, title, about }) => (
          <Task key={id} id={id} title={title}>
            {about}
          </Task>
        ))}
        {own.map(({ id, title, kind }) => (
          <Task key={id} id={id} title={title}>
            {kind === 'text' ? 'Perplexity of your text.' : 'Your benchmark.'}
          </Task>
        ))}
      </ul>
      <div className="actions">
        <FileButton
          label="Add a benchmark file"
          accept=".jsonl,.json,.csv,.tsv,.parquet,.gz"
          icon="upload"
          disabled={working}
          onFile={(file) => addFile(file, 'benchmark')}
        />
        <FileButton
          label="Add a plain text"
          accept=".txt,.md,text/plain"
          icon="upload"
          disabled={working}
          onFile={(file) => addFile(file, 'text')}
        />
      </div>
      <EvaluateHub disabled={working} />
      <div className="eval-numbers">
        <NumberField
          label="Questions of each task"
          value={limit}
          check={wholeFrom(1)}
          empty="all"
          disabled={working}
          onChange={(value) => setEvaluation({ limit: value })}
        />
        <NumberField
          label="Examples before each question"
          value={shots}
          check={wholeFrom(0)}
          disabled={working}
          onChange={(value) => setEvaluation({ shots: value ?? 0 })}
        />
        <NumberField
          label="Seed of the examples"
          value={seed}
          check={wholeFrom(0)}
          disabled={working}
          onChange={(value) => setEvaluation({ seed: value ?? 0 })}
        />
      </div>
      {working ? (
        <Working />
      ) : (
        <div className="actions">
          <Button
            look="primary"
            icon="play"
            disabled={why !== null || ready.length === 0}
            onClick={() => void startEvaluation(limit)}
          >
            {tuned ? 'Evaluate base and tuned' : 'Evaluate the base model'}
          </Button>
          <span className="fine">
            {why ?? (ready.length === 0 ? 'Tick at least one task.' : plural(ready.length, 'task'))}
          </span>
        </div>
      )}
    </section>
  );
}
