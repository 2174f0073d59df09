import { useEffect, useState } from 'react';
import type { PairDetail, Role } from '../../worker/protocol';
import { formatCount } from '../lib/format';
import { useModels } from '../store/models';
import { fetchPair } from '../store/pairs';
import { useSettings } from '../store/settings';
import { Segments } from './Segments';
import { TokenView } from './TokenView';

type Shown = 'tokens' | 'text' | 'source';
const VIEWS: [Shown, string][] = [
  ['tokens', 'Tokens'],
  ['text', 'Text'],
  ['source', 'As in the file'],
];

/** Longer texts are shown from their beginning. */
const MOST = 20_000;

function Text({ title, of, text, tone }: { title: string; of: number; text: string; tone?: 'chosen' | 'rejected' }) {
  return (
    <div className={`pair-text ${tone ?? ''}`}>
      <h4>{title}</h4>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a scrollable region must be reachable by keyboard */}
      <section className="scroll" tabIndex={0} aria-label={`${title} of pair ${of}`} dir="auto">
        {text === '' ? <span className="muted">(empty)</span> : text.slice(0, MOST)}
        {text.length > MOST && <span className="muted"> … {formatCount(text.length - MOST)} more characters</span>}
      </section>
    </div>
  );
}

function Texts({ of, texts }: { of: number; texts: Pick<PairDetail, 'prompt' | 'chosen' | 'rejected'> }) {
  return (
    <div className="pair-texts">
      <Text title="Prompt" of={of} text={texts.prompt} />
      <Text title="Chosen" of={of} text={texts.chosen} tone="chosen" />
      <Text title="Rejected" of={of} text={texts.rejected} tone="rejected" />
    </div>
  );
}

function Tokens({ detail }: { detail: PairDetail }) {
  const model = useModels((state) => state.model);
  const nllOnPrompt = useSettings((state) => state.hparams.nll_on_prompt);
  if (detail.tokens) return <TokenView view={detail.tokens} nllOnPrompt={nllOnPrompt} />;
  return (
    <p className="muted">{model ? 'There are no tokens of this pair.' : 'Tokens appear once a model is loaded.'}</p>
  );
}

/** One pair: what is in the file, the text it becomes, and its tokens. */
export function PairPanel({ role, index, version }: { role: Role; index: number; version: number }) {
  const { hparams, prompt } = useSettings();
  const model = useModels((state) => state.model);
  const [shown, setShown] = useState<Shown>('tokens');
  const [detail, setDetail] = useState<PairDetail | null>(null);
  // biome-ignore lint/correctness/useExhaustiveDependencies: all of these change what the engine answers
  useEffect(() => {
    let current = true;
    void fetchPair(role, index).then((answer) => current && answer && setDetail(answer));
    return () => {
      current = false;
    };
  }, [role, index, version, hparams, prompt, model]);
  if (!detail) return <div className="card" />;
  const number = detail.index + 1;
  const view = shown === 'tokens' && !model ? 'text' : shown;
  return (
    <article className="card pair-panel" aria-label={`Pair ${number}`}>
      <div className="spread wrap">
        <h3 className="pair-number">
          Pair {formatCount(number)} <span className="muted">· line {formatCount(detail.line)} of its file</span>
        </h3>
        <Segments
          legend="How to show the pair"
          options={VIEWS}
          value={view}
          closed={(id) => (id === 'tokens' && !model ? 'With a model loaded' : undefined)}
          onChange={setShown}
        />
      </div>
      {detail.problem && <p className="warn-text">Left out: {detail.problem}</p>}
      {view === 'tokens' && <Tokens detail={detail} />}
      {view === 'text' && (detail.rendered ? <Texts of={number} texts={detail.rendered} /> : null)}
      {view === 'source' && <Texts of={number} texts={detail} />}
    </article>
  );
}
