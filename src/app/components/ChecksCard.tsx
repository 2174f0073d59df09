import type { DuplicateKind, Finding, PairFilter } from '../../worker/protocol';
import { formatCount, plural } from '../lib/format';
import { removeRows, useData } from '../store/data';
import { cancelInspect, useInspect } from '../store/inspect';
import { showFinding } from '../store/pairs';
import { busyState, useRun } from '../store/run';
import { Glyph } from './icons';
import { Button, Progress } from './ui';

export const FINDINGS: Record<PairFilter, string> = {
  'prompt-in-answer': 'Prompt inside the answer',
  'template-twice': 'Template put on twice',
  'foreign-marks': 'Marks of another model',
  'special-tokens-in-text': 'Special tokens in the text',
  'double-bos': 'BOS twice',
  'double-eos': 'EOS twice',
  'no-eos': 'EOS missing',
  'marks-not-tokens': 'Marks are plain letters',
  repeated: 'Repeated rows',
  reversed: 'Contradictions',
  'same-answers': 'Nothing to prefer',
  cut: 'Pairs that are cut',
  dropped: 'Pairs left out',
};

const isDuplicate = (kind: PairFilter): kind is DuplicateKind =>
  kind === 'repeated' || kind === 'reversed' || kind === 'same-answers';

function FindingItem({ finding, disabled }: { finding: Finding<PairFilter>; disabled: boolean }) {
  const { kind, message, count, train, eval: held } = finding;
  const title = FINDINGS[kind];
  const inRows = train + held > 0;
  return (
    <li className="finding">
      <Glyph name="alert" />
      <div className="grow">
        <p>
          <strong>{title}</strong>
          {inRows && <span className="muted number"> · {plural(count, 'row')}</span>}
        </p>
        <p className="fine">{message}</p>
      </div>
      <div className="actions">
        {inRows && (
          <Button
            className="small"
            aria-label={`Show ${title.toLowerCase()}`}
            onClick={() => showFinding(kind, train > 0 ? 'train' : 'eval')}
          >
            Show
          </Button>
        )}
        {isDuplicate(kind) && (
          <Button
            className="small"
            icon="trash"
            disabled={disabled}
            aria-label={`Remove ${title.toLowerCase()}`}
            onClick={() => void removeRows(kind, count)}
          >
            Remove
          </Button>
        )}
      </div>
    </li>
  );
}

/** What is likely to be a mistake in the rows, with how often and where. */
export function ChecksCard() {
  const { check, checking, progress } = useInspect();
  const reading = useData((state) => state.reading !== null);
  const running = useRun((state) => busyState(state.progress));
  const findings: Finding<PairFilter>[] = check ? [...check.warnings, ...check.duplicates] : [];
  const share = progress?.activity === 'checking' ? progress.done / progress.total : null;
  return (
    <section className="card" aria-label="Checks">
      <div className="spread">
        <h2>Checks</h2>
        <span className="fine" role="status">
          {checking ? 'looking through the rows …' : ''}
        </span>
      </div>
      {share !== null && (
        <div className="field-row">
          <div className="grow">
            <Progress value={share} label="Looking through the rows" />
          </div>
          <Button className="small" icon="stop" onClick={() => void cancelInspect()}>
            Cancel
          </Button>
        </div>
      )}
      {check && findings.length === 0 && (
        <p className="good-text">No doubled prompts, stray template marks, missing EOS or repeated rows.</p>
      )}
      {!check && !checking && <p className="muted">The rows were not looked through.</p>}
      <ul className="findings">
        {findings.map((finding) => (
          <FindingItem key={finding.kind} finding={finding} disabled={running || reading} />
        ))}
      </ul>
      {check && check.repeatedPrompts > 0 && (
        <p className="fine">
          {plural(check.repeatedPrompts, 'prompt')} {check.repeatedPrompts === 1 ? 'is' : 'are'} asked by more than one
          row ({formatCount(check.rowsOfRepeatedPrompts)} rows in all), which is fine as long as the answers differ.
        </p>
      )}
    </section>
  );
}
