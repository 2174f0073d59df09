import { fileURLToPath } from 'node:url';
import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';
import { serviceWorker } from './src/offline/vite-plugin.ts';

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
  worker: { format: 'es' },
  build: {
    target: 'es2023',
    chunkSizeWarningLimit: 900,
    rollupOptions: { input: ['index.html', 'bench.html'] },
  },
});
