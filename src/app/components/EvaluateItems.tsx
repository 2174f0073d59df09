/** The items of a task, first those that flipped: what each side gave every choice. */
import { useEffect, useId, useState } from 'react';
import type { ItemFilter, ItemSideView, ItemsPage, ItemView } from '../../worker/protocol';
import { formatCount } from '../lib/format';
import { fetchItems, saveEvaluation, useEvaluation } from '../store/evaluation';
import { Badge, Button } from './ui';

const PAGE = 25;

const FILTERS: [ItemFilter, string][] = [
  ['flipped', 'flipped'],
  ['won', 'became right'],
  ['lost', 'became wrong'],
  ['all', 'all'],
];

function Verdict({ side, name }: { side: ItemSideView; name: string }) {
  return (
    <Badge tone={side.right ? 'good' : 'bad'}>
      {name}: {side.right ? 'right' : 'wrong'}
    </Badge>
  );
}

const best = (scores: readonly number[]): number => scores.indexOf(Math.max(...scores));

function Choices({ item, names }: { item: ItemView; names: readonly string[] }) {
  return (
    <table className="eval-choices">
      <thead>
        <tr>
          <th scope="col">Choice</th>
          {names.map((name) => (
            <th scope="col" key={name}>
              {name}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {item.choices.map((choice, i) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: choices may repeat, and never move
          <tr key={i}>
            <th scope="row">
              {i === item.gold ? <strong>{choice}</strong> : choice}
              {i === item.gold && <span className="visually-hidden"> (right)</span>}
            </th>
            {item.sides.map((side, s) => (
              <td key={names[s]} className={best(side.scores) === i ? 'number picked' : 'number'}>
                {side.scores[i].toFixed(2)}
              </td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function Item({ item }: { item: ItemView }) {
  const names = item.sides.length > 1 ? ['base', 'tuned'] : ['base'];
  return (
    <li className="eval-item">
      <div className="spread wrap">
        <p className="eval-question">
          <span className="muted number">{formatCount(item.line)}</span> <bdi>{item.title.trim()}</bdi>
        </p>
        <span className="actions">
          {item.sides.map((side, i) => (
            <Verdict key={names[i]} side={side} name={names[i]} />
          ))}
        </span>
      </div>
      {item.target === null ? (
        <Choices item={item} names={names} />
      ) : (
        <p className="fine">
          Expected “{item.target}”; {item.sides.map((side, i) => `${names[i]} “${side.answer ?? ''}”`).join(', ')}.
        </p>
      )}
    </li>
  );
}

export function EvaluateItems() {
  const id = useId();
  const { reports, tuned } = useEvaluation();
  const tasks = reports.filter(({ rows }) => rows.length > 0);
  const [wantedTask, setTask] = useState('');
  const [wantedFilter, setFilter] = useState<ItemFilter>('flipped');
  const [query, setQuery] = useState('');
  const [count, setCount] = useState(PAGE);
  const [page, setPage] = useState<ItemsPage | null>(null);
  const task = tasks.find((report) => report.id === wantedTask) ?? tasks[0];
  const filter = tuned ? wantedFilter : 'all';
  const taskId = task?.id;
  const metric = task?.rows[0].metric;
  useEffect(() => {
    if (!taskId || !metric) return;
    let current = true;
    void fetchItems(taskId, metric, filter, query, count).then((answer) => current && setPage(answer));
    return () => {
      current = false;
    };
  }, [taskId, metric, filter, query, count]);
  if (!task) return null;
  return (
    <section className="card stack" aria-labelledby="eval-items">
      <div className="spread wrap">
        <h2 id="eval-items">Questions</h2>
        <Button look="quiet" className="small" icon="download" onClick={() => void saveEvaluation('items', task.id)}>
          Items as CSV
        </Button>
      </div>
      <div className="eval-numbers">
        <div className="eval-number">
          <label htmlFor={`${id}task`}>Task</label>
          <select id={`${id}task`} value={task.id} onChange={(event) => setTask(event.target.value)}>
            {tasks.map((report) => (
              <option key={report.id} value={report.id}>
                {report.title}
              </option>
            ))}
          </select>
        </div>
        {tuned && (
          <div className="eval-number">
            <label htmlFor={`${id}filter`}>Show</label>
            <select id={`${id}filter`} value={filter} onChange={(event) => setFilter(event.target.value as ItemFilter)}>
              {FILTERS.map(([value, label]) => (
                <option key={value} value={value}>
                  {label}
                </option>
              ))}
            </select>
          </div>
        )}
        <div className="eval-number">
          <label htmlFor={`${id}query`}>Search</label>
          <input id={`${id}query`} type="search" value={query} onChange={(event) => setQuery(event.target.value)} />
        </div>
      </div>
      <p className="fine" aria-live="polite">
        {page ? `${formatCount(page.total)} ${page.total === 1 ? 'question' : 'questions'}` : 'Looking …'}
      </p>
      <ol className="eval-items">
        {page?.items.map((item) => (
          <Item key={item.line} item={item} />
        ))}
      </ol>
      {page && page.items.length < page.total && (
        <div className="actions">
          <Button onClick={() => setCount(count + PAGE)}>Show more</Button>
        </div>
      )}
    </section>
  );
}
