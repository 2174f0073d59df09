/** What a visitor does on the page, by the names that a screen reader says. */
import { mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Locator, Page } from 'playwright-core';

export type StepName = 'Model' | 'Data' | 'Settings' | 'Train' | 'Chat' | 'Evaluate' | 'Export';

/** A few steps on a software adapter may take this long on a machine with other work. */
export const RUN_MS = 240_000;

export class StudioPage {
  readonly page: Page;

  constructor(page: Page) {
    this.page = page;
    page.setDefaultTimeout(60_000);
  }

  step(name: StepName): Locator {
    return this.page
      .getByRole('navigation', { name: 'Steps' })
      .getByRole('button', { name: new RegExp(`^${name} ?,`) });
  }

  async goTo(name: StepName): Promise<void> {
    await this.step(name).click();
    await this.page.waitForFunction((id) => location.hash === `#${id}`, name.toLowerCase());
  }

  /** Waits until the built-in model is on the GPU. */
  async modelLoaded(): Promise<void> {
    await this.page.getByRole('button', { name: /^Model ?, done/ }).waitFor({ timeout: 120_000 });
  }

  /** Drops a file from disk in the middle of the page, as the window system does. */
  async dropPath(path: string, whileOver?: () => Promise<void>): Promise<void> {
    const cdp = await this.page.context().newCDPSession(this.page);
    const { width, height } = this.page.viewportSize()!;
    const data = { items: [], files: [path], dragOperationsMask: 1 };
    const at = { x: width / 3, y: height / 2, data };
    await cdp.send('Input.dispatchDragEvent', { type: 'dragEnter', ...at });
    await cdp.send('Input.dispatchDragEvent', { type: 'dragOver', ...at });
    await whileOver?.();
    await cdp.send('Input.dispatchDragEvent', { type: 'drop', ...at });
    await cdp.detach();
  }

  async drop(name: string, content: string | Uint8Array, whileOver?: () => Promise<void>): Promise<void> {
    const folder = await mkdtemp(join(tmpdir(), 'orpo-page-'));
    const path = join(folder, name);
    await writeFile(path, content);
    await this.dropPath(path, whileOver);
  }

  /** Waits until a file's card says how many of its rows are usable. */
  async dataRead(name: string, usable: number): Promise<void> {
    const card = this.page.getByRole('region', { name: 'Training file' });
    await card.getByText(name, { exact: true }).waitFor();
    await card.getByText(`${usable.toLocaleString('en-US')} usable`, { exact: true }).waitFor();
  }

  async holdOut(percent: number): Promise<void> {
    await this.page.getByLabel('Share held out').fill(String(percent));
  }

  /** Types a number into the setting of that name, e.g. "max_steps". */
  async setNumber(key: string, value: number): Promise<void> {
    await this.page.getByLabel(new RegExp(`\\b${key}$`)).fill(String(value));
  }

  /** Goes to the settings and types these numbers. */
  async settings(numbers: Record<string, number>): Promise<void> {
    await this.goTo('Settings');
    for (const [key, value] of Object.entries(numbers)) await this.setNumber(key, value);
  }

  get progress(): Promise<string | null> {
    return this.page.locator('.run-line').textContent();
  }

  async start(): Promise<void> {
    await this.goTo('Train');
    await this.page.getByRole('button', { name: /^Start (training|again)$/ }).click();
  }

  /** Waits until the run is over, and says how it ended. */
  async ended(timeout = RUN_MS): Promise<string | null> {
    const title = this.page.locator('main h1');
    await title.getByText(/^(Finished|Stopped|Failed)$/).waitFor({ timeout });
    return title.textContent();
  }

  async download(button: string): Promise<{ name: string; bytes: Uint8Array<ArrayBuffer> }> {
    const [download] = await Promise.all([
      this.page.waitForEvent('download'),
      this.page.getByRole('button', { name: button }).click(),
    ]);
    const bytes = new Uint8Array(await readFile(await download.path()));
    return { name: download.suggestedFilename(), bytes };
  }
}
