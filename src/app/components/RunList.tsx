/** The kept runs: one row each, with what it came to and what can be done with it. */
import { useEffect, useId, useState } from 'react';
import type { RunForm, RunSummary } from '../../worker/protocol';
import { formatBytes, formatChange, formatCount, formatDuration, formatMetric, formatPercent } from '../lib/format';
import { useModels } from '../store/models';
import { busyState, useRun } from '../store/run';
import {
  changeRun,
  deleteRun,
  fetchCurves,
  handOver,
  MOST_SHOWN,
  openRun,
  saveRun,
  takeSettings,
  toggleShown,
  useShelf,
} from '../store/run-shelf';
import { continueRun, wasCutOff } from '../store/runs';
import { goTo } from '../store/ui';
import { SamplesCard } from './SamplesCard';
import { TallyBar } from './TallyBar';
import { Badge, Button, Facts, IconButton } from './ui';

const day = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'short' });

function StateBadge({ run }: { run: RunSummary }) {
  const { state } = run.record;
  if (run.live) return <Badge tone="accent">training</Badge>;
  if (wasCutOff(run)) return <Badge tone="warn">cut off</Badge>;
  if (state === 'finished') return <Badge tone="good">finished</Badge>;
  return <Badge tone={state === 'failed' ? 'bad' : 'plain'}>{state === 'running' ? 'cut off' : state}</Badge>;
}

function Name({ run }: { run: RunSummary }) {
  const { id, name } = run.record;
  const [draft, setDraft] = useState<string | null>(null);
  if (draft === null) {
    return (
      <span className="run-name">
        <strong>{name}</strong>
        <IconButton icon="pen" label={`Rename ${name}`} onClick={() => setDraft(name)} />
      </span>
    );
  }
  const keep = () => {
    const wanted = draft.trim();
    if (wanted && wanted !== name) void changeRun(id, { name: wanted });
    setDraft(null);
  };
  return (
    <form
      className="run-name"
      onSubmit={(event) => {
        event.preventDefault();
        keep();
      }}
    >
      <input
        // biome-ignore lint/a11y/noAutofocus: the visitor has just asked to type here
        autoFocus
        aria-label="Name of the run"
        value={draft}
        maxLength={120}
        onChange={(event) => setDraft(event.target.value)}
        onBlur={keep}
        onKeyDown={(event) => event.key === 'Escape' && setDraft(null)}
      />
    </form>
  );
}

function Notes({ run }: { run: RunSummary }) {
  const { id, notes } = run.record;
  const [text, setText] = useState(notes);
  const field = useId();
  return (
    <div className="run-notes">
      <label htmlFor={field}>Notes</label>
      <textarea
        id={field}
        rows={2}
        value={text}
        placeholder="What was tried, and what came of it"
        onChange={(event) => setText(event.target.value)}
        onBlur={() => text !== notes && void changeRun(id, { notes: text })}
      />
    </div>
  );
}

const FORMS: { form: RunForm; label: string }[] = [
  { form: 'card', label: 'Run card' },
  { form: 'csv', label: 'CSV' },
  { form: 'trainer-state', label: 'trainer_state.json' },
  { form: 'tensorboard', label: 'TensorBoard' },
  { form: 'checkpoint', label: 'Checkpoint' },
];

/** Answers on the run's way, from its newest checkpoint. */
function KeptSamples({ run }: { run: RunSummary }) {
  const { id, settings } = run.record;
  const known = useShelf((state) => state.curves[id]);
  const any = settings.samples !== undefined && run.checkpoints.length > 0;
  useEffect(() => {
    if (any && !known) void fetchCurves(id);
  }, [any, known, id]);
  return known ? <SamplesCard samples={known.samples} heading="Answers on its way" /> : null;
}

function Details({ run }: { run: RunSummary }) {
  const { record, checkpoints, bytes } = run;
  const { hparams } = record.settings;
  const busy = useRun((state) => busyState(state.progress));
  const working = useShelf((state) => state.working !== null);
  const loading = useModels((state) => state.loadingId !== null);
  const can = !busy && !loading && !run.live;
  return (
    <div className="run-details">
      <Facts
        rows={[
          ['Model', `${record.model.title} · ${record.model.format}`],
          [
            'Data',
            `${record.data.name}, ${formatCount(record.data.trainPairs)} + ${formatCount(record.data.evalPairs)} held out`,
          ],
          ['Pairs’ fingerprint', <code key="print">{record.data.fingerprint.slice(0, 12)}</code>],
          [
            'Settings',
            `lr ${hparams.learning_rate}, β ${hparams.beta}, rank ${hparams.lora_r}, ${hparams.lr_scheduler_type}, seed ${hparams.seed}`,
          ],
          ['Device', record.device],
          ['Training time', formatDuration(record.seconds)],
          [
            'Checkpoints',
            `${checkpoints.length ? `step ${checkpoints.join(', ')}` : 'none yet'} · ${formatBytes(bytes)}`,
          ],
        ]}
      />
      {record.votes !== undefined && record.votes.length > 0 && (
        <section aria-label="Blind votes">
          <h2 className="section-title">Blind votes</h2>
          <TallyBar votes={record.votes} />
        </section>
      )}
      <KeptSamples run={run} />
      {record.error && <p className="fine bad-text">{record.error.message}</p>}
      <Notes key={record.notes} run={run} />
      <div className="actions">
        {record.step < record.totalSteps && (
          <Button icon="play" disabled={!can} onClick={() => void continueRun(run)}>
            {record.step > 0 ? `Continue from step ${formatCount(record.step)}` : 'Start it again'}
          </Button>
        )}
        {checkpoints.some((step) => step > 0) && (
          <Button icon="folder" disabled={!can} onClick={() => void openRun(run)}>
            Open for export
          </Button>
        )}
        <Button
          icon="copy"
          disabled={busy}
          onClick={() => {
            takeSettings(record);
            goTo('settings');
          }}
        >
          Use its settings
        </Button>
        <Button
          icon="arrow"
          title="A zip with rows, adapter, a TRL script and configs for Axolotl and LLaMA-Factory"
          disabled={!can || working}
          onClick={() => void handOver(run)}
        >
          Hand over to a bigger machine
        </Button>
        <Button look="danger" icon="trash" disabled={run.live} onClick={() => void deleteRun(run)}>
          Delete
        </Button>
      </div>
      <div className="actions">
        <span className="fine">Save as</span>
        {FORMS.map(({ form, label }) => (
          <Button
            key={form}
            look="quiet"
            className="small"
            icon="download"
            aria-label={`Save ${record.name} as ${label}`}
            disabled={working || (form !== 'card' && checkpoints.length === 0)}
            onClick={() => void saveRun(record.id, form)}
          >
            {label}
          </Button>
        ))}
      </div>
    </div>
  );
}

function Row({ run }: { run: RunSummary }) {
  const [open, setOpen] = useState(false);
  const shown = useShelf((state) => state.shown.find(({ id }) => id === run.record.id));
  const full = useShelf((state) => state.shown.length >= MOST_SHOWN);
  const { record } = run;
  const details = useId();
  const { last, lastEval } = record;
  const held = lastEval?.eval_loss;
  return (
    <li className={shown ? 'card run-row shown' : 'card run-row'}>
      <div className="run-head">
        <label className="run-pick">
          <input
            type="checkbox"
            checked={shown !== undefined}
            disabled={!shown && full}
            onChange={() => void toggleShown(record.id)}
            aria-label={`Draw ${record.name}`}
          />
          <span className={shown ? `swatch s-${shown.color}` : 'swatch none'} aria-hidden="true" />
        </label>
        <div className="run-title">
          <Name run={run} />
          <p className="fine">
            {day.format(record.createdAt)} · {record.data.name}
            {record.notes && ` · ${record.notes.slice(0, 80)}`}
          </p>
        </div>
        <StateBadge run={run} />
        <dl className="run-numbers number">
          <div>
            <dt>Steps</dt>
            <dd>
              {formatCount(record.step)} / {formatCount(record.totalSteps)}
            </dd>
          </div>
          <div>
            <dt>Loss</dt>
            <dd>{last ? formatMetric(last.loss) : '–'}</dd>
          </div>
          <div>
            <dt>Held out</dt>
            <dd>{held === undefined ? '–' : formatMetric(held)}</dd>
          </div>
          <div>
            <dt>Margin</dt>
            <dd>{last ? formatChange(last['rewards/margins']) : '–'}</dd>
          </div>
          <div>
            <dt>Accuracy</dt>
            <dd>{lastEval ? formatPercent(lastEval['eval_rewards/accuracies']) : '–'}</dd>
          </div>
        </dl>
        <Button
          look="quiet"
          className="small"
          aria-expanded={open}
          aria-controls={details}
          aria-label={`${open ? 'Less' : 'More'} about ${record.name}`}
          onClick={() => setOpen(!open)}
        >
          {open ? 'Less' : 'More'}
        </Button>
      </div>
      <div id={details} hidden={!open}>
        {open && <Details run={run} />}
      </div>
    </li>
  );
}

export function RunList({ runs }: { runs: readonly RunSummary[] }) {
  return (
    <ul className="run-list" aria-label="Kept runs">
      {runs.map((run) => (
        <Row key={run.record.id} run={run} />
      ))}
    </ul>
  );
}
