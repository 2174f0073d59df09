/** Without WebGPU, and with it on a software adapter: the page says so plainly, and what to do. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Site, serveSite } from '../support/site';
import { launch, quiet, type TestBrowser, visit } from './support/browser';
import { StudioPage } from './support/studio';

let site: Site;
let browser: TestBrowser | undefined;

beforeAll(async () => {
  site = await serveSite();
  return () => site.close();
});
afterAll(() => browser?.close());

describe('the device', () => {
  it('missing: names the reason and the ways to a GPU; data can be looked at, nothing can start', async () => {
    browser = await launch({ webgpu: false });
    try {
      const visited = await visit(browser, site.url);
      const { page } = visited;
      const studio = new StudioPage(page);
      const device = page.getByRole('complementary', { name: 'Device' });
      await device.getByRole('heading', { name: 'No GPU to train on' }).waitFor();
      expect(await device.locator('code').first().textContent()).toMatch(/^no-(webgpu|adapter)$/);
      await device.getByText('Use Chrome or Edge, version 121 or newer,').waitFor();
      await device.getByText('--enable-unsafe-webgpu --enable-features=Vulkan').waitFor();
      await page.getByRole('button', { name: 'Device: No GPU' }).waitFor();
      expect(await page.getByRole('button', { name: /^Load .*260/i }).isDisabled()).toBe(true);
      await studio
        .step('Data')
        .getByText(/101 train/)
        .waitFor();
      await studio.goTo('Train');
      await page.getByText('Training needs a model first.').waitFor();
      expect(await page.getByRole('button', { name: 'Start training' }).isDisabled()).toBe(true);
      expect(quiet(visited, browser)).toEqual([]);
    } finally {
      await browser.close();
      browser = undefined;
    }
  });

  it('in software: says that it is not a real GPU, what that means, and lets the small model train', async () => {
    browser = await launch();
    const visited = await visit(browser, site.url);
    const studio = new StudioPage(visited.page);
    const device = visited.page.getByRole('complementary', { name: 'Device' });
    await device.getByRole('heading', { name: 'This is not a real GPU' }).waitFor();
    await device.getByText(/computes on the processor.*hundreds of times slower/).waitFor();
    await visited.page.getByRole('button', { name: /^Device: Software adapter/ }).waitFor();
    await studio.modelLoaded();
    await studio.goTo('Train');
    await expect.poll(() => visited.page.getByRole('button', { name: 'Start training' }).isEnabled()).toBe(true);
    expect(quiet(visited, browser)).toEqual([]);
  });
});
