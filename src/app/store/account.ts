/** The visitor's access to the Hugging Face Hub. Kept in memory; in this browser only when asked to. */
import { create } from 'zustand';
import { forget, recall, remember } from '../lib/memory';
import { announce } from './alerts';

interface AccountState {
  /** Empty when there is none. */
  token: string;
  /** Who signed in; null for a pasted token. */
  name: string | null;
  /** The token is kept in this browser. */
  kept: boolean;
}

const KEY = 'hub-token';
const stored = recall<string>(KEY, '');

export const useAccount = create<AccountState>(() => ({ token: stored, name: null, kept: stored !== '' }));

/** Takes a token for this visit, and for later ones when they were asked for. */
export function setToken(token: string, name: string | null = null): void {
  const { kept } = useAccount.getState();
  useAccount.setState({ token: token.trim(), name });
  if (kept) remember(KEY, token.trim());
}

export function keepToken(kept: boolean): void {
  useAccount.setState({ kept });
  if (kept) remember(KEY, useAccount.getState().token);
  else forget(KEY);
}

export function forgetToken(): void {
  forget(KEY);
  useAccount.setState({ token: '', name: null, kept: false });
  announce('The access token was forgotten.');
}
