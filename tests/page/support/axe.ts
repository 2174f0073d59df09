/** What axe finds on a page: each rule that is broken, with the beginnings of what breaks it. */
import AxeBuilder from '@axe-core/playwright';
import type { Page } from 'playwright-core';

export async function violations(page: Page, within?: string): Promise<string[]> {
  // The page has no frames, whose findings would be put together in another page; and of what is in order nothing is told.
  const axe = new AxeBuilder({ page }).setLegacyMode().options({ resultTypes: ['violations'] });
  const { violations } = await (within ? axe.include(within) : axe).analyze();
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html.slice(0, 160)).join(' | ')}`);
}
