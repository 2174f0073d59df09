/** A run as a small JSON file that makes it again: settings, model and data by name and fingerprint, and what came of it. */
import { type Tally, tallyOf } from '../eval/votes';
import { parseHParams } from '../train/parse-hparams';
import { parseSamples } from '../train/sample-settings';
import { RunError } from './errors';
import type { RunRecord, RunSettings } from './record';

export const CARD_FORMAT = 'orpo-studio-run-card';
const VERSION = 1;

type FromRecord = 'name' | 'notes' | 'model' | 'data' | 'device';

export interface RunCard<S extends RunSettings = RunSettings, L = unknown>
  extends Pick<RunRecord<S, L>, FromRecord | 'settings'> {
  /** ISO 8601. */
  created: string;
  result: Pick<RunRecord, 'state' | 'step' | 'totalSteps' | 'seconds' | 'last' | 'lastEval'> & {
    /** Blind votes; absent where there were none. */
    votes?: Tally;
  };
}

export function writeRunCard(record: RunRecord): string {
  const { name, notes, model, data, device, settings } = record;
  const { state, step, totalSteps, seconds, last, lastEval } = record;
  const created = new Date(record.createdAt).toISOString();
  const votes = record.votes?.length ? tallyOf(record.votes) : undefined;
  const result = { state, step, totalSteps, seconds, last, lastEval, votes };
  const card: RunCard = { name, created, notes, model, data, device, settings, result };
  return `${JSON.stringify({ format: CARD_FORMAT, version: VERSION, ...card }, null, 2)}\n`;
}

/**
 * Reads a card. Its hyper-parameters are checked one by one.
 * @throws RunError `bad-run-card`, TrainingError `bad-settings`
 */
export function parseRunCard<S extends RunSettings, L>(text: string): RunCard<S, L> {
  const bad = (why: string) =>
    new RunError('bad-run-card', `This run card cannot be used: ${why}. Save it again from the list of runs.`);
  let json: Record<string, unknown>;
  try {
    json = JSON.parse(text) as Record<string, unknown>;
  } catch {
    throw bad('it is not JSON');
  }
  if (json?.format !== CARD_FORMAT) throw bad('it is another kind of file');
  if (json.version !== VERSION) throw bad(`it is of another version of this studio (${json.version})`);
  for (const key of ['model', 'data', 'settings', 'result']) {
    if (typeof json[key] !== 'object' || json[key] === null) throw bad(`it has no ${key}`);
  }
  const card = json as unknown as RunCard<S, L>;
  if (typeof card.model.id !== 'string' || typeof card.data.fingerprint !== 'string')
    throw bad('it names no model or data');
  const { hparams } = parseHParams(card.settings.hparams);
  const samples = card.settings.samples && parseSamples(card.settings.samples);
  return { ...card, settings: { ...card.settings, hparams, ...(samples && { samples }) } };
}
