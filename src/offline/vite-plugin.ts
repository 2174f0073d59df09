/** Part of the build: writes the service worker with the list of the files it keeps. Runs under Node, not in the page. */
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, type Plugin } from 'vite';
import type { PrecacheEntry } from 'workbox-precaching';
import { SERVICE_WORKER } from './messages.ts';

/** Files of models come from storage; of a model that is not stored there is nothing to train without network. */
const isOfModel = (url: string) => url.startsWith('models/') && url !== 'models/index.json';
/** Vite writes a hash of the content into the names of what it makes. */
const isHashed = (url: string) => url.startsWith('assets/');

/** What the page needs to open and to train without network, of the files in `folder`. */
export async function precacheList(folder: string): Promise<PrecacheEntry[]> {
  const found = await readdir(folder, { recursive: true, withFileTypes: true });
  const urls = found
    .filter((entry) => entry.isFile())
    .map((entry) =>
      join(entry.parentPath, entry.name)
        .slice(folder.length + 1)
        .split(sep)
        .join('/'),
    )
    .filter((url) => !isOfModel(url) && url !== SERVICE_WORKER && !url.endsWith('.md'))
    .sort();
  return Promise.all(
    urls.map(async (url) => {
      if (isHashed(url)) return { url, revision: null };
      const content = await readFile(join(folder, url));
      return { url, revision: createHash('sha256').update(content).digest('hex').slice(0, 16) };
    }),
  );
}

export function serviceWorker(): Plugin {
  let folder = '';
  return {
    name: 'service-worker',
    apply: 'build',
    configResolved({ root, build: { outDir } }) {
      folder = resolve(root, outDir);
    },
    closeBundle: {
      sequential: true,
      async handler() {
        await build({
          configFile: false,
          logLevel: 'warn',
          publicDir: false,
          define: {
            'self.__WB_MANIFEST': JSON.stringify(await precacheList(folder)),
            'process.env.NODE_ENV': JSON.stringify('production'),
          },
          build: {
            outDir: folder,
            emptyOutDir: false,
            target: 'es2023',
            lib: {
              entry: fileURLToPath(new URL('./service-worker.ts', import.meta.url)),
              formats: ['iife'],
              name: 'serviceWorker',
              fileName: () => SERVICE_WORKER,
            },
          },
        });
      },
    },
  };
}
