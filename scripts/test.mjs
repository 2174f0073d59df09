/** npm test: set-up; lint, types and the static build side by side; then unit and kernel tests, and the page in Chromium. */
import { spawn } from 'node:child_process';
import { ensureChromium, ensureDependencies, root } from './setup.mjs';

ensureDependencies();
process.env.CHROME_PATH = ensureChromium();

/**
 * A driver on the CPU takes and gives back megabytes for every kernel that it compiles. glibc that keeps them saves it the page
 * faults: a fifth of the processor time of kernel tests. Other systems ignore this.
 */
const MALLOC = {
  MALLOC_TRIM_THRESHOLD_: `${2 ** 28}`,
  MALLOC_MMAP_THRESHOLD_: `${2 ** 25}`,
  MALLOC_TOP_PAD_: `${2 ** 24}`,
};

/** Runs a program of node_modules, and answers whether all was well. What it says comes as it is said, or `atOnce` at its end. */
function step(name, program, args, { atOnce = false, env = {} } = {}) {
  const started = Date.now();
  if (!atOnce) process.stdout.write(`\n== ${name}\n`);
  return new Promise((resolve) => {
    const child = spawn(`${root}/node_modules/.bin/${program}`, args, {
      cwd: root,
      env: { ...process.env, ...env },
      stdio: atOnce ? ['ignore', 'pipe', 'pipe'] : 'inherit',
      shell: process.platform === 'win32',
    });
    const said = [];
    child.stdout?.on('data', (bytes) => said.push(bytes));
    child.stderr?.on('data', (bytes) => said.push(bytes));
    child.on('error', (error) => process.stderr.write(`${error.message}\n`));
    child.on('close', (status) => {
      if (atOnce) process.stdout.write(`\n== ${name}\n${Buffer.concat(said)}`);
      const seconds = ((Date.now() - started) / 1000).toFixed(1);
      process.stdout.write(`== ${name}: ${status === 0 ? 'ok' : 'failed'} in ${seconds} s\n`);
      resolve(status === 0);
    });
  });
}

const checks = await Promise.all([
  step('lint', 'biome', ['check', '.'], { atOnce: true }),
  step('types', 'tsc', ['--noEmit'], { atOnce: true }),
  step('build', 'vite', ['build', '--logLevel', 'warn'], { atOnce: true }),
]);
const passed =
  checks.every(Boolean) && (await step('tests', 'vitest', ['run', ...process.argv.slice(2)], { env: MALLOC }));
process.exit(passed ? 0 : 1);
