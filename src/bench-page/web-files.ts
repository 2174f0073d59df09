/** Folders of the site that a benchmark reads, as a command reads those of the project. */
import { type ModelFiles, memorySource } from '../formats/bytes';

/**
 * A folder that is `public/…` in the project. A model's files are those of its manifest; of others the names are not known.
 * Null for what a site does not have.
 * @param base address of the page, ending in "/"
 */
export async function siteFolder(base: string, path: string): Promise<ModelFiles | null> {
  if (!path.startsWith('public/')) return null;
  const folder = `${base}${path.slice('public/'.length)}/`;
  let names: string[] = [];
  if (path.startsWith('public/models/')) {
    const response = await fetch(`${folder}manifest.json`);
    if (!response.ok) return null;
    const manifest = (await response.json()) as { files: { name: string }[] };
    names = manifest.files.map(({ name }) => name);
  }
  return {
    names,
    async open(name) {
      const response = await fetch(folder + name);
      if (!response.ok) throw new Error(`${path}/${name} is not on this site (HTTP ${response.status}).`);
      return memorySource(new Uint8Array(await response.arrayBuffer()));
    },
  };
}
