/** What the page costs before it can be used. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

/** Static imports and re-exports of a built module. */
const IMPORTS = /(?:^|[;}\s])(?:import|export)\s*(?:[^'"`()]*?\bfrom\s*)?["'`](\.\/[^"'`]+\.js)["'`]/gu;

/** Scripts that index.html has loaded before the page is drawn, with what they import, and their gzipped bytes. */
export async function firstScripts(folder: string): Promise<Map<string, number>> {
  const page = await readFile(join(folder, 'index.html'), 'utf8');
  const wanted = [...page.matchAll(/(?:src|href)="\.\/(assets\/[^"]+\.js)"/gu)].map(([, name]) => name);
  const sizes = new Map<string, number>();
  for (const name of wanted) {
    if (sizes.has(name)) continue;
    const script = await readFile(join(folder, name));
    sizes.set(name, gzipSync(script).length);
    for (const [, imported] of script.toString().matchAll(IMPORTS)) wanted.push(join('assets', imported));
  }
  return sizes;
}

/** For a page's start: notes in `interactiveAt` when the view stands and the thread is free, in ms since navigation. */
export function noteInteractive(): void {
  const watch = new MutationObserver(() => {
    if (!document.querySelector('main h1')) return;
    watch.disconnect();
    // After what React does behind the first drawing.
    requestAnimationFrame(() => setTimeout(() => Object.assign(window, { interactiveAt: performance.now() })));
  });
  watch.observe(document, { childList: true, subtree: true });
}
