/** Votes as a bar with what they are worth. */
import { tallyOf, type Vote } from '../../worker/protocol';

export function TallyBar({ votes }: { votes: readonly Vote[] }) {
  const { tuned, base, ties, sentence } = tallyOf(votes);
  const parts = [
    ['tuned', tuned],
    ['tie', ties],
    ['base', base],
  ] as const;
  return (
    <div className="tally">
      <div className="tally-bar" aria-hidden="true">
        {parts.map(
          ([name, count]) => count > 0 && <span key={name} className={`t-${name}`} style={{ flexGrow: count }} />,
        )}
      </div>
      <p className="tally-counts number">
        <span>
          <span className="swatch t-tuned" aria-hidden="true" /> tuned {tuned}
        </span>
        <span>
          <span className="swatch t-tie" aria-hidden="true" /> tie {ties}
        </span>
        <span>
          <span className="swatch t-base" aria-hidden="true" /> base {base}
        </span>
      </p>
      <p>{sentence}</p>
    </div>
  );
}
