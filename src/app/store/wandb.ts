/** Live logging to Weights & Biases: where to, with which key, and how it goes. The key is in memory only. */
import { create } from 'zustand';
import type { WandbSettings, WandbStatus } from '../../worker/protocol';
import { recall, remember } from '../lib/memory';
import { announce, dismissCode, notice, reportError } from './alerts';
import { engine } from './client';

interface WandbState extends WandbSettings {
  /** Off until the visitor switches it on, at every visit: there is no key before. */
  wanted: boolean;
  status: WandbStatus | null;
}

export const WANDB_HOST = 'https://api.wandb.ai';

const kept = recall('wandb', { host: WANDB_HOST, entity: '', project: 'orpo-studio' });

export const useWandb = create<WandbState>(() => ({ ...kept, key: '', wanted: false, status: null }));

/** A key may not travel in the clear, except to this very machine. */
export function hostProblem(host: string): string | null {
  if (!URL.canParse(host)) return 'Type the whole address, as in https://api.wandb.ai.';
  const url = new URL(host);
  const isHere = url.hostname === 'localhost' || url.hostname === '127.0.0.1';
  return url.protocol === 'https:' || (url.protocol === 'http:' && isHere)
    ? null
    : 'The address must begin with https://, so that nobody can read the key on its way.';
}

const isReady = ({ wanted, host, key, project }: WandbState): boolean =>
  wanted && key !== '' && project !== '' && hostProblem(host) === null;

export function setWandb(change: Partial<Omit<WandbState, 'status'>>): void {
  useWandb.setState(change);
  const state = useWandb.getState();
  const { host, entity, project, key } = state;
  remember('wandb', { host, entity, project });
  const settings = isReady(state)
    ? { host: new URL(host).origin + new URL(host).pathname.replace(/\/+$/u, ''), key, entity, project }
    : null;
  engine.request('setWandb', { settings }).catch(reportError);
}

/** Takes what the engine says of the log. */
export function wandbTold(status: WandbStatus): void {
  const before = useWandb.getState().status;
  useWandb.setState({ status });
  if (status.state === before?.state) return;
  if (status.state === 'finished') announce('The run is logged at Weights & Biases.');
  if (status.state === 'connecting') dismissCode('wandb-failed');
  if (status.state === 'failed')
    notice('wandb-failed', `Live logging has ended: ${status.message} The run goes on here.`);
}
