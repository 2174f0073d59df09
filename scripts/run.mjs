/**
 * Bundles one command of src/cli, or of bench, with Vite and runs it:  node scripts/run.mjs COMMAND [arguments]
 * With --bundle-only the bundle is left in build/cli/COMMAND.mjs (it needs nothing but the `webgpu` package, or
 * playwright-core, beside it).
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { ensureDependencies, root } from './setup.mjs';

const [command, ...rest] = process.argv.slice(2);
const entry = [`${root}/src/cli/${command}.ts`, `${root}/bench/${command}.ts`].find(existsSync);
if (!command || !entry) {
  process.stderr.write(`run: no command named ${command ?? '(none)'} in src/cli or bench\n`);
  process.exit(2);
}
ensureDependencies();
const { build } = await import('vite');
await build({
  root,
  configFile: false,
  logLevel: 'warn',
  publicDir: false,
  resolve: {
    alias: [
      // Only the tokenizers of transformers.js are used: its web build, with the page's stand-in for onnxruntime.
      {
        find: '@huggingface/transformers',
        replacement: `${root}/node_modules/@huggingface/transformers/dist/transformers.web.js`,
      },
      { find: /^onnxruntime-(web|common)(\/.*)?$/, replacement: `${root}/src/data/no-onnxruntime.ts` },
    ],
  },
  ssr: { noExternal: true, external: ['webgpu', 'playwright-core'] },
  build: {
    ssr: entry,
    outDir: `${root}/build/cli`,
    emptyOutDir: false,
    target: 'node20',
    minify: false,
    rolldownOptions: {
      output: { entryFileNames: `${command}.mjs`, codeSplitting: false },
      checks: { bundlerTimings: false },
    },
  },
});
if (rest[0] !== '--bundle-only') {
  const child = spawn(process.execPath, ['--enable-source-maps', `${root}/build/cli/${command}.mjs`, ...rest], {
    stdio: 'inherit',
  });
  child.on('exit', (code, signal) => process.exit(signal ? 1 : (code ?? 1)));
}
