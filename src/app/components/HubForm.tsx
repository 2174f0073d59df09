import { useId, useState } from 'react';
import type { HubListing } from '../../worker/protocol';
import { plural } from '../lib/format';
import { HUB_URL } from '../lib/site';
import { useAccount } from '../store/account';
import { reportError } from '../store/alerts';
import { engine } from '../store/client';
import { loadHub } from '../store/data';
import { TokenField } from './TokenField';
import { Button } from './ui';

function firstChoice(listing: HubListing): { config: string; split: string } {
  const config = listing.configs.find(({ name }) => name === 'default') ?? listing.configs[0];
  const split = config.splits.find(({ name }) => name.startsWith('train')) ?? config.splits[0];
  return { config: config.name, split: split.name };
}

/** A data set of the Hugging Face hub, by name. */
export function HubForm({ disabled, onDone }: { disabled: boolean; onDone(): void }) {
  const id = useId();
  const [name, setName] = useState('');
  const token = useAccount((state) => state.token);
  const kept = useAccount((state) => state.kept);
  const [listing, setListing] = useState<HubListing | null>(null);
  const [choice, setChoice] = useState({ config: '', split: '' });
  const [asking, setAsking] = useState(false);
  const config = listing?.configs.find((candidate) => candidate.name === choice.config);

  const find = async () => {
    setAsking(true);
    try {
      const found = await engine.request('hubListing', { dataset: name, token: token || undefined });
      setListing(found);
      setChoice(firstChoice(found));
    } catch (cause) {
      setListing(null);
      reportError(cause);
    } finally {
      setAsking(false);
    }
  };
  const read = async () => {
    if (!listing) return;
    const done = await loadHub('train', { dataset: listing.dataset, ...choice, token: token || undefined });
    if (done) onDone();
  };
  return (
    <form
      className="source-form"
      onSubmit={(event) => {
        event.preventDefault();
        void (listing ? read() : find());
      }}
    >
      <label htmlFor={`${id}name`}>Data set</label>
      <input
        id={`${id}name`}
        type="text"
        spellCheck={false}
        autoComplete="off"
        placeholder="owner/name"
        value={name}
        onChange={(event) => {
          setName(event.target.value);
          setListing(null);
        }}
      />
      <TokenField id={`${id}token`} label="Access token, for gated or private ones" describedBy={`${id}about`} />
      <p id={`${id}about`} className="fine">
        The name and the token go to {new URL(HUB_URL).host} and nowhere else. The token is{' '}
        {kept ? 'remembered in this browser, as you asked' : 'kept only until this page is closed'}.
      </p>
      {listing && config && (
        <div className="form-row">
          <label>
            Configuration
            <select
              value={choice.config}
              onChange={(event) => {
                const next = listing.configs.find((candidate) => candidate.name === event.target.value);
                if (next) setChoice(firstChoice({ ...listing, configs: [next] }));
              }}
            >
              {listing.configs.map((candidate) => (
                <option key={candidate.name}>{candidate.name}</option>
              ))}
            </select>
          </label>
          <label>
            Split
            <select value={choice.split} onChange={(event) => setChoice({ ...choice, split: event.target.value })}>
              {config.splits.map((split) => (
                <option key={split.name} value={split.name}>
                  {split.name} ({plural(split.files, 'file')})
                </option>
              ))}
            </select>
          </label>
        </div>
      )}
      <div className="actions">
        <Button type="submit" look="primary" disabled={disabled || asking || name.trim() === ''}>
          {listing ? 'Read this split' : asking ? 'Looking …' : 'Find it'}
        </Button>
      </div>
    </form>
  );
}
