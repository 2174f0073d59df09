/** What dropped files are, by their names and first bytes. */

/** `run`: a run card or a checkpoint. `adapter`: the two files of a PEFT adapter. */
export type DropKind = 'data' | 'run' | 'adapter';

const ADAPTER = ['adapter_model.safetensors', 'adapter_config.json'];
/** As runs/run-card writes it. */
const CARD = /^\s*\{\s*"format":\s*"orpo-studio-run-card"/u;

export async function kindOfDrop(files: readonly File[]): Promise<DropKind> {
  const names = files.map(({ name }) => name);
  if (names.some((name) => ADAPTER.includes(name))) return 'adapter';
  if (files.length !== 1) return 'data';
  const [file] = files;
  if (file.name.endsWith('.safetensors')) return 'run';
  const start = file.name.endsWith('.json') ? await file.slice(0, 200).text() : '';
  return CARD.test(start) ? 'run' : 'data';
}
