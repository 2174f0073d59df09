/**
 * npm run screenshots: builds the page, trains a short run on the built-in model in Chromium and writes a picture of
 * every view in both themes to build/screenshots (or to the folder named as argument). Set GPU=1 to use the machine's own GPU.
 */
import { mkdirSync } from 'node:fs';
import { ensureChromium, ensureDependencies, root } from './setup.mjs';

ensureDependencies();
const executablePath = ensureChromium();
const folder = process.argv[2] ?? `${root}/build/screenshots`;
mkdirSync(folder, { recursive: true });

const { build, preview } = await import('vite');
const { chromium } = await import('playwright-core');
await build({ root, logLevel: 'warn' });
const server = await preview({ root, preview: { port: 0, host: '127.0.0.1', open: false } });
const url = server.resolvedUrls.local[0];

const browser = await chromium.launch({
  executablePath,
  args: [
    '--no-sandbox',
    '--disable-quic',
    '--disable-background-networking',
    '--enable-unsafe-webgpu',
    ...(process.env.GPU ? ['--enable-features=Vulkan'] : ['--use-webgpu-adapter=swiftshader']),
  ],
});

const VIEWS = ['Model', 'Data', 'Settings', 'Train', 'Chat', 'Evaluate', 'Export', 'Runs', 'Storage'];
const SETTINGS = {
  max_steps: 24,
  gradient_accumulation_steps: 1,
  max_prompt_length: 64,
  max_length: 160,
  eval_steps: 6,
};

try {
  const page = await (await browser.newContext({ viewport: { width: 1440, height: 900 } })).newPage();
  page.setDefaultTimeout(60_000);
  const said = [];
  page.on('console', (message) => said.push(message.text()));
  page.on('pageerror', (error) => said.push(String(error)));
  const goTo = (name) =>
    page
      .getByRole('navigation', { name: 'Steps' })
      .getByRole('button', { name: new RegExp(`^${name} ?,`) })
      .click();

  await page.goto(url);
  await page.getByRole('button', { name: /^Model ?, done/ }).waitFor();
  await goTo('Settings');
  for (const [key, value] of Object.entries(SETTINGS)) {
    await page.getByLabel(new RegExp(`\\b${key}$`)).fill(String(value));
  }
  await page.getByRole('button', { name: '4 × a run' }).click();
  await goTo('Train');
  await page.getByRole('button', { name: 'Start training' }).click();
  await page.locator('main h1').getByText('Finished').waitFor({ timeout: 600_000 });
  await goTo('Chat');
  await page
    .getByRole('list', { name: /^Prompts of/ })
    .getByRole('button')
    .first()
    .click();
  await page.getByLabel('Most new tokens').fill('60');
  await page.getByRole('button', { name: 'Send to both' }).click();
  await page.locator('.conversation .said.assistant .number').nth(1).waitFor({ timeout: 120_000 });
  await goTo('Evaluate');
  await page.getByLabel('Questions of each task').fill('10');
  await page.getByRole('button', { name: 'Evaluate base and tuned' }).click();
  await page.getByRole('region', { name: 'Base beside tuned' }).waitFor({ timeout: 900_000 });

  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme });
    for (const name of VIEWS) {
      if (name === 'Storage') await page.getByRole('banner').getByRole('button', { name }).click();
      else if (name === 'Runs') await page.getByRole('button', { name: /^Runs/ }).click();
      else await goTo(name);
      await page.mouse.move(0, 0);
      await page.evaluate(() => scrollTo(0, 0));
      await page.waitForTimeout(800);
      await page.screenshot({ path: `${folder}/${name.toLowerCase()}-${colorScheme}.png`, animations: 'disabled' });
    }
  }
  if (said.length) throw new Error(`The console was not empty:\n${said.join('\n')}`);
  process.stdout.write(`${2 * VIEWS.length} pictures in ${folder}\n`);
} finally {
  await browser.close();
  await server.close();
}
