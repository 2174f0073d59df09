/** npm test: set-up, then lint, types, unit and kernel tests, the static build, and the page tests in Chromium. */
import { spawnSync } from 'node:child_process';
import { ensureChromium, ensureDependencies, root } from './setup.mjs';

ensureDependencies();
process.env.CHROME_PATH = ensureChromium();
const bin = (name) => `${root}/node_modules/.bin/${name}`;
const steps = [
  ['lint', bin('biome'), ['check', '.']],
  ['types', bin('tsc'), ['--noEmit']],
  ['build', bin('vite'), ['build', '--logLevel', 'warn']],
  ['tests', bin('vitest'), ['run', ...process.argv.slice(2)]],
];
for (const [name, command, args] of steps) {
  process.stdout.write(`\n== ${name}\n`);
  const started = Date.now();
  const { status } = spawnSync(command, args, { cwd: root, stdio: 'inherit', shell: process.platform === 'win32' });
  process.stdout.write(
    `== ${name}: ${status === 0 ? 'ok' : 'failed'} in ${((Date.now() - started) / 1000).toFixed(1)} s\n`,
  );
  if (status !== 0) process.exit(status ?? 1);
}
