/** Uploading an export to a repository of the Hugging Face Hub. */
import { useId } from 'react';
import type { ExportKind } from '../../worker/protocol';
import { HUB_URL } from '../lib/site';
import { useAccount } from '../store/account';
import { exportToHub, setExport, setRepo, useExports } from '../store/exports';
import { TokenField } from './TokenField';
import { Button, OutLink } from './ui';

const isName = (repo: string): boolean => /^[\w.-]+\/[\w.-]+$/.test(repo.trim());

export function HubUpload({ kind, what, busy }: { kind: ExportKind; what: string; busy: boolean }) {
  const id = useId();
  const repo = useExports((state) => state.repos[kind] ?? '');
  const isPrivate = useExports((state) => state.isPrivate);
  const token = useAccount((state) => state.token);
  return (
    <details className="hub-upload">
      <summary>Hugging Face repository</summary>
      <form
        className="source-form"
        onSubmit={(event) => {
          event.preventDefault();
          void exportToHub(kind, repo);
        }}
      >
        <label htmlFor={`${id}repo`}>Repository</label>
        <input
          id={`${id}repo`}
          type="text"
          spellCheck={false}
          autoComplete="off"
          placeholder="owner/name"
          value={repo}
          onChange={(event) => setRepo(kind, event.target.value)}
        />
        <TokenField id={`${id}token`} label="Access token, with the right to write" describedBy={`${id}about`} />
        <label className="check-line">
          <input
            type="checkbox"
            checked={isPrivate}
            onChange={(event) => setExport({ isPrivate: event.target.checked })}
          />{' '}
          Private, if it is made now
        </label>
        <p id={`${id}about`} className="fine">
          The files go to {new URL(HUB_URL).host}, in one commit at the end; the token goes nowhere else. Make one on{' '}
          <OutLink href={`${HUB_URL}/settings/tokens`} />. One file of weights at a time lies in the browser’s storage
          on its way.
        </p>
        <div className="actions">
          <Button
            type="submit"
            icon="upload"
            disabled={busy || !isName(repo) || token === ''}
            aria-label={`Upload ${what}`}
          >
            Upload
          </Button>
        </div>
      </form>
    </details>
  );
}
