import { useId, useState } from 'react';
import type { ModelOffer } from '../../worker/protocol';
import { formatBytes, formatParameters, formatPercent } from '../lib/format';
import { askConfirm } from '../store/confirm';
import { useDevice } from '../store/device';
import { deleteModel, loadModel, quantizedByDefault, useModels } from '../store/models';
import { busyState, useRun } from '../store/run';
import { LoadProgress } from './LoadProgress';
import { QuantizeToggle } from './QuantizeToggle';
import { Badge, Button, IconButton } from './ui';

function storedText(offer: ModelOffer): string {
  if (offer.storedBytes >= offer.downloadBytes) return 'stored in this browser';
  if (offer.storedBytes > 0) return `${formatPercent(offer.storedBytes / offer.downloadBytes)} stored`;
  return 'not stored yet';
}

export function ModelCard({ offer }: { offer: ModelOffer }) {
  const { model, loadingId, deletingId } = useModels();
  const device = useDevice();
  const running = useRun((state) => busyState(state.progress));
  const elsewhere = offer.source.kind !== 'builtin';
  const [quantize, setQuantize] = useState(quantizedByDefault(offer));
  const nameId = useId();
  const loaded = model?.id === offer.id && model.origin === offer.source.kind;
  const loading = loadingId === offer.id;
  const stored = offer.storedBytes >= offer.downloadBytes;
  const software = device.info?.isSoftware === true;

  const remove = async () => {
    const yes = await askConfirm({
      title: `Delete ${offer.title}?`,
      text: `Its ${formatBytes(offer.storedBytes)} are removed from this browser’s storage. Loading it again downloads it again.`,
      confirm: 'Delete from storage',
      cancel: 'Keep it',
    });
    if (yes) await deleteModel(offer.id);
  };

  return (
    <article className={loaded ? 'card model-card chosen' : 'card model-card'} aria-labelledby={nameId}>
      <div className="spread">
        <h3 id={nameId}>{offer.title}</h3>
        {loaded && <Badge tone="accent">Loaded</Badge>}
      </div>
      <p className="about">{offer.about}</p>
      <ul className="tags" aria-label="Facts">
        <li>{formatParameters(offer.parameters)} parameters</li>
        <li>{offer.format}</li>
        <li>{formatBytes(offer.downloadBytes)}</li>
        {offer.fineOnCpu && <li>fine without a GPU</li>}
      </ul>
      {software && !offer.fineOnCpu && (
        <p className="fine warn-text">On a software adapter this takes hours; the smallest model takes minutes.</p>
      )}
      {elsewhere && offer.quantizable && !loaded && !loading && (
        <QuantizeToggle format={offer.format} value={quantize} onChange={setQuantize} />
      )}
      {loading ? (
        <LoadProgress id={offer.id} title={offer.title} />
      ) : (
        <div className="card-foot">
          <span className={stored ? 'fine good-text grow' : 'fine grow'}>{storedText(offer)}</span>
          <div className="actions">
            {offer.storedBytes > 0 && (
              <IconButton
                icon="trash"
                label={`Delete ${offer.title} from storage`}
                disabled={loadingId !== null || deletingId !== null || (running && loaded)}
                onClick={remove}
              />
            )}
            <Button
              look={loaded ? 'plain' : 'primary'}
              disabled={loadingId !== null || device.state !== 'ready' || running || loaded}
              aria-label={loaded ? `${offer.title} is loaded` : `Load ${offer.title}`}
              onClick={() =>
                void loadModel({ id: offer.id, source: offer.source, quantize: quantize ? 'nf4' : undefined })
              }
            >
              {loaded ? 'In use' : stored ? 'Load' : offer.storedBytes > 0 ? 'Go on loading' : 'Download'}
            </Button>
          </div>
        </div>
      )}
    </article>
  );
}
