import type { ReactNode } from 'react';
import { DeviceCard } from '../components/DeviceCard';
import { FitCard } from '../components/FitCard';
import { FolderModels } from '../components/FolderModels';
import { HubModels } from '../components/HubModels';
import { ModelCard } from '../components/ModelCard';
import { Segments } from '../components/Segments';
import { UrlModels } from '../components/UrlModels';
import { Button } from '../components/ui';
import { ViewHead } from '../components/ViewHead';
import { formatCount, formatParameters } from '../lib/format';
import { chooseTab, SOURCE_TABS, type SourceTab, useChooser } from '../store/chooser';
import { titleOf, useData } from '../store/data';
import { useModels } from '../store/models';
import { hasAdapter, useRun } from '../store/run';
import { goTo } from '../store/ui';

/** Said once everything is there and nothing was trained yet: the shortest way to a first curve. */
function ReadyBanner() {
  const model = useModels((state) => state.model);
  const train = useData((state) => state.train);
  const dataOffers = useModels((state) => state.dataOffers);
  const run = useRun();
  if (!model || !train || run.progress || hasAdapter(run)) return null;
  return (
    <div className="banner">
      <div>
        <h2>Ready to train</h2>
        <p>
          {model.title} and “{titleOf(train.name, dataOffers)}” are loaded. Start at once, or choose your own model and
          data first.
        </p>
      </div>
      <Button look="primary" icon="arrow" onClick={() => goTo('train')}>
        Go to training
      </Button>
    </div>
  );
}

function BuiltInModels() {
  const { offers, offersLoaded } = useModels();
  const builtIn = offers.filter(({ source }) => source.kind === 'builtin');
  return (
    <section aria-labelledby="offers-title">
      <h2 id="offers-title" className="visually-hidden">
        Built-in models
      </h2>
      {!offersLoaded && <p className="muted">Looking for models …</p>}
      {offersLoaded && builtIn.length === 0 && (
        <p className="muted">
          No models are offered here. Reload the page, or serve it together with its models folder.
        </p>
      )}
      <ul className="cards">
        {builtIn.map((offer) => (
          <li key={offer.id}>
            <ModelCard offer={offer} />
          </li>
        ))}
      </ul>
    </section>
  );
}

const SOURCES: Record<SourceTab, () => ReactNode> = {
  builtin: BuiltInModels,
  hub: HubModels,
  folder: FolderModels,
  url: UrlModels,
};

export function ModelStep() {
  const model = useModels((state) => state.model);
  const tab = useChooser((state) => state.tab);
  const Source = SOURCES[tab];
  return (
    <div className="view with-aside">
      <div className="view-main">
        <ViewHead
          title="Model"
          note="What you start from. It is fetched once and kept in this browser, or read from your disk."
        />
        <ReadyBanner />
        <Segments
          className="source-tabs"
          legend="Where the model comes from"
          options={SOURCE_TABS}
          value={tab}
          onChange={chooseTab}
        />
        <Source />
        <FitCard />
        {model && (
          <div className="next-bar">
            <p>
              <strong>{model.title}</strong> is loaded: {formatParameters(model.parameters)} parameters,{' '}
              {formatCount(model.layers)} layers, {formatCount(model.vocabSize)} tokens in its vocabulary, up to{' '}
              {formatCount(model.maxPositions)} positions{model.hasChatTemplate ? ', with a chat template' : ''}.
            </p>
            <Button look="primary" icon="arrow" onClick={() => goTo('data')}>
              Continue to data
            </Button>
          </div>
        )}
      </div>
      <aside className="side" aria-label="Device">
        <DeviceCard />
      </aside>
    </div>
  );
}
