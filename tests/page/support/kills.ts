/** Ways in which a run is cut off, as they happen to visitors. */
import type { BrowserContext, Page, Worker } from 'playwright-core';

export const KILLS = ['page', 'thread', 'device'] as const;
export type Kill = (typeof KILLS)[number];

/** Keeps the engine's device where a test can reach it: `self.device` of the thread. For the whole context. */
export async function watchDevice(context: BrowserContext): Promise<void> {
  const watch = `
    const { prototype } = GPUAdapter;
    const { requestDevice } = prototype;
    prototype.requestDevice = async function (...args) {
      self.device = await requestDevice.apply(this, args);
      return self.device;
    };`;
  await context.route(/worker-[^/]*\.js$/u, async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response, body: `${await response.text()}\n;{${watch}}` });
  });
  // The thread's own handle, for ending it from outside.
  await context.addInitScript(() => {
    const { Worker: Own } = window;
    window.Worker = class extends Own {
      constructor(url: string | URL, options?: WorkerOptions) {
        super(url, options);
        Object.assign(window, { engineThread: this });
      }
    };
  });
}

/** The engine's thread: the one that has opened a device. */
export async function engineThread(page: Page): Promise<Worker> {
  for (const worker of page.workers()) if (await worker.evaluate(() => 'device' in self)) return worker;
  throw new Error('no thread has a device');
}

/** Cuts the run off; answers the page to go on in, loaded anew. */
export async function cutOff(page: Page, kill: Kill): Promise<Page> {
  if (kill === 'page') {
    const context = page.context();
    const url = page.url();
    await page.close({ runBeforeUnload: false });
    const next = await context.newPage();
    await next.goto(url);
    return next;
  }
  if (kill === 'thread') {
    await page.evaluate(() => (window as unknown as { engineThread: globalThis.Worker }).engineThread.terminate());
  } else {
    const thread = await engineThread(page);
    await thread.evaluate(() => (self as unknown as { device: GPUDevice }).device.destroy());
    await page.locator('main h1').getByText('Failed').waitFor();
  }
  page.once('dialog', (dialog) => void dialog.accept());
  await page.reload();
  return page;
}
