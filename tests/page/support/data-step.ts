/** The data step as a person sees it. */
import type { Page } from 'playwright-core';
import { type TestBrowser, visit, type Watched } from './browser';
import { StudioPage } from './studio';

export class DataStep {
  readonly visited: Watched;
  readonly studio: StudioPage;
  readonly page: Page;

  private constructor(visited: Watched) {
    this.visited = visited;
    this.page = visited.page;
    this.studio = new StudioPage(visited.page);
  }

  /** Opens the page, waits for its model, and goes to the step. */
  static async open(browser: TestBrowser, url: string, colorScheme: 'light' | 'dark' = 'light'): Promise<DataStep> {
    const step = new DataStep(await visit(browser, url, { colorScheme }));
    step.page.setDefaultTimeout(25_000);
    await step.studio.modelLoaded();
    await step.studio.goTo('Data');
    return step;
  }

  region = (name: string) => this.page.getByRole('region', { name });
  pairPanel = () => this.page.getByRole('article', { name: /^Pair \d+$/ });
  list = () => this.page.getByRole('listbox', { name: 'Pairs' });
  side = (title: 'Chosen' | 'Rejected') => this.pairPanel().getByRole('group', { name: title });

  /** Waits until the rows were looked through and tokenised. */
  async inspected(): Promise<void> {
    await this.region('Lengths').getByRole('figure').waitFor({ timeout: 60_000 });
    await this.region('Checks').getByText('looking through the rows').waitFor({ state: 'detached' });
  }
}
