import { formatBytes, formatDuration, formatPercent, plural } from '../lib/format';
import { cancelLoading, pauseLoading, useModels } from '../store/models';
import { Button, Progress } from './ui';

const PHASES = { downloading: 'Downloading', verifying: 'Checking', uploading: 'Moving to the GPU' } as const;

/** How far the load under way is, as a whole and in the file at hand; it can be paused and given up. */
export function LoadProgress({ id, title }: { id: string; title: string }) {
  const progress = useModels((state) => state.progress);
  const known = progress && progress.totalBytes > 0 ? progress : null;
  const parts = known
    ? [
        `${formatBytes(known.bytes)} of ${formatBytes(known.totalBytes)}`,
        known.bytesPerSecond > 0 ? `${formatBytes(known.bytesPerSecond)}/s` : null,
        known.secondsLeft === null ? null : `${formatDuration(known.secondsLeft)} left`,
      ]
    : [];
  const fetching = progress?.phase !== 'uploading';
  return (
    <div className="load-progress">
      <div className="spread">
        <span>{progress ? PHASES[progress.phase] : 'Starting'} …</span>
        {known && <span className="number">{formatPercent(known.bytes / known.totalBytes)}</span>}
      </div>
      <Progress value={known ? known.bytes / known.totalBytes : null} label={`Loading ${title}`} />
      <p className="fine number">
        {parts.filter(Boolean).join(' · ')}
        {known ? <FileAtHand {...known} /> : null}
      </p>
      <div className="actions end">
        {fetching && (
          <Button icon="trash" look="quiet" className="small" onClick={() => void cancelLoading(id)}>
            Give up
          </Button>
        )}
        <Button icon="stop" className="small" onClick={() => void pauseLoading()}>
          {fetching ? 'Pause' : 'Stop'}
        </Button>
      </div>
    </div>
  );
}

interface AtHand {
  file: string;
  fileBytes?: number;
  fileTotalBytes?: number;
  fileNumber?: number;
  fileCount?: number;
}

function FileAtHand({ file, fileBytes, fileTotalBytes, fileNumber, fileCount = 1 }: AtHand) {
  const share = fileTotalBytes ? `, ${formatPercent((fileBytes ?? 0) / fileTotalBytes)}` : '';
  return (
    <span className="file-name">
      {file}
      {share}
      {fileNumber && fileCount > 1 ? ` (${fileNumber} of ${plural(fileCount, 'file')})` : ''}
    </span>
  );
}
