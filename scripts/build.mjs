/** npm run build: type-checks and writes the static site to dist/. */
import { execFileSync } from 'node:child_process';
import { ensureDependencies, root } from './setup.mjs';

ensureDependencies();
execFileSync(`${root}/node_modules/.bin/tsc`, ['--noEmit'], { cwd: root, stdio: 'inherit' });
const { build } = await import('vite');
await build({ root });
