/** Whether the page itself opens without network, and installing it. */
import { installPage, useOffline } from '../store/offline';
import { Button } from './ui';

const TEXT = {
  stored:
    'This page is kept in this browser. With the network off it opens as ever, and trains with any model above that is complete.',
  storing: 'This page is being kept for use without network …',
  failed:
    'This browser did not let the page be kept for use without network, as in private windows. Open it in an ordinary one.',
  unsupported: 'This page cannot be kept here for use without network.',
};

export function OfflineCard() {
  const { state, install } = useOffline();
  return (
    <section className="card compact" aria-labelledby="offline-title">
      <h2 id="offline-title">Without network</h2>
      <p>{TEXT[state]}</p>
      {install && (
        <div>
          <Button icon="download" onClick={() => void installPage()}>
            Install as an app
          </Button>
        </div>
      )}
    </section>
  );
}
