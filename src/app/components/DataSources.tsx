import { useState } from 'react';
import { formatBytes } from '../lib/format';
import { cancelRead, loadBuiltin, loadFiles, loadText, useData } from '../store/data';
import { useModels } from '../store/models';
import { busyState, useRun } from '../store/run';
import { HubForm } from './HubForm';
import { Glyph } from './icons';
import { LargeFiles, ReadAmountField } from './ReadAmountField';
import { Button, FileButton, Progress } from './ui';

const ENDINGS = ['.jsonl', '.ndjson', '.json', '.csv', '.tsv', '.txt', '.parquet', '.gz'];
export const ACCEPT = `${ENDINGS.join(',')},application/json,application/x-ndjson,text/csv`;

function Reading() {
  const { reading, preview } = useData();
  if (!reading) return null;
  const known = reading.totalBytes > 0;
  return (
    <div className="grow">
      <p>
        Reading <strong>{reading.name}</strong> …
      </p>
      <Progress value={known ? reading.bytes / reading.totalBytes : null} label={`Reading ${reading.name}`} />
      <div className="spread">
        <p className="fine number">
          {known ? `${formatBytes(reading.bytes)} of ${formatBytes(reading.totalBytes)}` : ''}
          {preview ? ` · read as ${preview.schema}` : ''}
        </p>
        <Button icon="stop" className="small" onClick={() => void cancelRead()}>
          Cancel
        </Button>
      </div>
    </div>
  );
}

function PasteForm({ disabled, onDone }: { disabled: boolean; onDone(): void }) {
  const [text, setText] = useState('');
  return (
    <form
      className="source-form"
      onSubmit={(event) => {
        event.preventDefault();
        void loadText('train', text).then((done) => done && onDone());
      }}
    >
      <label htmlFor="pasted">Rows as JSON lines, a JSON array, CSV or TSV</label>
      <textarea
        id="pasted"
        rows={6}
        spellCheck={false}
        value={text}
        placeholder={'{"prompt": "…", "chosen": "…", "rejected": "…"}'}
        onChange={(event) => setText(event.target.value)}
      />
      <div className="actions">
        <Button type="submit" look="primary" disabled={disabled || text.trim() === ''}>
          Read these rows
        </Button>
      </div>
    </form>
  );
}

type Open = 'paste' | 'hub' | null;

/** Where pairs come from: files, dropped or chosen; pasted rows; a data set of the hub; or a built-in set. */
export function DataSources() {
  const { reading, train, large } = useData();
  const dataOffers = useModels((state) => state.dataOffers);
  const running = useRun((state) => busyState(state.progress));
  const [open, setOpen] = useState<Open>(null);
  const disabled = reading !== null || running;
  const toggle = (which: Open) => setOpen(open === which ? null : which);
  return (
    <section className="sources" aria-label="Choose data">
      <div className="drop-zone">
        <Glyph name="upload" className="big" />
        {reading && <Reading />}
        {!reading && (
          <div className="grow">
            <p>
              <strong>Drop files anywhere on this page</strong>
            </p>
            <p className="fine">
              JSONL, JSON, CSV, TSV or Parquet, also gzipped, with a chosen and a rejected answer in each row
              {running ? '. Data cannot be changed during a run' : ''}
            </p>
          </div>
        )}
        {large && !reading && <LargeFiles large={large} />}
        <div className="actions">
          <FileButton
            label={train ? 'Choose other training files' : 'Choose training files'}
            accept={ACCEPT}
            icon="file"
            look={train ? 'plain' : 'primary'}
            multiple
            disabled={disabled}
            onFiles={(files) => void loadFiles('train', files)}
          />
          <Button aria-expanded={open === 'paste'} disabled={disabled} onClick={() => toggle('paste')}>
            Paste rows
          </Button>
          <Button aria-expanded={open === 'hub'} disabled={disabled} onClick={() => toggle('hub')}>
            Hugging Face
          </Button>
        </div>
        <ReadAmountField disabled={disabled} />
        {open === 'paste' && <PasteForm disabled={disabled} onDone={() => setOpen(null)} />}
        {open === 'hub' && <HubForm disabled={disabled} onDone={() => setOpen(null)} />}
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
