import { lazy, Suspense, useEffect } from 'react';
import { Alerts, LiveRegion } from './components/Alerts';
import { ConfirmDialog } from './components/ConfirmDialog';
import { DropTarget } from './components/DropTarget';
import { Rail } from './components/Rail';
import { TopBar } from './components/TopBar';
import { ViewHead } from './components/ViewHead';
import { formatPercent } from './lib/format';
import { busyState, useRun } from './store/run';
import { type Step, useUi } from './store/ui';
import { DataStep } from './views/DataStep';
import { EvaluateStep } from './views/EvaluateStep';
import { ExportStep } from './views/ExportStep';
import { ModelStep } from './views/ModelStep';
import { RunsView } from './views/RunsView';
import { SettingsStep } from './views/SettingsStep';
import { StorageView } from './views/StorageView';

// The charts' library is most of the page's script: it comes when it is wanted.
const loadTrainStep = () => import('./views/TrainStep');
const TrainStep = lazy(loadTrainStep);
const loadChatView = () => import('./views/ChatView');
const ChatView = lazy(loadChatView);

const TITLES: Record<Step, string> = {
  model: 'Model',
  data: 'Data',
  settings: 'Settings',
  train: 'Train',
  chat: 'Chat',
  evaluate: 'Evaluate',
  export: 'Export',
  runs: 'Runs',
  storage: 'Storage',
};

function useTitle(step: Step): void {
  const progress = useRun((state) => state.progress);
  const running =
    progress && busyState(progress) && progress.totalSteps > 0
      ? `${formatPercent(progress.step / progress.totalSteps)} · `
      : '';
  const title = `${running}${TITLES[step]} · ORPO Studio`;
  useEffect(() => {
    document.title = title;
  }, [title]);
}

function Opening({ title, note }: { title: string; note?: string }) {
  return (
    <div className="view">
      <div className="view-main">
        <ViewHead title={title} note={note} />
      </div>
    </div>
  );
}

function View({ step }: { step: Step }) {
  switch (step) {
    case 'model':
      return <ModelStep />;
    case 'data':
      return <DataStep />;
    case 'settings':
      return <SettingsStep />;
    case 'train':
      return (
        <Suspense fallback={<Opening title="Training" note="Loading the charts …" />}>
          <TrainStep />
        </Suspense>
      );
    case 'chat':
      return (
        <Suspense fallback={<Opening title="Chat" />}>
          <ChatView />
        </Suspense>
      );
    case 'evaluate':
      return <EvaluateStep />;
    case 'export':
      return <ExportStep />;
    case 'runs':
      return <RunsView />;
    case 'storage':
      return <StorageView />;
  }
}

export function App() {
  const step = useUi((state) => state.step);
  useTitle(step);
  useEffect(() => {
    // Fetched ahead once the page stands, so that these views open at once and work offline. A failure shows when one
    // is opened.
    const timer = setTimeout(() => Promise.all([loadTrainStep(), loadChatView()]).catch(() => {}), 1500);
    return () => clearTimeout(timer);
  }, []);
  return (
    <>
      <TopBar />
      <div className="frame">
        <Rail />
        <main>
          <Alerts />
          <View key={step} step={step} />
        </main>
      </div>
      <LiveRegion />
      <ConfirmDialog />
      <DropTarget />
    </>
  );
}
