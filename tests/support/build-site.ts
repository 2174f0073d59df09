/** Builds the page once before the page tests, unless dist/ is newer than everything it is made from. */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { repositoryPath } from './files';

const SOURCES = ['src', 'shaders', 'public', 'index.html', 'bench.html', 'vite.config.ts', 'package-lock.json'];

function newest(path: string): number {
  const found = statSync(path);
  if (!found.isDirectory()) return found.mtimeMs;
  return Math.max(found.mtimeMs, ...readdirSync(path).map((name) => newest(join(path, name))));
}

export default function setup(): void {
  if (process.env.STUDIO_DIST) return;
  const page = repositoryPath('dist/index.html');
  const changed = Math.max(...SOURCES.map((path) => newest(repositoryPath(path))));
  if (existsSync(page) && statSync(page).mtimeMs > changed) return;
  // A process of its own: Vitest's NODE_ENV would make it a development build.
  const { NODE_ENV: _, ...env } = process.env;
  const vite = repositoryPath('node_modules/vite/bin/vite.js');
  execFileSync(process.execPath, [vite, 'build', '--logLevel', 'warn'], {
    cwd: repositoryPath('.'),
    env,
    stdio: 'inherit',
  });
}
