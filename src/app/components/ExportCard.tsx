import type { ExportKind, MergeBase, OutputDtype } from '../../worker/protocol';
import { formatBytes, plural } from '../lib/format';
import { canPickDirectory } from '../lib/save';
import { exportAsFile, exportToFolder, setBase, setDtype, useExports } from '../store/exports';
import { useModels } from '../store/models';
import { Glyph } from './icons';
import { Button, Progress } from './ui';

const TEXTS = {
  merged: {
    title: 'Merged model',
    about:
      'The whole model with what was learned worked in: safetensors, config, tokenizer, generation config and model card. Loads anywhere that Llama loads.',
  },
  adapter: {
    title: 'Adapter',
    about: 'Only what was learned, in PEFT’s layout: a few megabytes to put on top of the same base model.',
  },
  'log-jsonl': {
    title: 'Log',
    about: 'Every step and every evaluation, under TRL’s names: JSONL to read by program, CSV for a spreadsheet.',
  },
} as const;

const DTYPES: { value: OutputDtype; bytes: number; about: string }[] = [
  { value: 'BF16', bytes: 2, about: 'half the size, what Llama-3 itself comes in' },
  { value: 'F16', bytes: 2, about: 'half the size, for older GPUs and some runtimes' },
  { value: 'F32', bytes: 4, about: 'exactly what was computed here' },
];

function DtypeChoice({ disabled }: { disabled: boolean }) {
  const dtype = useExports((state) => state.dtype);
  const parameters = useModels((state) => state.model?.parameters);
  return (
    <fieldset className="dtypes" disabled={disabled}>
      <legend>Number format</legend>
      {DTYPES.map(({ value, bytes, about }) => (
        <label key={value}>
          <input type="radio" name="dtype" value={value} checked={dtype === value} onChange={() => setDtype(value)} />
          <span>
            <strong>{value}</strong>
            {parameters ? <span className="number"> · about {formatBytes(parameters * bytes)}</span> : null}
            <span className="fine"> {about}</span>
          </span>
        </label>
      ))}
    </fieldset>
  );
}

const BASES: { value: MergeBase; title: string; about: string }[] = [
  {
    value: 'trained',
    title: 'The weights it was trained on',
    about: 'The 4-bit base written out in full, plus what was learned: exactly the model that was trained.',
  },
  {
    value: 'source',
    title: 'The original 16-bit weights',
    about: 'The usual practice. The base is finer than the one training saw, so answers may differ a little.',
  },
  {
    value: 'nf4',
    title: 'NF4 again',
    about: 'A 4-bit bitsandbytes model, the smallest. Quantising once more rounds away part of what was learned.',
  },
];

/** What the adapter is added to; only where there is a choice. */
function BaseChoice({ disabled }: { disabled: boolean }) {
  const base = useExports((state) => state.base);
  const offered = useModels((state) => state.model?.mergeBases);
  if (!offered || offered.length < 2) return null;
  return (
    <fieldset className="dtypes" disabled={disabled}>
      <legend>Merged into</legend>
      {BASES.filter(({ value }) => offered.includes(value)).map(({ value, title, about }) => (
        <label key={value}>
          <input type="radio" name="base" value={value} checked={base === value} onChange={() => setBase(value)} />
          <span>
            <strong>{title}</strong>
            <span className="fine"> {about}</span>
          </span>
        </label>
      ))}
    </fieldset>
  );
}

function Done({ kind }: { kind: ExportKind }) {
  const done = useExports((state) => state.done[kind]);
  if (!done) return null;
  const bytes = done.files.reduce((sum, file) => sum + file.bytes, 0);
  return (
    <details className="written">
      <summary>
        <Glyph name="check" /> {done.files.length === 1 ? done.files[0].name : plural(done.files.length, 'file')},{' '}
        {formatBytes(bytes)}, in {done.where}
      </summary>
      <ul>
        {done.files.map((file) => (
          <li key={file.name}>
            <span className="file-name">{file.name}</span> <span className="number">{formatBytes(file.bytes)}</span>
          </li>
        ))}
      </ul>
    </details>
  );
}

function Working({ kinds }: { kinds: ExportKind[] }) {
  const working = useExports((state) => state.working);
  if (!working || !kinds.includes(working.kind)) return null;
  return (
    <div className="load-progress">
      <Progress value={working.totalBytes > 0 ? working.bytes / working.totalBytes : null} label="Export progress" />
      <p className="fine number">
        {working.totalBytes > 0 ? `${formatBytes(working.bytes)} of ${formatBytes(working.totalBytes)}` : 'starting …'}
        {working.file && <span className="file-name">{working.file}</span>}
      </p>
    </div>
  );
}

export function ExportCard({ kind }: { kind: 'merged' | 'adapter' | 'log-jsonl' }) {
  const busy = useExports((state) => state.working !== null);
  const nf4 = useExports((state) => state.base === 'nf4');
  const { title, about } = TEXTS[kind];
  const log = kind === 'log-jsonl';
  const folders = canPickDirectory();
  const what = title.toLowerCase();
  return (
    <section className="card export-card" aria-label={title}>
      <h2>{title}</h2>
      <p className="about">{about}</p>
      {kind === 'merged' && (
        <>
          <BaseChoice disabled={busy} />
          <DtypeChoice disabled={busy || nf4} />
        </>
      )}
      <Working kinds={log ? ['log-jsonl', 'log-csv'] : [kind]} />
      <div className="actions stretch">
        {log ? (
          <>
            <Button
              icon="download"
              disabled={busy}
              aria-label="Download log as JSONL"
              onClick={() => void exportAsFile('log-jsonl')}
            >
              JSONL
            </Button>
            <Button
              icon="download"
              disabled={busy}
              aria-label="Download log as CSV"
              onClick={() => void exportAsFile('log-csv')}
            >
              CSV
            </Button>
          </>
        ) : (
          <>
            {folders && (
              <Button
                look={kind === 'merged' ? 'primary' : 'plain'}
                icon="folder"
                disabled={busy}
                aria-label={`Save ${what} to a folder`}
                onClick={() => void exportToFolder(kind)}
              >
                Save to folder
              </Button>
            )}
            <Button
              look={kind === 'merged' && !folders ? 'primary' : 'plain'}
              icon="download"
              disabled={busy}
              aria-label={`Download ${what} as zip`}
              onClick={() => void exportAsFile(kind)}
            >
              Zip file
            </Button>
          </>
        )}
      </div>
      {!log && !folders && (
        <p className="fine">
          This browser cannot write into folders; Chrome and Edge can. The zip holds the same files.
        </p>
      )}
      <Done kind={kind} />
      {log && <Done kind="log-csv" />}
    </section>
  );
}
