import { formatBytes } from '../lib/format';
import { loadBuiltin, loadFile, useData } from '../store/data';
import { useModels } from '../store/models';
import { busyState, useRun } from '../store/run';
import { Glyph } from './icons';
import { Button, FileButton, Progress } from './ui';

const ACCEPT = '.jsonl,.ndjson,.json,.txt,application/json,application/x-ndjson';

/** Where pairs come from: a file, dropped or chosen, or a built-in set. */
export function DataSources() {
  const { reading, train } = useData();
  const dataOffers = useModels((state) => state.dataOffers);
  const running = useRun((state) => busyState(state.progress));
  const disabled = reading !== null || running;
  return (
    <section className="sources" aria-label="Choose data">
      <div className="drop-zone">
        <Glyph name="upload" className="big" />
        {reading ? (
          <div className="grow">
            <p>
              Reading <strong>{reading.name}</strong> …
            </p>
            <Progress
              value={reading.totalBytes > 0 ? reading.bytes / reading.totalBytes : null}
              label={`Reading ${reading.name}`}
            />
            {reading.totalBytes > 0 && (
              <p className="fine number">
                {formatBytes(reading.bytes)} of {formatBytes(reading.totalBytes)}
              </p>
            )}
          </div>
        ) : (
          <div className="grow">
            <p>
              <strong>Drop a JSONL file anywhere on this page</strong>
            </p>
            <p className="fine">
              with prompt, chosen and rejected (or request, chosen, rejected) on each line
              {running ? '. Data cannot be changed during a run' : ''}
            </p>
          </div>
        )}
        <FileButton
          label={train ? 'Choose another training file' : 'Choose a training file'}
          accept={ACCEPT}
          icon="file"
          look={train ? 'plain' : 'primary'}
          disabled={disabled}
          onFile={(file) => void loadFile('train', file)}
        />
      </div>
      {dataOffers.length > 0 && (
        <div className="builtin">
          <h2 className="section-title">Built-in sets</h2>
          <ul>
            {dataOffers.map((offer) => {
              const inUse = train?.name === offer.id;
              return (
                <li key={offer.id}>
                  <div className="grow">
                    <strong>{offer.title}</strong> <span className="muted">{offer.rows} rows</span>
                    <p className="fine">{offer.about}</p>
                  </div>
                  <Button
                    aria-label={`Use ${offer.title}`}
                    disabled={disabled}
                    onClick={() => void loadBuiltin('train', offer.id, offer.title)}
                  >
                    {inUse ? 'Use again' : 'Use'}
                  </Button>
                </li>
              );
            })}
          </ul>
        </div>
      )}
    </section>
  );
}

export { ACCEPT };
