/** Builds the page once before the page tests, unless dist/ is newer than everything it is made from. */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'vite';
import { repositoryPath } from './files';

const SOURCES = ['src', 'shaders', 'public', 'index.html', 'vite.config.ts', 'package-lock.json'];

function newest(path: string): number {
  const found = statSync(path);
  if (!found.isDirectory()) return found.mtimeMs;
  return Math.max(found.mtimeMs, ...readdirSync(path).map((name) => newest(join(path, name))));
}

export default async function setup(): Promise<void> {
  if (process.env.STUDIO_DIST) return;
  const page = repositoryPath('dist/index.html');
  const changed = Math.max(...SOURCES.map((path) => newest(repositoryPath(path))));
  if (existsSync(page) && statSync(page).mtimeMs > changed) return;
  await build({ root: repositoryPath('.'), logLevel: 'warn' });
}
