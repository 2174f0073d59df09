import type { ModelOffer } from '../../worker/protocol';
import { formatBytes, formatDuration, formatParameters, formatPercent } from '../lib/format';
import { askConfirm } from '../store/confirm';
import { useDevice } from '../store/device';
import { deleteModel, loadModel, useModels } from '../store/models';
import { busyState, useRun } from '../store/run';
import { Badge, Button, IconButton, Progress } from './ui';

const PHASES = { downloading: 'Downloading', verifying: 'Checking', uploading: 'Moving to the GPU' } as const;

function LoadProgress({ title }: { title: string }) {
  const progress = useModels((state) => state.progress);
  const known = progress && progress.totalBytes > 0;
  const left = progress?.secondsLeft != null ? `${formatDuration(progress.secondsLeft)} left` : null;
  const parts = known
    ? [
        `${formatBytes(progress.bytes)} of ${formatBytes(progress.totalBytes)}`,
        progress.bytesPerSecond > 0 ? `${formatBytes(progress.bytesPerSecond)}/s` : null,
        left,
      ]
    : [];
  return (
    <div className="load-progress">
      <div className="spread">
        <span>{progress ? PHASES[progress.phase] : 'Starting'} …</span>
        {known && <span className="number">{formatPercent(progress.bytes / progress.totalBytes)}</span>}
      </div>
      <Progress value={known ? progress.bytes / progress.totalBytes : null} label={`Loading ${title}`} />
      <p className="fine number">
        {parts.filter(Boolean).join(' · ')}
        {progress?.file ? <span className="file-name">{progress.file}</span> : null}
      </p>
    </div>
  );
}

function storedText(offer: ModelOffer): string {
  if (offer.storedBytes >= offer.downloadBytes) return 'stored in this browser';
  if (offer.storedBytes > 0) return `${formatPercent(offer.storedBytes / offer.downloadBytes)} stored`;
  return 'not stored yet';
}

export function ModelCard({ offer }: { offer: ModelOffer }) {
  const { model, loadingId, deletingId } = useModels();
  const device = useDevice();
  const running = useRun((state) => busyState(state.progress));
  const loaded = model?.id === offer.id;
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
    <article className={loaded ? 'card model-card chosen' : 'card model-card'} aria-labelledby={`model-${offer.id}`}>
      <div className="spread">
        <h3 id={`model-${offer.id}`}>{offer.title}</h3>
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
      {loading ? (
        <LoadProgress title={offer.title} />
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
              onClick={() => void loadModel({ id: offer.id, source: offer.source })}
            >
              {loaded ? 'In use' : stored ? 'Load' : offer.storedBytes > 0 ? 'Go on loading' : 'Download'}
            </Button>
          </div>
        </div>
      )}
    </article>
  );
}
