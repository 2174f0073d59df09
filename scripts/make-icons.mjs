/** Draws public/icon.svg as the PNG files that public/manifest.webmanifest names: node scripts/make-icons.mjs */
import { readFileSync, writeFileSync } from 'node:fs';
import { chromium } from 'playwright-core';
import { ensureChromium, root } from './setup.mjs';

const svg = readFileSync(`${root}/public/icon.svg`, 'utf8');
/** Systems cut maskable icons into shapes of their own: the ground goes to the edges, the drawing into the middle. */
const maskable = svg
  .replace(
    /<rect [^>]*\/>/u,
    '<rect width="32" height="32" fill="#16191d"/><g transform="translate(4.8 4.8) scale(0.7)">',
  )
  .replace('</svg>', '</g></svg>');

const browser = await chromium.launch({ executablePath: ensureChromium(), args: ['--no-sandbox'] });
const page = await browser.newPage();
for (const [name, drawing, size] of [
  ['icon-192', svg, 192],
  ['icon-512', svg, 512],
  ['icon-maskable-512', maskable, 512],
]) {
  await page.setViewportSize({ width: size, height: size });
  await page.setContent(`<style>body { margin: 0 } svg { display: block; width: 100vw }</style>${drawing}`);
  writeFileSync(`${root}/public/${name}.png`, await page.screenshot({ omitBackground: true }));
}
await browser.close();
