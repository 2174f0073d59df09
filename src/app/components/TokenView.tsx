/** The two sequences of a pair, token by token, by what the run does with each. */
import { type KeyboardEvent, memo, useId, useState } from 'react';
import type { RowView, SideView, TokenRole, ViewToken } from '../../worker/protocol';
import { formatCount, plural } from '../lib/format';
import { Button } from './ui';

const ROLES: { role: TokenRole; title: string; about: string }[] = [
  { role: 'odds', title: 'answer', about: 'in the odds ratio; of chosen also in the NLL' },
  { role: 'nll', title: 'prompt in the NLL', about: 'trained by the NLL alone' },
  { role: 'shared', title: 'shared', about: 'both sequences begin with it; computed once, not trained here' },
  { role: 'prompt', title: 'prompt', about: 'read, not trained' },
  { role: 'special', title: 'special', about: 'a control token' },
  { role: 'cut', title: 'cut off', about: 'never reaches the model' },
];

/** Tokens drawn at once; more on demand, so that a long row does not hold the page up. */
const STRETCH = 500;
/** Tokens of one part of the drawing. */
const CHUNK = 100;

function trained(token: ViewToken): string {
  if (token.role === 'cut') return 'cut off';
  if (token.nll && token.odds) return 'trained in the NLL and the odds ratio';
  if (token.odds) return 'trained in the odds ratio';
  if (token.nll) return 'trained in the NLL';
  return 'not trained';
}

function describe(tokens: readonly ViewToken[], place: number): string {
  const token = tokens[place];
  let pieces = 1;
  while (tokens[place + pieces]?.text === '') pieces += 1;
  const whole = pieces > 1 ? `${JSON.stringify(token.text)} with the ${plural(pieces - 1, 'token')} after it` : '';
  const text = token.text === '' ? 'part of the character before it' : whole || JSON.stringify(token.text);
  const notes = [token.special ? 'special' : '', token.shared ? 'shared by both' : ''].filter(Boolean);
  return `Token ${place + 1}: id ${token.id}, ${text}; ${[trained(token), ...notes].join(', ')}.`;
}

/** The writing direction of the text itself: a special token in front says nothing about it. */
function directionOf(tokens: readonly ViewToken[]): 'ltr' | 'rtl' {
  for (const { text, special } of tokens) {
    const letter = special ? undefined : /\p{L}/u.exec(text)?.[0];
    if (letter)
      return /[\p{Script=Arabic}\p{Script=Hebrew}\p{Script=Syriac}\p{Script=Thaana}\p{Script=Nko}]/u.test(letter)
        ? 'rtl'
        : 'ltr';
  }
  return 'ltr';
}

/** What is written for a token. Line breaks show as a mark and still break the line. */
function shownText(token: ViewToken): string {
  if (token.special) return token.text.replaceAll('\n', '↵\n');
  return token.text.replaceAll('\n', '↵\n').replaceAll('\t', '⇥\t');
}

const Chunk = memo(function Chunk({ tokens, from, active }: { tokens: ViewToken[]; from: number; active: number }) {
  return (
    <>
      {tokens.slice(from, from + CHUNK).map((token, i) => (
        <span
          // biome-ignore lint/suspicious/noArrayIndexKey: a token is its place
          key={from + i}
          className={`tok t-${token.role}${active === from + i ? ' active' : ''}`}
          data-place={from + i}
        >
          {shownText(token)}
        </span>
      ))}
    </>
  );
});

function Side({ title, tone, side }: { title: string; tone: 'chosen' | 'rejected'; side: SideView }) {
  const id = useId();
  const [count, setCount] = useState(STRETCH);
  const [active, setActive] = useState(-1);
  const { tokens } = side;
  const end = Math.min(count, tokens.length);
  const cut = side.total - side.kept;
  const onKeyDown = (event: KeyboardEvent) => {
    const step = { ArrowRight: active + 1, ArrowLeft: active - 1, Home: 0, End: end - 1 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    setActive(Math.max(0, Math.min(end - 1, step)));
  };
  const placeOf = (target: EventTarget) => {
    const place = (target as Element).closest<HTMLElement>('[data-place]')?.dataset.place;
    return place === undefined ? -1 : Number(place);
  };
  const chunks = Array.from({ length: Math.ceil(end / CHUNK) }, (_, i) => i * CHUNK);
  return (
    <div className={`token-side pair-text ${tone}`}>
      <h4 id={`${id}title`}>{title}</h4>
      <p className="fine number" id={`${id}facts`}>
        {plural(side.kept, 'token')}
        {cut > 0 ? `, ${formatCount(cut)} cut off` : ''} · {formatCount(side.oddsTokens)} in the odds ratio
        {tone === 'chosen' ? ` · ${formatCount(side.nllTokens)} in the NLL` : ''}
        {side.bosAdded ? ' · BOS added' : ''}
        {side.eosAdded ? ' · EOS added' : ''}
        {side.endsWithEos === false && <strong className="warn-text"> · does not end in EOS</strong>}
        {side.endsWithEos === null && <strong className="warn-text"> · no EOS is set</strong>}
      </p>
      {/* biome-ignore lint/a11y/useSemanticElements: a group of tokens read with the arrow keys */}
      <div
        role="group"
        className="tokens"
        dir={directionOf(tokens)}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: the arrow keys go from token to token
        tabIndex={0}
        aria-labelledby={`${id}title`}
        aria-describedby={`${id}facts ${id}info`}
        onMouseOver={(event) => {
          const place = placeOf(event.target);
          if (place >= 0) setActive(place);
        }}
        onFocus={() => active < 0 && setActive(0)}
        onKeyDown={onKeyDown}
      >
        {chunks.map((from) => (
          <Chunk
            key={from}
            tokens={end < from + CHUNK ? tokens.slice(0, end) : tokens}
            from={from}
            active={active >= from && active < from + CHUNK ? active : -1}
          />
        ))}
      </div>
      {end < tokens.length && (
        <Button className="small" onClick={() => setCount(count + 2 * STRETCH)}>
          Show more of {formatCount(tokens.length)} tokens
        </Button>
      )}
      <p className="token-info number" id={`${id}info`} aria-live="polite">
        {active >= 0 && active < tokens.length
          ? describe(tokens, active)
          : 'Point at a token, or go through them with the arrow keys.'}
      </p>
    </div>
  );
}

/** The legend names only what occurs. */
function Legend({ view }: { view: RowView }) {
  const present = new Set([...view.chosen.tokens, ...view.rejected.tokens].map((token) => token.role));
  return (
    <ul className="token-legend" aria-label="What the marks mean">
      {ROLES.filter(({ role }) => present.has(role)).map(({ role, title, about }) => (
        <li key={role}>
          <span className={`tok t-${role}`}>{title}</span> <span className="fine">{about}</span>
        </li>
      ))}
    </ul>
  );
}

export function TokenView({ view, nllOnPrompt }: { view: RowView; nllOnPrompt: boolean }) {
  return (
    <>
      <Legend view={view} />
      <div className="token-sides">
        <Side title="Chosen" tone="chosen" side={view.chosen} />
        <Side title="Rejected" tone="rejected" side={view.rejected} />
      </div>
      <p className="fine">
        {plural(view.sharedTokens, 'token')} at the beginning {view.sharedTokens === 1 ? 'is' : 'are'} shared by both
        and computed once.
        {nllOnPrompt
          ? ' The NLL covers the chosen prompt as well, as TRL’s does.'
          : ' The NLL covers the chosen answer only.'}
      </p>
    </>
  );
}
