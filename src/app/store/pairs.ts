/** Which pairs are listed, and which one is looked at. */
import { create } from 'zustand';
import type { PairDetail, PairFilter, PairsPage, Role } from '../../worker/protocol';
import { EngineError } from '../engine';
import { reportError } from './alerts';
import { engine } from './client';
import { dataSettings } from './settings';

interface PairsState {
  role: Role;
  query: string;
  filter: PairFilter | null;
  /** Place in the list, from 0. */
  selected: number;
  /** Grows when the list should be brought into view. */
  shown: number;
}

export const usePairs = create<PairsState>(() => ({ role: 'train', query: '', filter: null, selected: 0, shown: 0 }));

export const showRole = (role: Role): void => usePairs.setState({ role, selected: 0 });
export const search = (query: string): void => usePairs.setState({ query, selected: 0 });
export const narrow = (filter: PairFilter | null): void => usePairs.setState({ filter, selected: 0 });
export const select = (selected: number): void => usePairs.setState({ selected });

/** Lists the pairs that something was found about, and opens the first. */
export const showFinding = (filter: PairFilter, role: Role): void =>
  usePairs.setState(({ shown }) => ({ filter, role, query: '', selected: 0, shown: shown + 1 }));

/** Null when a newer wish has overtaken this one, or on an error, which is shown. */
export async function fetchPairs(
  role: Role,
  offset: number,
  limit: number,
  query: string,
  filter: PairFilter | null,
): Promise<PairsPage | null> {
  try {
    return await engine.request('pairs', { role, offset, limit, query, filter: filter ?? undefined });
  } catch (cause) {
    if (!(cause instanceof EngineError && cause.code === 'cancelled')) reportError(cause);
    return null;
  }
}

export async function fetchPair(role: Role, index: number): Promise<PairDetail | null> {
  try {
    return await engine.request('pair', { role, index, settings: dataSettings() });
  } catch (cause) {
    // Settings that are not valid now are told where they are made.
    if (!(cause instanceof EngineError)) reportError(cause);
    return null;
  }
}
