/** Two answers in unknown order: which one is better? And what the votes come to. */
import { useEffect, useRef } from 'react';
import type { ChatSide } from '../../worker/protocol';
import { plural } from '../lib/format';
import { stopAnswer } from '../store/chat';
import { useRun } from '../store/run';
import { castVote, endVote, type Round, reveal, skipRound, startVote, useVotes, useVotesOfRun } from '../store/votes';
import { useHindrance } from './Conversation';
import { TallyBar } from './TallyBar';
import { Button, Empty, Progress } from './ui';

function Answers() {
  const { round, working } = useVotes();
  if (working || !round) {
    return (
      <div className="card stack" role="status">
        {working ? (
          <>
            <Progress label="Writing two answers" value={null} />
            <div className="spread">
              <p className="fine">Writing two answers …</p>
              <Button icon="stop" onClick={() => void stopAnswer()}>
                Stop
              </Button>
            </div>
          </>
        ) : (
          <div className="spread wrap">
            <p>There are no more prompts to vote on. Hold more pairs out on the Data step for more.</p>
            <Button onClick={endVote}>End the vote</Button>
          </div>
        )}
      </div>
    );
  }
  return <Ballot key={round.prompt.rendered} round={round} />;
}

function Ballot({ round: { prompt, left, texts } }: { round: Round }) {
  const card = useRef<HTMLElement>(null);
  useEffect(() => {
    // The button of the vote before is gone, and the focus with it.
    if (document.activeElement === document.body) card.current?.focus();
  }, []);
  const right: ChatSide = left === 'base' ? 'tuned' : 'base';
  return (
    <>
      <section className="card ballot-prompt" aria-label="Prompt" ref={card} tabIndex={-1}>
        <p className="sample-prompt whole">{prompt.text.trim()}</p>
      </section>
      <div className="conversations two">
        {(
          [
            ['Left', left],
            ['Right', right],
          ] as const
        ).map(([title, side]) => (
          <section key={title} className="card ballot" aria-label={`${title} answer`}>
            <h2>{title}</h2>
            <p className="said-text">{texts[side].trim() || '(an empty answer)'}</p>
          </section>
        ))}
      </div>
      <div className="actions ballot-buttons">
        <Button look="primary" onClick={() => void castVote('left')}>
          Left is better
        </Button>
        <Button onClick={() => void castVote('tie')}>Tie</Button>
        <Button look="primary" onClick={() => void castVote('right')}>
          Right is better
        </Button>
        <Button look="quiet" onClick={() => void skipRound()}>
          Skip
        </Button>
        <Button look="quiet" onClick={endVote}>
          End the vote
        </Button>
      </div>
    </>
  );
}

function Result() {
  const votes = useVotesOfRun();
  const { revealed, same, open } = useVotes();
  const isKept = useRun((state) => state.id !== null);
  if (votes.length === 0) return null;
  const shown = revealed || !open;
  return (
    <section className="card stack" aria-labelledby="tally-title">
      <div className="spread wrap">
        <h2 id="tally-title">{plural(votes.length, 'blind vote')} on this run</h2>
        {open && (
          <Button icon="info" aria-expanded={shown} onClick={() => reveal(!revealed)}>
            {revealed ? 'Hide again' : 'Reveal'}
          </Button>
        )}
      </div>
      {shown ? (
        <>
          <TallyBar votes={votes} />
          <details className="worst">
            <summary>Every vote</summary>
            <ol className="vote-list">
              {votes.map((vote) => (
                <li key={vote.at}>
                  <span
                    className={`badge ${vote.choice === 'tuned' ? 'good' : vote.choice === 'base' ? 'warn' : 'plain'}`}
                  >
                    {vote.choice}
                  </span>
                  <span className="sample-prompt">{vote.prompt.trim()}</span>
                </li>
              ))}
            </ol>
          </details>
        </>
      ) : (
        <p className="muted">
          Which answer was whose stays hidden until you reveal it, so that it cannot sway the next vote.
        </p>
      )}
      {same > 0 && (
        <p className="fine">{plural(same, 'prompt')} left out: both models gave the same answer, word for word.</p>
      )}
      <p className="fine">
        {isKept
          ? 'Kept with the run; its card tells the tally.'
          : 'This run is not kept, so its votes go with the page.'}
      </p>
    </section>
  );
}

export function BlindVote() {
  const open = useVotes((state) => state.open);
  const votes = useVotesOfRun().length;
  const hindrance = useHindrance();
  return (
    <>
      {open ? (
        <Answers />
      ) : (
        <Empty
          title={votes > 0 ? 'Vote on more prompts' : 'Which answers are better?'}
          action={
            <Button look="primary" icon="play" disabled={hindrance !== null} onClick={() => void startVote()}>
              Start a blind vote
            </Button>
          }
        >
          {hindrance ??
            'The base and the tuned model answer prompts of held-out pairs. You see both answers in an order drawn by chance, and say which is better. Six votes that are not ties are the fewest that can show a difference.'}
        </Empty>
      )}
      <Result />
    </>
  );
}
