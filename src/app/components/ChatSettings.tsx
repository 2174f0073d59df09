/** How answers are drawn, and in which format prompts are put. */
import { useId } from 'react';
import { checkSampleNumber } from '../../worker/protocol';
import { formatOffer } from '../settings/prompt';
import { chatFormat, setChat, setSampling, useChat, useTunedStep } from '../store/chat';
import { useInspect } from '../store/inspect';
import { useModels } from '../store/models';
import { useRun } from '../store/run';
import { useSettings } from '../store/settings';
import { NumberField } from './NumberField';
import { Segments } from './Segments';
import { Facts } from './ui';

const WAYS = [
  [false, 'Greedy'],
  [true, 'Sampled'],
] as const;

function System({ disabled }: { disabled: boolean }) {
  const id = useId();
  const system = useChat((state) => state.system);
  // What the format says changes with these.
  useRun((state) => state.facts);
  useSettings((state) => state.prompt);
  return (
    <div className="number-field">
      <label htmlFor={id}>System prompt</label>
      <textarea
        id={id}
        rows={2}
        value={system ?? chatFormat().system}
        placeholder="None"
        disabled={disabled}
        onChange={(event) => setChat({ system: event.target.value })}
      />
    </div>
  );
}

export function ChatSettings() {
  const { sampled, sampling, writing } = useChat();
  const model = useModels((state) => state.model);
  const facts = useRun((state) => state.facts);
  const step = useTunedStep();
  const chosen = useSettings((state) => state.prompt.format);
  const found = useInspect((state) => state.check?.format);
  const format = facts ? (facts.format ?? facts.settings.prompt?.format ?? 'auto') : chosen;
  const disabled = writing !== null;
  return (
    <>
      <section aria-labelledby="drawn-title" className="chat-drawn">
        <h2 className="side-title" id="drawn-title">
          How answers are drawn
        </h2>
        <Segments
          legend="How answers are drawn"
          options={WAYS}
          value={sampled}
          disabled={disabled}
          onChange={(value) => setChat({ sampled: value })}
        />
        <p className="fine">
          {sampled
            ? 'Each token by chance, as likely as the model holds it. The same seed draws the same numbers for both models.'
            : 'Always the likeliest token: the same question gets the same answer.'}
        </p>
        <div className="number-fields">
          {sampled && (
            <>
              <NumberField
                label="Temperature"
                value={sampling.temperature}
                whole={false}
                check={(value) => checkSampleNumber('temperature', value)}
                disabled={disabled}
                onChange={(value) => value !== null && setSampling({ temperature: value })}
              />
              <NumberField
                label="Top-p"
                value={sampling.top_p}
                whole={false}
                check={(value) => checkSampleNumber('top_p', value)}
                disabled={disabled}
                onChange={(value) => value !== null && setSampling({ top_p: value })}
              />
              <NumberField
                label="Seed"
                value={sampling.seed}
                check={(value) => checkSampleNumber('seed', value)}
                disabled={disabled}
                onChange={(value) => value !== null && setSampling({ seed: value })}
              />
            </>
          )}
          <NumberField
            label="Most new tokens"
            value={sampling.max_new_tokens}
            check={(value) => checkSampleNumber('max_new_tokens', value)}
            disabled={disabled}
            onChange={(value) => value !== null && setSampling({ max_new_tokens: value })}
          />
        </div>
        <System disabled={disabled} />
      </section>
      <section aria-labelledby="talk-title">
        <h2 className="side-title" id="talk-title">
          Who answers
        </h2>
        <Facts
          rows={[
            ['Base', model ? `${model.title} · ${model.format}` : 'no model yet'],
            ['Tuned', step === null ? 'after training' : `its adapter after ${step} ${step === 1 ? 'step' : 'steps'}`],
            ['Prompt format', formatOffer(format === 'auto' ? (found ?? format) : format).title],
            ['Reads at most', model ? `${model.maxPositions} tokens` : '–'],
          ]}
        />
      </section>
    </>
  );
}
