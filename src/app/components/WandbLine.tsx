/** How the live logging of the run that goes on, or was last, stands. Nothing where there is none. */
import { formatCount } from '../lib/format';
import { useWandb } from '../store/wandb';
import { OutLink } from './ui';

export function WandbLine() {
  const status = useWandb((state) => state.status);
  if (!status) return null;
  switch (status.state) {
    case 'connecting':
      return <p className="fine">Connecting to Weights &amp; Biases …</p>;
    case 'logging':
      return (
        <p className="fine number">
          {formatCount(status.steps)} steps are at <OutLink href={status.url} />
        </p>
      );
    case 'waiting':
      return <p className="fine">{status.message}; trying again soon. The run goes on, and nothing is lost.</p>;
    case 'finished':
      return (
        <p className="fine">
          Logged at <OutLink href={status.url} />
        </p>
      );
    case 'failed':
      return <p className="fine">Live logging has ended: {status.message}</p>;
  }
}
