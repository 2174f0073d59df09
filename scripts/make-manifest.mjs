/**
 * Writes manifest.json into every folder of public/models, and public/models/index.json with all of them:
 *   node scripts/make-manifest.mjs
 * A model's `offer.json` (id, title, about, format, parameters, fineOnCpu: see ModelOffer) gives what the files do not say.
 */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const models = fileURLToPath(new URL('../public/models', import.meta.url));
const write = (path, value) => writeFileSync(path, `${JSON.stringify(value, null, 2)}\n`);

const offers = [];
for (const id of readdirSync(models).sort()) {
  const folder = join(models, id);
  const about = join(folder, 'offer.json');
  if (!existsSync(about)) continue;
  const offer = JSON.parse(readFileSync(about, 'utf8'));
  if (offer.id !== id) throw new Error(`${about}: its id is ${offer.id}, its folder ${id}`);
  const files = readdirSync(folder)
    .filter((name) => name !== 'offer.json' && name !== 'manifest.json')
    .sort()
    .map((name) => {
      const bytes = readFileSync(join(folder, name));
      return { name, size: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') };
    });
  write(join(folder, 'manifest.json'), { ...offer, files });
  offers.push({ ...offer, downloadBytes: files.reduce((sum, file) => sum + file.size, 0) });
}
offers.sort((a, b) => b.parameters - a.parameters);
write(join(models, 'index.json'), { models: offers });
