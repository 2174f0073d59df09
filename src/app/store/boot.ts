/** Brings the page to life: events into stores, the GPU, the offers, and something to train with. */
import type { ModelOffer } from '../../worker/protocol';
import { recall } from '../lib/memory';
import { clearSpool } from '../lib/save';
import { finishSignIn, type SignedIn } from '../lib/sign-in';
import { setToken } from './account';
import { announce, notice, reportError } from './alerts';
import { watchRunEnd } from './awake';
import { answerGrew, watchChat } from './chat';
import { chooseTab, lookAtRepository } from './chooser';
import { engine } from './client';
import { loadBuiltin, useData, watchSplit } from './data';
import { deviceChanged, deviceLost, openDevice, useDevice } from './device';
import { evaluationProgressed, forgetEvaluation, taskEvaluated } from './evaluation';
import { exportProgressed, forgetExports } from './exports';
import { useInspect, watchData } from './inspect';
import { forgetKernels, kernelsTimed } from './kernels';
import { pushMargins } from './margins';
import { pushEval, pushSample, pushStep } from './metrics';
import { loadModel, modelUnloaded, refreshOffers, useModels } from './models';
import { watchOffline } from './offline';
import { watchPlan } from './plan';
import { watchProbe } from './probe';
import { announceEval, isBusy, runProgressed, runRestored, useRun } from './run';
import { compareWithCard } from './run-shelf';
import { checkpointFailed, refreshRuns, runNotKept, tellDamaged, watchRuns } from './runs';
import { watchUi } from './ui';
import { watchVotes } from './votes';
import { wandbTold } from './wandb';

/** A model is loaded unasked only when that costs next to nothing. */
const UNASKED_DOWNLOAD_BYTES = 16e6;
const UNASKED_STORED_BYTES = 300e6;

function listen(): void {
  engine.on((event) => {
    switch (event.event) {
      case 'modelProgress':
        useModels.setState({ progress: event.progress });
        break;
      case 'dataProgress':
        useData.setState(({ reading }) =>
          reading ? { reading: { ...reading, bytes: event.bytes, totalBytes: event.totalBytes } } : {},
        );
        break;
      case 'dataPreview':
        useData.setState(({ reading }) => (reading ? { preview: event.preview } : {}));
        break;
      case 'dataFields':
        useData.setState({ unread: { role: event.role, name: event.name, fields: event.fields } });
        break;
      case 'tokenProgress':
        useInspect.setState({ progress: event.done < event.total ? event : null });
        break;
      case 'step':
        pushStep(event.record);
        break;
      case 'eval':
        pushEval(event.record);
        announceEval(event.record);
        break;
      case 'progress':
        runProgressed(event.progress);
        break;
      case 'runKept':
        useRun.setState({ id: event.runId });
        compareWithCard(event.fingerprint);
        break;
      case 'runNotKept':
        runNotKept(event.error);
        compareWithCard(event.record.data.fingerprint);
        break;
      case 'sample':
        pushSample(event.record);
        break;
      case 'samplesFailed':
        notice('samples-failed', `The run goes on without answers to its prompts. ${event.error.message}`);
        break;
      case 'answering':
        answerGrew(event);
        break;
      case 'restored':
        runRestored(event.run, event.curves);
        tellDamaged(event.damaged, event.curves.steps.length);
        break;
      case 'margins':
        pushMargins(event.step, event.rows, event.margins);
        break;
      case 'kernels':
        kernelsTimed(event);
        break;
      case 'checkpoint':
        useRun.setState({ savedStep: event.step });
        break;
      case 'checkpointFailed':
        checkpointFailed(event.step, event.error);
        break;
      case 'evaluating':
        evaluationProgressed(event.progress);
        break;
      case 'evaluated':
        taskEvaluated(event.report);
        break;
      case 'exportProgress':
        exportProgressed(event.progress);
        break;
      case 'modelUnloaded':
        modelUnloaded();
        break;
      case 'wandb':
        wandbTold(event.status);
        break;
      case 'device':
        deviceChanged(event.info);
        break;
      case 'deviceLost':
        deviceLost(event.error);
        // Its weights went with the device.
        useModels.setState({ model: null });
        reportError(Object.assign(new Error(event.error.message), { code: event.error.code }));
        announce('The GPU went away.');
        break;
    }
  });
  engine.onCrash((error) => reportError(error));
}

/** Other hosts are never asked unasked: what comes from them must be stored whole. */
function costsNothing({ source, storedBytes, downloadBytes }: ModelOffer): boolean {
  if (storedBytes >= downloadBytes) return downloadBytes <= UNASKED_STORED_BYTES;
  return source.kind === 'builtin' && downloadBytes <= UNASKED_DOWNLOAD_BYTES;
}

/** On a GPU the largest that comes at once; on the processor one that trains in minutes there. */
function worthLoading(offers: ModelOffer[], software: boolean): ModelOffer | undefined {
  const wanted = recall<string | null>('model', null);
  if (wanted !== null) return offers.find((offer) => offer.id === wanted && costsNothing(offer));
  const builtIn = offers.filter(({ source }) => source.kind === 'builtin');
  const small = builtIn.filter(({ downloadBytes }) => downloadBytes <= UNASKED_DOWNLOAD_BYTES);
  return software ? small.find((offer) => offer.fineOnCpu) : small.at(-1);
}

async function prepare(): Promise<void> {
  const opening = openDevice();
  await refreshOffers();
  void refreshRuns();
  const opened = await opening;
  const { dataOffers, offers } = useModels.getState();
  const offer = worthLoading(offers, useDevice.getState().info?.isSoftware !== false);
  // null: the visitor last used a file of their own, which only they can open again.
  const wantedData = recall<string | null | undefined>('data', undefined);
  const made = dataOffers.find(({ model }) => model === offer?.id) ?? dataOffers[0];
  const set = wantedData === undefined ? made : dataOffers.find(({ id }) => id === wantedData);
  if (set && !useData.getState().train) await loadBuiltin('train', set.id, set.title);
  if (opened && offer && !useModels.getState().loadingId && !useModels.getState().model) {
    const quantize = recall('quantize', null) === 'nf4' && offer.quantizable ? ('nf4' as const) : undefined;
    await loadModel({ id: offer.id, source: offer.source, quantize });
  }
}

/** Back from signing in: the token is taken, and the model that it was wanted for is looked at again. */
async function welcome({ token, name, state }: SignedIn): Promise<void> {
  setToken(token, name);
  chooseTab('hub');
  announce(`Signed in as ${name}.`);
  if (state) await lookAtRepository(state);
}

/** Called once, before the first render. */
export function boot(): void {
  listen();
  watchUi();
  watchPlan();
  watchSplit();
  watchData();
  watchRuns();
  watchRunEnd();
  watchProbe();
  watchChat();
  watchVotes();
  watchOffline();
  useModels.subscribe((now, before) => {
    if (now.model !== before.model) forgetEvaluation();
  });
  useRun.subscribe((now, before) => {
    if (now.startedAt === before.startedAt) return;
    forgetExports();
    forgetKernels();
    forgetEvaluation();
  });
  addEventListener('beforeunload', (event) => {
    if (isBusy()) event.preventDefault();
  });
  void clearSpool();
  finishSignIn()
    .then((signedIn) => signedIn && welcome(signedIn))
    .catch(reportError);
  prepare().catch(reportError);
}
