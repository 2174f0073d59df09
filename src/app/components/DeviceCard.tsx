import { formatBytes } from '../lib/format';
import { openDevice, useDevice } from '../store/device';
import { DeviceHelp } from './DeviceHelp';
import { TierCard } from './TierCard';
import { deviceName } from './TopBar';
import { Badge, Button, Facts } from './ui';

/** What computes, or why nothing can, and what to do about it. */
export function DeviceCard() {
  const { state, info, error } = useDevice();
  return (
    <>
      <h2 className="side-title">Device</h2>
      {state === 'opening' && <p className="muted">Opening the GPU …</p>}
      {state === 'ready' && info && (
        <div className="card compact">
          <div className="spread">
            <h3>{info.isSoftware ? 'Software adapter' : deviceName(info)}</h3>
            <Badge tone={info.isSoftware ? 'warn' : 'good'}>{info.isSoftware ? 'CPU' : 'Ready'}</Badge>
          </div>
          <Facts
            rows={[
              ...(info.isSoftware ? [['Adapter', deviceName(info)] as [string, string]] : []),
              ['Vendor', info.vendor || 'not told'],
              ['Architecture', info.architecture || 'not told'],
              ['Largest buffer', formatBytes(info.maxBufferSize)],
              ['Largest binding', formatBytes(info.maxStorageBufferBindingSize)],
            ]}
          />
        </div>
      )}
      {state === 'ready' && info && <TierCard info={info} />}
      {state === 'ready' && info?.isSoftware && (
        <div className="card compact warn-card">
          <h3>This is not a real GPU</h3>
          <p>
            The browser gave an adapter that computes on the processor. Numbers are right, but training is hundreds of
            times slower. It works well with the smallest model; for larger ones, turn the real GPU on:
          </p>
          <DeviceHelp />
        </div>
      )}
      {(state === 'missing' || state === 'lost') && (
        <div className="card compact bad-card">
          <h3>{state === 'lost' ? 'The GPU went away' : 'No GPU to train on'}</h3>
          {error && (
            <p>
              {error.message} <code>{error.code}</code>
            </p>
          )}
          {state === 'lost' ? (
            <>
              <p>What was trained so far can still be exported. Reload the page to train again.</p>
              <Button onClick={() => location.reload()}>Reload the page</Button>
            </>
          ) : (
            <>
              <DeviceHelp />
              <Button onClick={() => void openDevice()}>Look for a GPU again</Button>
            </>
          )}
        </div>
      )}
      {state === 'ready' && !info?.isSoftware && (
        <p className="fine">
          Training runs in a thread of this page through WebGPU. A newer driver or browser can raise these limits.
        </p>
      )}
      {state === 'ready' && (
        <p className="fine">
          <a href="./bench.html">The benchmark</a> measures what this browser and GPU do.
        </p>
      )}
    </>
  );
}
