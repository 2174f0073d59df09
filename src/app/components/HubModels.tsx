/** Models of the Hugging Face Hub: any repository by name, and a list of those that are known to work. */
import { useId } from 'react';
import type { CuratedModel } from '../../worker/protocol';
import { formatBytes } from '../lib/format';
import { lookAtRepository, useChooser } from '../store/chooser';
import { useModels } from '../store/models';
import { HubAccess } from './HubAccess';
import { Glyph } from './icons';
import { SourcePreview } from './SourcePreview';
import { StoredModels } from './StoredModels';
import { Button } from './ui';

function RepositoryForm() {
  const id = useId();
  const { repo, revision, looking } = useChooser();
  return (
    <form
      className="repository-form"
      onSubmit={(event) => {
        event.preventDefault();
        void lookAtRepository(repo, revision);
      }}
    >
      <div className="grow">
        <label htmlFor={`${id}repo`}>Model on the Hub</label>
        <input
          id={`${id}repo`}
          type="search"
          spellCheck={false}
          autoComplete="off"
          placeholder="owner/name, or a word to search the list below"
          value={repo}
          onChange={(event) => useChooser.setState({ repo: event.target.value })}
        />
      </div>
      <div className="revision">
        <label htmlFor={`${id}revision`}>Revision</label>
        <input
          id={`${id}revision`}
          type="text"
          spellCheck={false}
          autoComplete="off"
          placeholder="main"
          value={revision}
          onChange={(event) => useChooser.setState({ revision: event.target.value })}
        />
      </div>
      <Button type="submit" look="primary" disabled={looking !== null || repo.trim() === ''}>
        {looking === null ? 'Look it up' : 'Looking …'}
      </Button>
    </form>
  );
}

/** Variants of one model side by side, in the list's order. */
function families(curated: readonly CuratedModel[]): CuratedModel[][] {
  const groups = new Map<string, CuratedModel[]>();
  for (const model of curated) {
    const key = `${model.title} ${model.format} ${model.repo.split('/')[0]}`;
    groups.set(key, [...(groups.get(key) ?? []), model]);
  }
  return [...groups.values()];
}

function CuratedRow({ variants }: { variants: CuratedModel[] }) {
  const looking = useChooser((state) => state.looking);
  const [{ title, repo, format, downloadBytes, memoryBytes, gated, license }] = variants;
  return (
    <tr>
      <th scope="row">
        {title} <span className="muted">{format === 'NF4' ? '4-bit' : '16-bit'}</span>
        <span className="fine owner">{repo.split('/')[0]}</span>
      </th>
      <td className="number">{formatBytes(downloadBytes)}</td>
      <td className="number">{formatBytes(memoryBytes)}</td>
      <td>
        {gated ? (
          <span className="gated">
            <Glyph name="lock" /> ask for access
          </span>
        ) : (
          'open'
        )}
        <span className="fine owner">{license}</span>
      </td>
      <td>
        <div className="actions end">
          {variants.map((model) => (
            <Button
              key={model.repo}
              className="small"
              aria-label={`Look up ${model.repo}`}
              disabled={looking !== null}
              onClick={() => void lookAtRepository(model.repo)}
            >
              {model.variant === 'base' ? 'Base' : 'Instruct'}
            </Button>
          ))}
        </div>
      </td>
    </tr>
  );
}

function CuratedList() {
  const curated = useModels((state) => state.curated);
  const typed = useChooser((state) => state.repo);
  // A whole name is no search: its row was just chosen, and the others stay beside it.
  const named = curated.some(({ repo }) => repo === typed.trim());
  const words = named
    ? []
    : typed
        .toLowerCase()
        .split(/[\s/]+/u)
        .filter(Boolean);
  const groups = families(curated);
  const found = groups.filter((variants) =>
    words.every((word) => variants.some(({ repo, title }) => `${repo} ${title}`.toLowerCase().includes(word))),
  );
  const shown = found.length > 0 ? found : groups;
  return (
    <section className="card curated" aria-labelledby="curated-title">
      <h2 id="curated-title">Known to work</h2>
      <p className="fine">
        GPU memory is that of a run in 4 bits (16-bit ones are quantised while loading), one pair of 1,024 tokens at a
        time. Any other Llama, SmolLM2, TinyLlama or Mistral without sliding window can be named above.
      </p>
      <div className="curated-scroll">
        <table>
          <thead>
            <tr>
              <th scope="col">Model</th>
              <th scope="col">Download</th>
              <th scope="col">GPU memory</th>
              <th scope="col">Access</th>
              <th scope="col">
                <span className="visually-hidden">Variant</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {shown.map((variants) => (
              <CuratedRow key={variants[0].repo} variants={variants} />
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

export function HubModels() {
  return (
    <>
      <div className="card source-card">
        <RepositoryForm />
        <HubAccess />
      </div>
      <SourcePreview />
      <StoredModels kind="hub" />
      <CuratedList />
    </>
  );
}
