import { Fragment } from 'react';
import { CopyButton } from './ui';

const LINUX_FLAGS = '--enable-unsafe-webgpu --enable-features=Vulkan';

/** The ways to a GPU, most likely first. Browser pages cannot be linked to, so their addresses are to be copied. */
export function DeviceHelp() {
  const linux = navigator.userAgent.includes('Linux') && !navigator.userAgent.includes('Android');
  const browser = navigator.userAgent.includes('Edg/') ? 'edge' : 'chrome';
  return (
    <ol className="help">
      {!isSecureContext && (
        <li>
          <strong>Open the page over https, or on localhost.</strong> Browsers hide WebGPU from pages that come over
          plain http.
        </li>
      )}
      <li>
        <strong>Use Chrome or Edge, version 121 or newer,</strong> on a computer with a graphics card.
      </li>
      <li>
        <strong>Turn hardware acceleration on:</strong> in <code>{browser}://settings/system</code>, “Use graphics
        acceleration when available”, then restart the browser.
      </li>
      <li>
        <strong>On Linux{linux ? ' (yours)' : ''},</strong> start the browser with
        <span className="copy-line">
          <code>
            {LINUX_FLAGS.split(' ').map((flag) => (
              <Fragment key={flag}>
                <span className="flag">{flag}</span>{' '}
              </Fragment>
            ))}
          </code>
          <CopyButton text={LINUX_FLAGS} label="Copy the flags for Linux" />
        </span>
      </li>
      <li>
        <strong>See what the browser thinks:</strong> <code>{browser}://gpu</code> should say “WebGPU: Hardware
        accelerated”. If not, a newer graphics driver often helps.
      </li>
    </ol>
  );
}
