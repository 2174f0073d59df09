/** Chromium with WebGPU on its software adapter, and contexts that remember what they did outside the page's origin. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';
import { LAUNCH } from '../../support/chromium';

const WEBGPU = ['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader'];
const QUIET = ['--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];

export interface TestBrowser {
  browser: Browser;
  /** What the browser asked of any host but this machine, whoever in it did. */
  outside: string[];
  close(): Promise<void>;
}

/**
 * All traffic but that to this machine goes through a proxy that writes it down and refuses it, so that a request of a
 * worker, of a style sheet or of the browser itself is seen as well.
 */
export async function launch({ webgpu = true } = {}): Promise<TestBrowser> {
  const outside: string[] = [];
  const proxy: Server = createServer((request, response) => {
    outside.push(request.url!);
    response.writeHead(403).end();
  });
  proxy.on('connect', (request, socket) => {
    outside.push(request.url!);
    socket.end('HTTP/1.1 403 Forbidden\r\n\r\n');
  });
  await new Promise<void>((done) => proxy.listen(0, '127.0.0.1', done));
  const { port } = proxy.address() as AddressInfo;
  const browser = await chromium.launch({
    ...LAUNCH,
    args: [...LAUNCH.args, ...QUIET, ...(webgpu ? WEBGPU : []), `--proxy-server=http://127.0.0.1:${port}`],
  });
  return {
    browser,
    outside,
    async close() {
      await browser.close();
      proxy.closeAllConnections();
      proxy.close();
    },
  };
}

/** Everything that a visitor would find in the console. */
export interface Watched {
  context: BrowserContext;
  page: Page;
  said: string[];
  /** Requests to another origin than the page's. */
  foreign: string[];
}

/** Runs in the page: a browser without service workers, so that what a test serves or holds back is what the page gets. */
function withoutServiceWorker(): void {
  Reflect.deleteProperty(Navigator.prototype, 'serviceWorker');
}

/**
 * A fresh profile with one page open at `url`. Without `serviceWorker` the page is not kept for use without network; without
 * `motion` its visitor asks for none, which would be drawn sixty times a second.
 */
export async function visit(
  { browser }: TestBrowser,
  url: string,
  options: { init?: () => void; colorScheme?: 'light' | 'dark'; serviceWorker?: boolean; motion?: boolean } = {},
): Promise<Watched> {
  const context = await browser.newContext({
    viewport: { width: 1440, height: 900 },
    acceptDownloads: true,
    colorScheme: options.colorScheme ?? 'light',
    reducedMotion: options.motion ? 'no-preference' : 'reduce',
  });
  const said: string[] = [];
  const foreign: string[] = [];
  const { origin } = new URL(url);
  context.on('console', (message) => said.push(`${message.type()}: ${message.text()}`));
  context.on('weberror', (error) => said.push(`uncaught: ${error.error()}`));
  context.on('request', (request) => {
    const address = request.url();
    if (!/^(data|blob):/.test(address) && new URL(address).origin !== origin) foreign.push(address);
  });
  if (!options.serviceWorker) await context.addInitScript(withoutServiceWorker);
  if (options.init) await context.addInitScript(options.init);
  const page = await context.newPage();
  await page.goto(url);
  return { context, page, said, foreign };
}

/** What Chromium itself asks at times, whatever the flags say: for its updater, sign-in and autofill. */
const OF_CHROMIUM =
  /^(?:http:\/\/)?(?:update\.googleapis|content-autofill\.googleapis|accounts\.google)\.com(?:[:/]|$)/;

/** What was heard that should not be: console lines, errors, and requests beyond the page's own origin. */
export function quiet({ said, foreign }: Watched, { outside }: TestBrowser): string[] {
  return [...said, ...foreign, ...outside.filter((address) => !OF_CHROMIUM.test(address))];
}
