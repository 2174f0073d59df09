/** State of the benchmark page, and its thread. */
import { create } from 'zustand';
import type { Measurement } from '../bench/harness';
import type { TierChoice } from '../worker/protocol-device';
import type { BenchDevice, BenchReport, FromBench, ToBench } from './messages';
import { SECTION_NAMES, SECTIONS_ABOUT, type SectionName } from './sections';

export interface SectionResult {
  section: SectionName;
  state: 'running' | 'done' | 'failed' | 'stopped';
  lines: string[];
  measurements: Measurement[];
  problem: string | null;
}

interface BenchState {
  device: BenchDevice | null;
  /** Why nothing can be measured, or what the GPU refused. */
  problem: string | null;
  chosen: SectionName[];
  quick: boolean;
  tier: TierChoice;
  running: boolean;
  results: SectionResult[];
  report: BenchReport | null;
}

const usual = SECTION_NAMES.filter((name) => SECTIONS_ABOUT[name].usual);

export const useBench = create<BenchState>(() => ({
  device: null,
  problem: null,
  chosen: usual,
  quick: false,
  tier: 'auto',
  running: false,
  results: [],
  report: null,
}));

const { getState, setState } = useBench;

let worker: Worker | null = null;

function thread(): Worker {
  if (worker) return worker;
  worker = new Worker(new URL('./worker.ts', import.meta.url), { type: 'module' });
  worker.addEventListener('message', ({ data }: MessageEvent<FromBench>) => heard(data));
  worker.addEventListener('error', ({ message }) => {
    setState({ problem: `The benchmark stopped: ${message || 'its script could not be run'}.`, running: false });
  });
  return worker;
}

const tell = (message: ToBench) => thread().postMessage(message);

/** The section under way, changed. */
function latest(change: (result: SectionResult) => Partial<SectionResult>): void {
  setState(({ results }) => {
    const last = results.at(-1);
    return last ? { results: [...results.slice(0, -1), { ...last, ...change(last) }] } : {};
  });
}

const ended = () => latest(({ state }) => ({ state: state === 'running' ? 'done' : state }));

function heard(message: FromBench): void {
  switch (message.type) {
    case 'device':
      // A processor takes hours for what a GPU does in a second.
      if (message.device.isSoftware && !getState().device) setState({ quick: true });
      setState({ device: message.device });
      break;
    case 'began': {
      ended();
      const { section } = message;
      const fresh: SectionResult = { section, state: 'running', lines: [], measurements: [], problem: null };
      setState(({ results }) => ({ results: [...results, fresh] }));
      break;
    }
    case 'line':
      latest(({ lines }) => ({ lines: [...lines, message.line] }));
      break;
    case 'measured':
      latest(({ measurements }) => ({ measurements: [...measurements, ...message.list] }));
      break;
    case 'failed':
      if (message.section) latest(() => ({ state: 'failed', problem: message.message }));
      else setState({ problem: message.message, running: false });
      break;
    case 'report':
      setState({ report: message.report });
      break;
    case 'done':
      ended();
      setState({ running: false });
      break;
  }
}

export const openBench = (): void => tell({ type: 'open' });

/** Whether a section can be measured on this device. */
export const canRun = (name: SectionName, device: BenchDevice | null): boolean =>
  !(device?.isSoftware && SECTIONS_ABOUT[name].needsGpu);

export function startBench(): void {
  const { chosen, quick, tier, device } = getState();
  const sections = SECTION_NAMES.filter((name) => chosen.includes(name) && canRun(name, device));
  if (sections.length === 0) return;
  setState({ running: true, results: [], report: null, problem: null });
  tell({ type: 'start', sections, quick, tier });
}

/** Ends it at once; what was measured stays. */
export function stopBench(): void {
  worker?.terminate();
  worker = null;
  latest(({ state }) => ({ state: state === 'running' ? 'stopped' : state }));
  setState({ running: false });
}

export function choose(name: SectionName, on: boolean): void {
  setState(({ chosen }) => ({ chosen: on ? [...chosen, name] : chosen.filter((other) => other !== name) }));
}
