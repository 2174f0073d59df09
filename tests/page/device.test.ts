/** Without WebGPU, and with it on a software adapter: the page says so plainly, and what to do. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Site, serveSite } from '../support/site';
import { launch, quiet, type TestBrowser, visit } from './support/browser';
import { withOtherDevice } from './support/other-device';
import { shot } from './support/shots';
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

  it('computes in the tier that is chosen; what cannot be had, or proved wrong, is said with the reason', async () => {
    browser ??= await launch();
    const visited = await visit(browser, site.url);
    const { page, context } = visited;
    const arithmetic = page.getByRole('region', { name: 'Arithmetic' });
    const option = (name: string) => arithmetic.getByRole('button', { name, exact: true });
    await option('Auto').waitFor();
    expect(await option('f16').isDisabled()).toBe(true);
    expect(await option('f16').getAttribute('title')).toBe('Needs a GPU: this adapter computes on the processor');
    expect(await option('f32').isEnabled()).toBe(true);
    await option('f32').click();
    await expect.poll(() => option('f32').getAttribute('aria-pressed')).toBe('true');
    // Kept for this adapter.
    await page.reload();
    await expect.poll(() => option('f32').getAttribute('aria-pressed')).toBe('true');
    expect(quiet(visited, browser)).toEqual([]);
    await context.close();
  });

  it('with faster tiers: switches at once, and says in plain words that one was found wrong', async () => {
    browser ??= await launch();
    const f16 = { tier: 'f16', passed: true, loss: 1.2e-4, gradients: 2.5e-3, problem: null };
    const matrix = {
      tier: 'subgroup-matrix',
      passed: false,
      loss: 0.4,
      gradients: 2,
      problem: 'a small step differs from the same step in f32 by more than it may: loss 0.4 (allowed 0.005)',
    };
    const tiers = ['f32', 'f16', 'subgroup-matrix'].map((tier) => ({ tier, missing: null }));
    const info = {
      isSoftware: false,
      description: 'A good card',
      tiers,
      choice: 'auto',
      tier: 'f16',
      checks: [f16],
      measuredMs: 940,
    };
    const afterSetTier = { choice: 'subgroup-matrix', tier: 'f16', checks: [f16, matrix] };
    const context = await browser.browser.newContext({ viewport: { width: 1440, height: 900 } });
    const page = await context.newPage();
    await page.addInitScript(withOtherDevice, { info, afterSetTier });
    await page.goto(site.url);
    const arithmetic = page.getByRole('region', { name: 'Arithmetic' });
    const option = (name: string) => arithmetic.getByRole('button', { name, exact: true });
    await page.getByRole('button', { name: 'Device: A good card · f16' }).waitFor();
    await arithmetic
      .getByText(/in f16 a small step’s loss differs by 0\.012 % from f32’s, its gradients by 0\.25 %/)
      .waitFor();
    await arithmetic.getByText('were found in 0.9 s').waitFor();
    await option('Matrix').click();
    await expect.poll(() => option('Matrix').getAttribute('aria-pressed')).toBe('true');
    await arithmetic.getByText(/^f16 on matrix units is not used on this GPU: a small step differs/).waitFor();
    await page.getByText(/^f16 on matrix units gave other numbers than f32 on this GPU, so f16 is used\./).waitFor();
    await shot(page, 'tiers');
    await arithmetic.getByRole('button', { name: 'Measure and check again' }).click();
    await expect
      .poll(() => page.evaluate(() => window.tierRequests))
      .toEqual([
        { type: 'setTier', args: { tier: 'subgroup-matrix' } },
        { type: 'checkTier', args: {} },
      ]);
    await context.close();
  });
});
