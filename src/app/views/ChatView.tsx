/** Talking to the model before and after: alone, side by side, and blind. */
import { BlindVote } from '../components/BlindVote';
import { ChatSettings } from '../components/ChatSettings';
import { Conversation } from '../components/Conversation';
import { Segments } from '../components/Segments';
import { Button, Empty } from '../components/ui';
import { ViewHead } from '../components/ViewHead';
import { type ChatMode, setChat, useChat, useMode, useTunedStep } from '../store/chat';
import { useModels } from '../store/models';
import { goTo } from '../store/ui';
import { useVotes } from '../store/votes';

const MODES: readonly [ChatMode, string][] = [
  ['both', 'Side by side'],
  ['tuned', 'Tuned'],
  ['base', 'Base'],
  ['vote', 'Blind vote'],
];

export default function ChatView() {
  const mode = useMode();
  const tuned = useTunedStep() !== null;
  const model = useModels((state) => state.model);
  const busy = useChat((state) => state.writing !== null);
  const voting = useVotes((state) => state.working);
  return (
    <div className="view with-aside">
      <div className="view-main">
        <ViewHead
          title="Chat"
          note={tuned ? 'One question, one seed, both models.' : 'After training, the tuned model answers beside it.'}
        >
          <Segments
            legend="Who is asked"
            options={MODES}
            value={mode}
            disabled={busy || voting}
            closed={(value) =>
              !tuned && value !== 'base' ? 'After training, or with a run opened from the list' : undefined
            }
            onChange={(value) => setChat({ mode: value })}
          />
        </ViewHead>
        {!model ? (
          <Empty
            title="Nobody to talk to yet"
            action={
              <Button look="primary" icon="arrow" onClick={() => goTo('model')}>
                Choose a model
              </Button>
            }
          >
            Load a model and ask it something before you train it: then you know what training changed.
          </Empty>
        ) : mode === 'vote' ? (
          <BlindVote />
        ) : (
          <Conversation mode={mode} />
        )}
      </div>
      <aside className="side" aria-label="How answers are drawn">
        <ChatSettings />
      </aside>
    </div>
  );
}
