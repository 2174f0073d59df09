/** A model in a folder of any web server. */
import { useId, useState } from 'react';
import { lookAt, useChooser } from '../store/chooser';
import { SourcePreview } from './SourcePreview';
import { StoredModels } from './StoredModels';
import { Button } from './ui';

export function UrlModels() {
  const id = useId();
  const looking = useChooser((state) => state.looking);
  const [url, setUrl] = useState('');
  return (
    <>
      <form
        className="card source-card"
        onSubmit={(event) => {
          event.preventDefault();
          void lookAt({ kind: 'url', url }, url.trim());
        }}
      >
        <div className="repository-form">
          <div className="grow">
            <label htmlFor={`${id}url`}>Address of the model’s folder</label>
            <input
              id={`${id}url`}
              type="text"
              inputMode="url"
              spellCheck={false}
              autoComplete="off"
              placeholder="https://host/models/my-llama"
              value={url}
              aria-describedby={`${id}about`}
              onChange={(event) => setUrl(event.target.value)}
            />
          </div>
          <Button type="submit" look="primary" disabled={looking !== null || url.trim() === ''}>
            {looking === null ? 'Look it up' : 'Looking …'}
          </Button>
        </div>
        <p id={`${id}about`} className="fine">
          config.json, tokenizer.json and model.safetensors (or its index and shards) lie under it. The server must
          allow this page to read them (CORS). It states no hashes, so each part is checked only against what first
          came; no token is ever sent there.
        </p>
      </form>
      <SourcePreview />
      <StoredModels kind="url" />
    </>
  );
}
