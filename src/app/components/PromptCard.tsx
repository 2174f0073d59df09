import { useId, useState } from 'react';
import { FORMATS, formatOffer, PINNED_DATE } from '../settings/prompt';
import { useInspect } from '../store/inspect';
import { useModels } from '../store/models';
import { busyState, useRun } from '../store/run';
import { useSettings } from '../store/settings';
import { ChatmlPanel } from './ChatmlPanel';

const START = `{% for message in messages %}{{ message.role }}: {{ message.content }}{{ eos_token }}
{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}`;

/** Text that becomes a setting when it is left, so that not every keystroke tokenises anew. */
function LateText({
  id,
  value,
  rows,
  placeholder,
  mono,
  onChange,
}: {
  id: string;
  value: string;
  rows: number;
  placeholder?: string;
  mono?: boolean;
  onChange(text: string): void;
}) {
  const [draft, setDraft] = useState<string | null>(null);
  return (
    <textarea
      id={id}
      rows={rows}
      className={mono ? 'mono' : undefined}
      spellCheck={!mono}
      dir="auto"
      placeholder={placeholder}
      value={draft ?? value}
      onChange={(event) => setDraft(event.target.value)}
      onBlur={() => {
        if (draft !== null && draft !== value) onChange(draft);
        setDraft(null);
      }}
    />
  );
}

/** How rows become text: the prompt format, a system turn, and the date of templates that write one. */
export function PromptCard() {
  const id = useId();
  const { prompt, setPrompt } = useSettings();
  const model = useModels((state) => state.model);
  const found = useInspect((state) => state.check?.format);
  const running = useRun((state) => busyState(state.progress));
  const offer = formatOffer(prompt.format);
  const usesTemplate = ['auto', 'chat-template', 'custom'].includes(prompt.format);
  const choose = (format: typeof prompt.format) =>
    setPrompt(format === 'custom' && prompt.template === '' ? { format, template: START } : { format });
  return (
    <section className="card" aria-label="Prompt format">
      <h2>Prompt format</h2>
      <p>How a prompt and its answers become the text that is trained. Use what the model will be asked with later.</p>
      <fieldset className="form-grid" disabled={running}>
        <label htmlFor={`${id}format`}>Format</label>
        <div>
          <select
            id={`${id}format`}
            value={prompt.format}
            aria-describedby={`${id}about`}
            onChange={(event) => choose(event.target.value as typeof prompt.format)}
          >
            {FORMATS.map(({ value, title }) => (
              <option
                key={value}
                value={value}
                disabled={value === 'chat-template' && model?.hasChatTemplate === false}
              >
                {title}
                {value === 'chat-template' && model?.hasChatTemplate === false ? ' (this model has none)' : ''}
              </option>
            ))}
          </select>
          <p id={`${id}about`} className="fine">
            {offer.about}
            {prompt.format === 'auto' && found ? ` Here: ${formatOffer(found).title.toLowerCase()}.` : ''}
          </p>
          {(prompt.format === 'chatml' || model?.chatml) && model && <ChatmlPanel model={model} disabled={running} />}
        </div>
        {prompt.format === 'custom' && (
          <>
            <label htmlFor={`${id}template`}>Jinja template</label>
            <LateText
              id={`${id}template`}
              rows={5}
              mono
              value={prompt.template}
              onChange={(template) => setPrompt({ template })}
            />
          </>
        )}
        <label htmlFor={`${id}system`}>System turn</label>
        <LateText
          id={`${id}system`}
          rows={2}
          placeholder="none; rows that bring their own keep it"
          value={prompt.system}
          onChange={(system) => setPrompt({ system })}
        />
        {usesTemplate && (
          <>
            <label htmlFor={`${id}date`}>Date in templates</label>
            <div>
              <input
                id={`${id}date`}
                type="date"
                value={prompt.date}
                aria-describedby={`${id}date-about`}
                onChange={(event) => setPrompt({ date: event.target.value || PINNED_DATE })}
              />
              <p id={`${id}date-about`} className="fine">
                The templates of Llama 3.1 and 3.2 write today’s date. It is pinned, so that the same rows give the same
                tokens tomorrow.
              </p>
            </div>
          </>
        )}
      </fieldset>
    </section>
  );
}
