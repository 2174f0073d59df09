/** How the tests start Chromium. */
// @ts-expect-error plain JavaScript
import { findChromium } from '../../scripts/setup.mjs';

/** Parts of the browser's own window, each a page in a process of its own for every context. */
const OF_THE_WINDOW = ['InitialWebUI', 'WebUIReloadButton', 'WebUIToolbar'];

/** What Playwright 1.65 switches off. Its list would be replaced, not added to. */
const OF_PLAYWRIGHT = [
  ...['AvoidUnnecessaryBeforeUnloadCheckSync', 'DestroyProfileOnBrowserClose', 'HttpsUpgrades'],
  ...[
    'HttpsFirstBalancedModeAutoEnable',
    'LensOverlay',
    'MediaRouter',
    'PaintHolding',
    'ThirdPartyStoragePartitioning',
  ],
  ...['AvoidCorsURLLoaderRestartOnRedirect', 'OptimizationHints', 'NetworkTimeServiceQuerying', 'AimEnabled'],
  ...['PreconnectToSearch'],
];

/** Options of `chromium.launch`. */
export const LAUNCH = {
  executablePath: findChromium() as string,
  args: ['--no-sandbox', '--disable-quic', `--disable-features=${[...OF_PLAYWRIGHT, ...OF_THE_WINDOW]}`],
};
