import { fileURLToPath } from 'node:url';
import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';
import { serviceWorker } from './src/offline/vite-plugin.ts';

/** Which plugin took how long is no warning. */
const checks = { bundlerTimings: false };

export default defineConfig({
  base: './',
  plugins: [react(), serviceWorker()],
  resolve: {
    alias: [
      {
        find: /^onnxruntime-(web|common)(\/.*)?$/,
        replacement: fileURLToPath(new URL('./src/data/no-onnxruntime.ts', import.meta.url)),
      },
    ],
  },
  worker: { format: 'es', rolldownOptions: { checks } },
  build: {
    target: 'es2023',
    chunkSizeWarningLimit: 900,
    rolldownOptions: { input: ['index.html', 'bench.html'], checks },
  },
});
