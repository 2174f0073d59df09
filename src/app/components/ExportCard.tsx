import type { ReactNode } from 'react';
import type { ExportKind } from '../../worker/protocol';
import { formatBytes, plural } from '../lib/format';
import { canPickDirectory } from '../lib/save';
import { cancelExport, exportAsFile, exportToFolder, useExports } from '../store/exports';
import { ExportSizeLine } from './ExportSizeLine';
import { HubUpload } from './HubUpload';
import { Glyph } from './icons';
import { Button, OutLink, Progress } from './ui';

export type CardKind = 'merged' | 'gguf' | 'adapter' | 'log-jsonl';

const TEXTS: Record<CardKind, { title: string; about: string }> = {
  merged: {
    title: 'Merged model',
    about:
      'The whole model with what was learned worked in: safetensors, config, tokenizer, generation config and model card. Loads anywhere that Llama loads.',
  },
  gguf: {
    title: 'GGUF file',
    about: 'The merged model as one file for llama.cpp, Ollama and LM Studio, with a Modelfile beside it.',
  },
  adapter: {
    title: 'Adapter',
    about: 'Only what was learned, in PEFT’s layout: a few megabytes to put on top of the same base model.',
  },
  'log-jsonl': {
    title: 'Log',
    about: 'Every step and every evaluation, under TRL’s names: JSONL to read by program, CSV for a spreadsheet.',
  },
};

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
      {done.url && (
        <p>
          <OutLink href={done.url}>Open the repository</OutLink>
        </p>
      )}
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

const PHASES = { writing: '', hashing: 'hashing ', uploading: 'uploading ' } as const;

function Working({ kinds }: { kinds: ExportKind[] }) {
  const working = useExports((state) => state.working);
  if (!working || !kinds.includes(working.kind)) return null;
  const { bytes, totalBytes, file, phase, cancelling } = working;
  const share = totalBytes > 0 ? bytes / totalBytes : null;
  return (
    <div className="load-progress">
      <Progress value={share} label="Export progress" />
      <div className="spread">
        <p className="fine number">
          {totalBytes > 0 ? `${formatBytes(bytes)} of ${formatBytes(totalBytes)}` : 'starting …'}
          {file && (
            <span className="file-name">
              {PHASES[phase]}
              {file}
            </span>
          )}
        </p>
        <Button className="small" icon="close" disabled={cancelling} onClick={() => void cancelExport()}>
          {cancelling ? 'Cancelling …' : 'Cancel export'}
        </Button>
      </div>
    </div>
  );
}

function Targets({ kind, what }: { kind: Exclude<CardKind, 'log-jsonl'>; what: string }) {
  const busy = useExports((state) => state.working !== null);
  const folders = canPickDirectory();
  const look = (primary: boolean) => (kind === 'merged' && primary ? 'primary' : 'plain');
  return (
    <>
      <div className="actions stretch">
        {folders && (
          <Button
            look={look(true)}
            icon="folder"
            disabled={busy}
            aria-label={`Save ${what} to a folder`}
            onClick={() => void exportToFolder(kind)}
          >
            Save to folder
          </Button>
        )}
        <Button
          look={look(!folders)}
          icon="download"
          disabled={busy}
          aria-label={`Download ${what} as zip`}
          onClick={() => void exportAsFile(kind)}
        >
          Zip file
        </Button>
      </div>
      <HubUpload kind={kind} what={what} busy={busy} />
      {!folders && (
        <p className="fine">
          This browser cannot write into folders; Chrome and Edge can. The zip holds the same files.
        </p>
      )}
    </>
  );
}

function LogButtons() {
  const busy = useExports((state) => state.working !== null);
  return (
    <div className="actions stretch">
      {(['JSONL', 'CSV'] as const).map((name) => (
        <Button
          key={name}
          icon="download"
          disabled={busy}
          aria-label={`Download log as ${name}`}
          onClick={() => void exportAsFile(name === 'CSV' ? 'log-csv' : 'log-jsonl')}
        >
          {name}
        </Button>
      ))}
    </div>
  );
}

/** One thing that can be written out; `children` are its settings. */
export function ExportCard({ kind, children }: { kind: CardKind; children?: ReactNode }) {
  const { title, about } = TEXTS[kind];
  const log = kind === 'log-jsonl';
  // GGUF is a name, not a word.
  const what = kind === 'gguf' ? title : title.toLowerCase();
  return (
    <section className="card export-card" aria-label={title}>
      <h2>{title}</h2>
      <p className="about">{about}</p>
      {children}
      {!log && <ExportSizeLine kind={kind} />}
      <Working kinds={log ? ['log-jsonl', 'log-csv'] : [kind]} />
      {log ? <LogButtons /> : <Targets kind={kind} what={what} />}
      <Done kind={kind} />
      {log && <Done kind="log-csv" />}
    </section>
  );
}
