/** npm start: installs dependencies when needed, builds the studio and serves it on this machine. */
import { ensureDependencies, root } from './setup.mjs';

ensureDependencies();
const { build, preview } = await import('vite');
await build({ root, logLevel: 'error' });
const server = await preview({ root, preview: { port: Number(process.env.PORT ?? 4173), open: !process.env.CI } });
server.printUrls();
