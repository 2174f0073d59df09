/** The text of the run's own pairs, which the engine has even where the page did not load the data. */
import type { Requests } from '../../worker/protocol';
import { reportError } from './alerts';
import { engine } from './client';

export type RunPairText = Requests['runPair']['result'];

export async function fetchRunPair(row: number): Promise<RunPairText | null> {
  try {
    return await engine.request('runPair', { row });
  } catch (cause) {
    reportError(cause);
    return null;
  }
}
