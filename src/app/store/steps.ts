/** Where each step of the job stands. */
import { formatCount, formatPercent, formatSetting, plural } from '../lib/format';
import { presetById } from '../settings/presets';
import { formatOffer } from '../settings/prompt';
import { changedKeys, checkHParams } from '../settings/validate';
import { useChat, useTunedStep } from './chat';
import { useData } from './data';
import { useDevice } from './device';
import { useEvaluation } from './evaluation';
import { useInspect } from './inspect';
import { useModels } from './models';
import { usePlan } from './plan';
import { busyState, hasAdapter, useRun } from './run';
import { useSettings } from './settings';
import type { Step } from './ui';
import { useVotes, useVotesOfRun } from './votes';

export interface StepStatus {
  id: Step;
  title: string;
  /** One short line under the title. */
  detail: string;
  state: 'done' | 'open' | 'working' | 'locked';
}

function useModelStatus(): StepStatus {
  const { model, loadingId, progress } = useModels();
  const device = useDevice((state) => state.state);
  const base = { id: 'model', title: 'Model' } as const;
  if (loadingId) {
    const share = progress && progress.totalBytes > 0 ? formatPercent(progress.bytes / progress.totalBytes) : '';
    return { ...base, detail: `loading ${share}`.trim(), state: 'working' };
  }
  if (model) return { ...base, detail: `${model.title} · ${model.format}`, state: 'done' };
  return { ...base, detail: device === 'missing' ? 'no GPU found' : 'choose one', state: 'open' };
}

function useDataStatus(): StepStatus {
  const { train, trainPairs, evalPairs, reading } = useData();
  const chosen = useSettings((state) => state.prompt.format);
  const found = useInspect((state) => state.check?.format);
  const format = formatOffer(chosen === 'auto' ? (found ?? chosen) : chosen).short;
  const base = { id: 'data', title: 'Data' } as const;
  if (reading) return { ...base, detail: `reading ${reading.name}`, state: 'working' };
  if (!train) return { ...base, detail: 'preference pairs', state: 'open' };
  const held = evalPairs > 0 ? ` · ${formatCount(evalPairs)} held out` : '';
  return { ...base, detail: `${formatCount(trainPairs)} train${held} · ${format}`, state: 'done' };
}

function useSettingsStatus(): StepStatus {
  const { hparams, presetId, invalid } = useSettings();
  const base = { id: 'settings', title: 'Settings' } as const;
  const problems = new Set([...Object.keys(invalid), ...Object.keys(checkHParams(hparams))]).size;
  if (problems) return { ...base, detail: `${problems} to mend`, state: 'open' };
  const preset = presetById(presetId);
  const changed = changedKeys(hparams, preset.hparams).length;
  const name = `${preset.title}${changed ? ', changed' : ''}`;
  return { ...base, detail: `${name} · lr ${formatSetting(hparams.learning_rate)}`, state: 'done' };
}

function useTrainStatus(): StepStatus {
  const { progress } = useRun();
  const plan = usePlan((state) => state.plan);
  const model = useModels((state) => state.model);
  const train = useData((state) => state.train);
  const base = { id: 'train', title: 'Train' } as const;
  if (progress && busyState(progress)) {
    const detail = progress.state === 'preparing' ? 'preparing' : `step ${progress.step} of ${progress.totalSteps}`;
    return { ...base, detail, state: 'working' };
  }
  if (progress?.state === 'failed') return { ...base, detail: `failed at step ${progress.step}`, state: 'open' };
  if (progress?.state === 'stopped') return { ...base, detail: `stopped at step ${progress.step}`, state: 'done' };
  if (progress?.state === 'finished') return { ...base, detail: `finished, ${progress.step} steps`, state: 'done' };
  if (!model || !train) {
    const missing = model ? 'data' : train ? 'a model' : 'model and data';
    return { ...base, detail: `needs ${missing}`, state: 'locked' };
  }
  if (plan?.blockers.length) return { ...base, detail: 'cannot start yet', state: 'open' };
  return { ...base, detail: plan ? `${formatCount(plan.totalSteps)} steps planned` : 'ready', state: 'open' };
}

function useChatStatus(): StepStatus {
  const talking = useChat((state) => state.writing !== null);
  const voting = useVotes((state) => state.working);
  const votes = useVotesOfRun().length;
  const model = useModels((state) => state.model);
  const tuned = useTunedStep();
  const base = { id: 'chat', title: 'Chat' } as const;
  if (talking || voting) return { ...base, detail: 'writing an answer', state: 'working' };
  if (!model) return { ...base, detail: 'needs a model', state: 'locked' };
  if (votes > 0) return { ...base, detail: plural(votes, 'blind vote'), state: 'done' };
  return { ...base, detail: tuned === null ? 'with the base model' : 'base and tuned', state: 'open' };
}

function useEvaluateStatus(): StepStatus {
  const { progress, reports } = useEvaluation();
  const model = useModels((state) => state.model);
  const base = { id: 'evaluate', title: 'Evaluate' } as const;
  if (progress) return { ...base, detail: `task ${progress.number} of ${progress.count}`, state: 'working' };
  if (reports.length) return { ...base, detail: plural(reports.length, 'task'), state: 'done' };
  if (!model) return { ...base, detail: 'needs a model', state: 'locked' };
  return { ...base, detail: 'base beside tuned', state: 'open' };
}

function useExportStatus(): StepStatus {
  const run = useRun();
  const base = { id: 'export', title: 'Export' } as const;
  if (run.exported) return { ...base, detail: 'written', state: 'done' };
  if (hasAdapter(run)) return { ...base, detail: 'merged, GGUF, adapter', state: 'open' };
  return { ...base, detail: 'after training', state: 'locked' };
}

/** All seven steps, live. A hook. */
export function useSteps(): StepStatus[] {
  const model = useModelStatus();
  const data = useDataStatus();
  const settings = useSettingsStatus();
  const train = useTrainStatus();
  const chat = useChatStatus();
  const evaluate = useEvaluateStatus();
  return [model, data, settings, train, chat, evaluate, useExportStatus()];
}
