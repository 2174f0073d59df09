/** What was found at a source, what it would take, and the button that loads it. */
import type { ReactNode } from 'react';
import type { ModelPreview } from '../../worker/protocol';
import { formatBytes, formatCount, formatParameters, plural } from '../lib/format';
import { closePreview, loadChosen, setQuantize, useChooser } from '../store/chooser';
import { useDevice } from '../store/device';
import { useFit } from '../store/fit';
import { useModels } from '../store/models';
import { busyState, useRun } from '../store/run';
import { useSettings } from '../store/settings';
import { LoadProgress } from './LoadProgress';
import { QuantizeToggle } from './QuantizeToggle';
import { Button, Facts, IconButton, OutLink } from './ui';

const CHECKED = {
  source: 'each file against the hash that its host states',
  arrival: 'by the hash of each part as it comes; its host states none for whole files',
  none: 'read in place, nothing is copied',
} as const;

function Problem() {
  const problem = useChooser((state) => state.problem);
  if (!problem) return null;
  return (
    <div className="card bad-card found" role="alert">
      <p>{problem.message}</p>
      {problem.url && (
        <p>
          <OutLink href={problem.url} />
        </p>
      )}
      <code>{problem.code}</code>
    </div>
  );
}

function memoryText(bytes: number, fits: boolean, gpuMemory: number | null, pairs: number, length: number): string {
  const room = gpuMemory === null ? '' : fits ? ` of ${gpuMemory} GB` : `, and the GPU has ${gpuMemory} GB`;
  return `${formatBytes(bytes)}${room}; ${plural(pairs, 'pair')} of ${formatCount(length)} tokens at a time`;
}

function Found({ preview }: { preview: ModelPreview }) {
  const { memory, quantize } = useChooser();
  const loadingId = useModels((state) => state.loadingId);
  const ready = useDevice((state) => state.state === 'ready');
  const running = useRun((state) => busyState(state.progress));
  const gpuMemory = useFit((state) => state.gpuMemory);
  const { per_device_train_batch_size: pairs, max_length: length } = useSettings((state) => state.hparams);
  const { totalBytes, freeBytes, source } = preview;
  // A load that was paused or given up has changed it since.
  const storedBytes = useModels(
    ({ offers }) =>
      offers.find(({ id, source: { kind } }) => id === preview.id && kind === source.kind)?.storedBytes ?? 0,
  );
  const missing = totalBytes - storedBytes;
  const local = source.kind === 'folder' || source.kind === 'files';
  const noRoom = freeBytes !== null && !local && missing > freeBytes;
  const stored = storedBytes > 0 ? `, ${formatBytes(storedBytes)} of it stored` : '';
  const fits = memory?.fits ?? true;
  const rows: [string, ReactNode][] = [
    [local ? 'Size' : 'Download', `${formatBytes(totalBytes)} in ${plural(preview.files.length, 'file')}${stored}`],
    [
      'GPU memory',
      memory
        ? memoryText(memory.memoryBytes, fits, gpuMemory, pairs, Math.min(length, preview.maxPositions))
        : 'being planned …',
    ],
    ['Checked', CHECKED[preview.checked]],
  ];
  if (preview.commit) rows.push(['Commit', <code key="commit">{preview.commit.slice(0, 12)}</code>]);
  if (preview.license) rows.push(['Licence', preview.license]);
  if (preview.page) rows.push(['Page', <OutLink key="page" href={preview.page} />]);
  return (
    <section className="card found" aria-labelledby="found-title">
      <div className="spread">
        <h2 id="found-title">{preview.title}</h2>
        <IconButton icon="close" label={`Put ${preview.title} aside`} onClick={closePreview} />
      </div>
      <ul className="tags" aria-label="Facts">
        <li>{formatParameters(preview.parameters)} parameters</li>
        <li>{preview.format}</li>
        <li>{formatCount(preview.layers)} layers</li>
        <li>up to {formatCount(preview.maxPositions)} positions</li>
        {preview.gated && <li>gated</li>}
      </ul>
      <Facts rows={rows} />
      {preview.newerCommit && (
        <p className="fine">
          The revision has moved on to <code>{preview.newerCommit.slice(0, 12)}</code> since this was stored. To take
          that, delete the stored model and look it up again.
        </p>
      )}
      {!fits && (
        <p className="fine warn-text">
          It may not fit the GPU memory that “Will it fit?” below states; see there what would help.
        </p>
      )}
      {noRoom && (
        <p className="warn-text" role="alert">
          The browser grants {formatBytes(freeBytes)} and {formatBytes(missing)} are still to come. Delete a stored
          model or free disk space first.
        </p>
      )}
      {preview.quantizable && loadingId !== preview.id && (
        <QuantizeToggle format={preview.format} value={quantize} onChange={setQuantize} />
      )}
      {loadingId === preview.id ? (
        <LoadProgress id={preview.id} title={preview.title} />
      ) : (
        <div className="card-foot">
          <span className="fine grow">
            {local ? 'It is read from the folder while you train, so leave it there.' : ''}
          </span>
          <Button
            look="primary"
            icon={local || missing === 0 ? 'play' : 'download'}
            disabled={loadingId !== null || !ready || running || noRoom}
            onClick={() => void loadChosen()}
          >
            {local || missing === 0 ? 'Load' : `Download ${formatBytes(missing)} and load`}
          </Button>
        </div>
      )}
    </section>
  );
}

/** The answer to a look at a source. */
export function SourcePreview() {
  const { looking, preview } = useChooser();
  return (
    <>
      {looking !== null && (
        <p className="muted" role="status">
          Looking at {looking} …
        </p>
      )}
      <Problem />
      {preview && <Found preview={preview} />}
    </>
  );
}
