/** The built page, opened for all tests of a file. */
import { afterAll, beforeAll } from 'vitest';
import { type Site, serveSite } from '../../support/site';
import { launch, quiet, type TestBrowser, visit, type Watched } from './browser';
import { inOrder } from './in-order';
import { StudioPage } from './studio';

export interface Opened extends Watched {
  site: Site;
  browser: TestBrowser;
  studio: StudioPage;
}

/**
 * Serves the page, and visits it in a browser before the first test; closes all of it after the last. The tests build
 * on one another. What is answered is filled in by then: take nothing out of it before.
 */
export function openForFile(): Opened {
  const opened = {} as Opened;
  inOrder(() => opened.page);
  beforeAll(async () => {
    opened.site = await serveSite();
    opened.browser = await launch();
    Object.assign(opened, await visit(opened.browser, opened.site.url));
    opened.studio = new StudioPage(opened.page);
  });
  afterAll(async () => {
    await opened.browser?.close();
    await opened.site?.close();
  });
  return opened;
}

/** What was heard so far that should not be: console lines, errors, and requests beyond the page's own origin. */
export const heard = (opened: Opened): string[] => quiet(opened, opened.browser);
