/** Errors and notices, newest first, and the live region for screen readers. */
import { dismissAlert, useAlerts } from '../store/alerts';
import { Glyph } from './icons';
import { IconButton, OutLink } from './ui';

export function Alerts() {
  const alerts = useAlerts((state) => state.alerts);
  if (alerts.length === 0) return null;
  return (
    <div className="alerts">
      {[...alerts].reverse().map(({ id, code, message, tone, url, action }) => (
        <div key={id} className={`alert ${tone}`} role={tone === 'error' ? 'alert' : 'status'} tabIndex={0}>
          <Glyph name={tone === 'error' ? 'alert' : 'info'} />
          <div className="alert-text">
            <p>{message}</p>
            {url && (
              <p>
                <OutLink href={url} />
              </p>
            )}
            {tone === 'error' && <code>{code}</code>}
          </div>
          {action && (
            <button
              type="button"
              className="button small"
              onClick={() => {
                dismissAlert(id);
                action.run();
              }}
            >
              {action.label}
            </button>
          )}
          <IconButton icon="close" label="Dismiss" onClick={() => dismissAlert(id)} />
        </div>
      ))}
    </div>
  );
}

export function LiveRegion() {
  const { text, count } = useAlerts((state) => state.announcement);
  return (
    <div className="visually-hidden" aria-live="polite" aria-atomic="true" data-testid="announcements">
      {/* A new element each time: the same sentence twice is still news. */}
      <span key={count}>{text}</span>
    </div>
  );
}
