import { formatChange, formatMetric, formatPercent } from '../lib/format';
import { startAndNow } from '../lib/series';
import { metrics } from '../store/metrics';
import { useRun } from '../store/run';

type Mood = 'good' | 'bad' | 'plain';

interface Tile {
  label: string;
  value: string;
  change: string;
  mood: Mood;
  /** Second line: held-out value, or what to compare with. */
  note: string;
}

const signed = (whole: number): string => (whole > 0 ? `+${whole}` : `${whole}`.replace('-', '−'));
const moodOf = (change: number, better: 'up' | 'down'): Mood =>
  Math.abs(change) < 1e-9 ? 'plain' : change > 0 === (better === 'up') ? 'good' : 'bad';

function trainTile(label: string, values: number[], better: 'up' | 'down', percent: boolean, held: number[]): Tile {
  const { start, now } = startAndNow(values);
  const format = percent ? (value: number) => formatPercent(value) : formatMetric;
  const change = now - start;
  const heldOut = held.at(-1);
  const heldChange = heldOut === undefined ? 0 : heldOut - held[0];
  const heldText =
    heldOut === undefined
      ? ''
      : `held out ${format(heldOut)}${held.length > 1 ? ` (${percent ? signed(Math.round(heldChange * 100)) : formatChange(heldChange)})` : ''}`;
  const none = Number.isNaN(now);
  const many = values.length >= 2;
  return {
    label,
    value: none ? '–' : label === 'Reward margin' ? formatChange(now) : format(now),
    change: none || !many ? '' : percent ? `from ${format(start)}` : `${formatChange(change)} since start`,
    mood: many ? moodOf(change, better) : 'plain',
    note: heldText,
  };
}

/** A note whose parenthesis goes to the next line whole: "1.97e-3" may not part at its hyphen. */
function Note({ text }: { text: string }) {
  const [first, ...rest] = text.split(/ (?=\()/u);
  return (
    <>
      {first}
      {rest.map((part) => (
        <span key={part}>
          {' '}
          <span className="whole">{part}</span>
        </span>
      ))}
    </>
  );
}

/** The four numbers to watch. Each is a mean over the last few steps; single steps jump about. */
export function StatTiles({ version }: { version: number }) {
  const facts = useRun((state) => state.facts);
  const { steps, evals } = metrics;
  // The first and the last ten steps are all that is shown.
  const ends = steps.length > 20 ? [...steps.slice(0, 10), ...steps.slice(-10)] : steps;
  const pick = (key: 'loss' | 'rewards/margins' | 'rewards/accuracies' | 'grad_norm') => ends.map((r) => r[key]);
  const norm = trainTile('Gradient norm', pick('grad_norm'), 'down', false, []);
  const clip = facts?.settings.hparams.max_grad_norm ?? 0;
  const tiles: Tile[] = [
    trainTile(
      'Loss',
      pick('loss'),
      'down',
      false,
      evals.map((r) => r.eval_loss),
    ),
    trainTile(
      'Reward margin',
      pick('rewards/margins'),
      'up',
      false,
      evals.map((r) => r['eval_rewards/margins']),
    ),
    trainTile(
      'Accuracy',
      pick('rewards/accuracies'),
      'up',
      true,
      evals.map((r) => r['eval_rewards/accuracies']),
    ),
    { ...norm, mood: 'plain', note: clip > 0 ? `clip at ${clip}` : facts ? 'never clipped' : '' },
  ];
  const window = startAndNow(pick('loss')).window;
  return (
    <section aria-label="Latest values" data-version={version}>
      <ul className="tiles">
        {tiles.map(({ label, value, change, mood, note }) => (
          <li key={label} className="card tile">
            <h2>{label}</h2>
            <p className="tile-value number">{value}</p>
            <p className={`tile-change number ${mood}`}>{change || ' '}</p>
            <p className="fine number">{note ? <Note text={note} /> : ' '}</p>
          </li>
        ))}
      </ul>
      {steps.length > 1 && window > 1 && (
        <p className="visually-hidden">Training values are means over the last {window} steps.</p>
      )}
    </section>
  );
}
