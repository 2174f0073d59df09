/** Settings of the answers that a run gives on its way: how often, and to which prompts. */
import { checkSampleNumber, MOST_SAMPLE_PROMPTS } from '../../worker/protocol';
import { resolveSamples } from '../settings/samples';
import { useDevice } from '../store/device';
import { usePlan } from '../store/plan';
import { useSettings } from '../store/settings';
import { NumberField } from './NumberField';
import { Segments } from './Segments';
import { Button, IconButton } from './ui';

/** Steps that `Every …` begins with; below 1 it is a share of the run. */
const EVERY = 10;

const OFTEN = [
  [0, 'Off'],
  [0.25, '4 × a run'],
  [0.1, '10 × a run'],
  [0.05, '20 × a run'],
  [EVERY, 'Every …'],
] as const;

function Prompts({ disabled }: { disabled: boolean }) {
  const { prompts } = useSettings((state) => state.samples);
  const { setSamples } = useSettings.getState();
  const planned = usePlan((state) => state.plan?.samplePrompts);
  const own = prompts.length > 0;
  const change = (index: number, text: string) =>
    setSamples({ prompts: prompts.map((prompt, i) => (i === index ? text : prompt)) });
  return (
    <div className="sample-prompts">
      <div className="spread wrap">
        <h3>{own ? 'Your prompts' : 'Prompts of held-out pairs'}</h3>
        {own ? (
          <Button
            look="quiet"
            className="small"
            icon="undo"
            disabled={disabled}
            onClick={() => setSamples({ prompts: [] })}
          >
            Take held-out pairs
          </Button>
        ) : (
          <Button
            look="quiet"
            className="small"
            icon="pen"
            disabled={disabled}
            onClick={() => setSamples({ prompts: planned?.length ? planned.map((text) => text.trim()) : ['Hello!'] })}
          >
            Edit
          </Button>
        )}
      </div>
      {own ? (
        <>
          <ol>
            {prompts.map((prompt, i) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: a prompt is known by its place
              <li key={i} className="sample-edit">
                <textarea
                  rows={2}
                  aria-label={`Prompt ${i + 1}`}
                  value={prompt}
                  disabled={disabled}
                  onChange={(event) => change(i, event.target.value)}
                />
                <IconButton
                  icon="trash"
                  label={`Remove prompt ${i + 1}`}
                  disabled={disabled}
                  onClick={() => setSamples({ prompts: prompts.filter((_, other) => other !== i) })}
                />
              </li>
            ))}
          </ol>
          {prompts.length < MOST_SAMPLE_PROMPTS && (
            <div className="actions">
              <Button className="small" disabled={disabled} onClick={() => setSamples({ prompts: [...prompts, ''] })}>
                Add a prompt
              </Button>
            </div>
          )}
        </>
      ) : planned?.length ? (
        <ol>
          {planned.map((text) => (
            <li key={text} className="sample-prompt">
              {text.trim()}
            </li>
          ))}
        </ol>
      ) : (
        <p className="fine">They show here once there are a model and data.</p>
      )}
    </div>
  );
}

export function SampleFields({ disabled }: { disabled: boolean }) {
  const samples = useSettings((state) => state.samples);
  const { setSamples } = useSettings.getState();
  const isSoftware = useDevice((state) => state.info?.isSoftware !== false);
  const steps = resolveSamples(samples, isSoftware).sample_steps;
  const every = steps >= 1;
  return (
    <section className="card stack" aria-labelledby="samples-title">
      <div>
        <h2 id="samples-title">Answers during the run</h2>
        <p className="fine">
          A few prompts are answered as the run goes, greedy and sampled, beside the curves. The curves stay the same to
          the bit.
          {samples.sample_steps === null &&
            isSoftware &&
            ' Off by itself on a processor, where answers take their time.'}
        </p>
      </div>
      <Segments
        legend="How often prompts are answered"
        options={OFTEN}
        value={every ? EVERY : steps}
        disabled={disabled}
        onChange={(value) => (value !== EVERY || !every) && setSamples({ sample_steps: value })}
      />
      {steps > 0 && (
        <>
          <div className="number-fields">
            {every && (
              <NumberField
                label="Steps between answers"
                value={steps}
                check={(value) => (value >= 1 ? checkSampleNumber('sample_steps', value) : 'At least 1 step.')}
                disabled={disabled}
                onChange={(value) => setSamples({ sample_steps: value })}
              />
            )}
            <NumberField
              label="max_new_tokens"
              value={samples.max_new_tokens}
              check={(value) => checkSampleNumber('max_new_tokens', value)}
              disabled={disabled}
              onChange={(value) => value !== null && setSamples({ max_new_tokens: value })}
            />
            <NumberField
              label="temperature"
              value={samples.temperature}
              whole={false}
              check={(value) => checkSampleNumber('temperature', value)}
              disabled={disabled}
              onChange={(value) => value !== null && setSamples({ temperature: value })}
            />
            <NumberField
              label="top_p"
              value={samples.top_p}
              whole={false}
              check={(value) => checkSampleNumber('top_p', value)}
              disabled={disabled}
              onChange={(value) => value !== null && setSamples({ top_p: value })}
            />
            <NumberField
              label="seed"
              value={samples.seed}
              check={(value) => checkSampleNumber('seed', value)}
              disabled={disabled}
              onChange={(value) => value !== null && setSamples({ seed: value })}
            />
          </div>
          <Prompts disabled={disabled} />
        </>
      )}
    </section>
  );
}
