/** What this browser keeps of models and runs, how much room there is, and how fast it is. */
import { useEffect } from 'react';
import type { BackendReport, StorageReport, StoreBackend, StoredItem } from '../../worker/protocol';
import { OfflineCard } from '../components/OfflineCard';
import { Badge, Button, Empty, Facts, IconButton, Progress } from '../components/ui';
import { ViewHead } from '../components/ViewHead';
import { formatBytes, formatPercent, plural } from '../lib/format';
import { useModels } from '../store/models';
import { askToKeep, deleteStored, keyOf, measureStorage, refreshStorage, useStorage } from '../store/storage';
import { goTo } from '../store/ui';

const BACKENDS: Record<StoreBackend, string> = { indexeddb: 'IndexedDB', opfs: 'Private files (OPFS)' };
const KINDS: Record<string, string> = { model: 'Model', run: 'Run' };

const day = new Intl.DateTimeFormat('en', { dateStyle: 'medium', timeStyle: 'short' });

function StoredRow({ item }: { item: StoredItem }) {
  const deleting = useStorage((state) => state.deleting);
  const loadingId = useModels((state) => state.loadingId);
  const { kind, id, name, bytes, totalBytes, backend, lastUsed } = item;
  const whole = bytes >= totalBytes;
  return (
    <tr>
      <th scope="row">
        {name}
        {kind === 'model' && name !== id && <span className="fine stored-id">{id}</span>}
      </th>
      <td>{KINDS[kind] ?? kind}</td>
      <td className="number">{formatBytes(bytes)}</td>
      <td>{whole ? 'complete' : <Badge tone="warn">{formatPercent(bytes / Math.max(1, totalBytes))} of it</Badge>}</td>
      <td>{backend ? BACKENDS[backend] : '–'}</td>
      <td>{lastUsed === null ? 'not noted' : day.format(lastUsed)}</td>
      <td>
        <IconButton
          icon="trash"
          label={`Delete ${name}`}
          disabled={deleting !== null || loadingId === id}
          onClick={() => void deleteStored(item)}
        />
      </td>
    </tr>
  );
}

function StoredTable({ items }: { items: readonly StoredItem[] }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrollable region must be reachable by keyboard
    <section className="card scroll" tabIndex={0} aria-label="What is stored">
      <table className="stored-table">
        <thead>
          <tr>
            <th scope="col">Name</th>
            <th scope="col">Kind</th>
            <th scope="col" className="number">
              Size
            </th>
            <th scope="col">State</th>
            <th scope="col">Lies in</th>
            <th scope="col">Last used</th>
            <th scope="col">
              <span className="visually-hidden">Actions</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {items.map((item) => (
            <StoredRow key={keyOf(item)} item={item} />
          ))}
        </tbody>
      </table>
    </section>
  );
}

/** Room used and granted, and whether it is kept. */
function Room({ usage, quota, persisted }: StorageReport) {
  return (
    <section className="card compact" aria-labelledby="room-title">
      <h2 id="room-title">Room</h2>
      {usage === null || quota === null ? (
        <p className="muted">This browser does not say how much room there is.</p>
      ) : (
        <>
          <Progress value={usage / Math.max(1, quota)} label="Room used" />
          <p className="number">
            {formatBytes(usage)} used of {formatBytes(quota)} that the browser names as its limit
          </p>
          <p className="fine muted">
            The limit is for this site and may be rounded: a full disk ends it sooner. What is stored stays when a
            download finds no room, and goes on from there.
          </p>
        </>
      )}
      <div className="spread wrap">
        <span>
          {persisted === true
            ? 'Kept until you delete it'
            : persisted === false
              ? 'May be cleared away when the disk runs full'
              : 'The browser does not say whether it is kept'}
        </span>
        {persisted === false && (
          <Button icon="shield" onClick={() => void askToKeep()}>
            Ask the browser to keep it
          </Button>
        )}
      </div>
    </section>
  );
}

function speedText({ unavailable, speed }: BackendReport): string {
  if (unavailable) return `not available. ${unavailable}`;
  if (!speed) return 'not measured yet';
  return `reads ${formatBytes(speed.readBytesPerSecond)}/s, writes ${formatBytes(speed.writeBytesPerSecond)}/s`;
}

function Backends({ backends }: { backends: readonly BackendReport[] }) {
  const measuring = useStorage((state) => state.measuring);
  const loading = useModels((state) => state.loadingId !== null);
  return (
    <section className="card compact" aria-labelledby="speed-title">
      <h2 id="speed-title">Speed</h2>
      <Facts
        rows={backends.map((report) => [
          BACKENDS[report.backend],
          <span key={report.backend}>
            {speedText(report)} {report.chosen && <Badge tone="good">new models go here</Badge>}
          </span>,
        ])}
      />
      <p className="fine muted">
        32 MB are written and read, with checks, before the first large model is stored. Models stay where they are.
      </p>
      <div>
        <Button disabled={measuring || loading} onClick={() => void measureStorage()}>
          {measuring ? 'Measuring …' : 'Measure now'}
        </Button>
      </div>
    </section>
  );
}

export function StorageView() {
  const report = useStorage((state) => state.report);
  useEffect(() => void refreshStorage(), []);
  const items = report?.items ?? [];
  const bytes = items.reduce((sum, item) => sum + item.bytes, 0);
  return (
    <div className="view">
      <div className="view-main">
        <ViewHead
          title="Storage"
          note={
            items.length
              ? `${plural(items.length, 'thing')} in this browser, ${formatBytes(bytes)}.`
              : 'What this browser keeps of models and runs.'
          }
        />
        {!report && <p className="muted">Looking into storage …</p>}
        {report && items.length === 0 && (
          <Empty
            title="Nothing is stored"
            action={
              <Button look="primary" icon="arrow" onClick={() => goTo('model')}>
                Go to models
              </Button>
            }
          >
            Models that are downloaded and runs that are trained are kept here, on this machine, until you delete them.
          </Empty>
        )}
        {items.length > 0 && <StoredTable items={items} />}
        {report && (
          <div className="storage-cards">
            <Room {...report} />
            <Backends backends={report.backends} />
            <OfflineCard />
          </div>
        )}
      </div>
    </div>
  );
}
