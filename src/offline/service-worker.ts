/**
 * The page's service worker: it keeps everything that the page is made of, so that it opens without network. Models and
 * runs are not its business: they lie in storage. A new version waits until a visitor asks for it, or until the last tab
 * is closed.
 */
import { clientsClaim } from 'workbox-core';
import { type PrecacheEntry, precacheAndRoute } from 'workbox-precaching';
import { TAKE_OVER, type TakeOver } from './messages';

/** The part of the service worker's global scope that is used here; TypeScript has it in a library of its own. */
interface Scope {
  /** Every file of the page, put in by the build. */
  __WB_MANIFEST: PrecacheEntry[];
  clients: { matchAll(options: { type: 'window'; includeUncontrolled: boolean }): Promise<readonly unknown[]> };
  skipWaiting(): Promise<void>;
  addEventListener(
    type: 'message',
    listener: (event: MessageEvent & { waitUntil(done: Promise<void>): void }) => void,
  ): void;
}

declare const self: Scope;

precacheAndRoute(self.__WB_MANIFEST, { cleanURLs: false, ignoreURLParametersMatching: [] });
clientsClaim();

/** The files of the version in use go when another takes over, so that no second tab may be left with it. */
async function takeOver(): Promise<TakeOver> {
  const tabs = await self.clients.matchAll({ type: 'window', includeUncontrolled: true });
  if (tabs.length > 1) return { done: false, otherTabs: tabs.length - 1 };
  await self.skipWaiting();
  return { done: true };
}

self.addEventListener('message', (event) => {
  if (event.data?.type !== TAKE_OVER) return;
  event.waitUntil(takeOver().then((answer) => event.ports[0]?.postMessage(answer)));
});
