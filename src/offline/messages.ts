/** What the page and its service worker say to one another. */

/** Asks a version that waits to take over from the one in use. */
export const TAKE_OVER = 'take-over';

/** Its answer. It does not take over while other tabs run the version in use. */
export type TakeOver = { done: true } | { done: false; otherTabs: number };

/** The script's name, beside index.html. */
export const SERVICE_WORKER = 'service-worker.js';
