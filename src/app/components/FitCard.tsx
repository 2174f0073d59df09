/** "Will it fit?": what a model of any size would take on the GPU, before anything is downloaded. */
import { useEffect, useId, useState } from 'react';
import { formatBytes, formatParameters } from '../lib/format';
import { askFit, changeFit, useFit } from '../store/fit';
import { useModels } from '../store/models';
import { useSettings } from '../store/settings';
import { MemoryBar } from './MemoryBar';

interface NumberFieldProps {
  label: string;
  value: number | null;
  min: number;
  max: number;
  step?: number;
  unit?: string;
  optional?: boolean;
  onChange(value: number | null): void;
}

/** Follows every keystroke that makes an allowed number. */
function NumberField({ label, value, min, max, step = 1, unit, optional, onChange }: NumberFieldProps) {
  const id = useId();
  const [draft, setDraft] = useState<string | null>(null);
  const change = (text: string) => {
    setDraft(text);
    if (text.trim() === '') {
      if (optional) onChange(null);
      return;
    }
    const typed = Number(text);
    if (Number.isFinite(typed) && typed >= min && typed <= max && (step !== 1 || Number.isInteger(typed)))
      onChange(typed);
  };
  return (
    <div className="fit-field">
      <label htmlFor={id}>{label}</label>
      <span className="fit-input">
        <input
          id={id}
          type="number"
          className="number"
          min={min}
          max={max}
          step={step}
          value={draft ?? value ?? ''}
          onChange={(event) => change(event.target.value)}
          onBlur={() => setDraft(null)}
        />
        {unit && <span className="muted">{unit}</span>}
      </span>
    </div>
  );
}

function Verdict() {
  const { answer, gpuMemory, problem } = useFit();
  if (problem) return <p className="problem-text">{problem}</p>;
  if (!answer) return null;
  const need = formatBytes(answer.memoryBytes);
  if (answer.fits) {
    return (
      <p className="good-text">{gpuMemory === null ? `It needs ${need}.` : `It fits: ${need} of ${gpuMemory} GB.`}</p>
    );
  }
  const { name, bytes, limit } = answer.largestBuffer;
  return (
    <div className="problem-text">
      <p>
        {bytes > limit
          ? `Too large for this GPU: ${name} needs ${formatBytes(bytes)} in one buffer, and it allows ${formatBytes(limit)}.`
          : `Too large: ${need}, and the GPU has ${gpuMemory} GB.`}
      </p>
      {answer.waysToFit.length > 0 && (
        <p>
          It would fit with{' '}
          {answer.waysToFit.map(({ change, bytes: less }) => `${change} (${formatBytes(less)})`).join(', or with ')}.
        </p>
      )}
    </div>
  );
}

export function FitCard() {
  const fit = useFit();
  const shapes = useModels((state) => state.shapes);
  const hparams = useSettings((state) => state.hparams);
  const shapeId = useId();
  const formatId = useId();
  const configId = useId();
  // biome-ignore lint/correctness/useExhaustiveDependencies: the answer depends on the settings, which askFit reads.
  useEffect(() => void askFit(), [hparams]);
  return (
    <section className="card fit-card" aria-labelledby="fit-title">
      <h2 id="fit-title">Will it fit?</h2>
      <p className="about">
        The memory of a run on any Llama, planned buffer by buffer before anything is downloaded. Rank, optimizer and
        checkpointing are those of your settings.
      </p>
      <div className="fit-grid">
        <div className="fit-fields">
          <div className="fit-field">
            <label htmlFor={shapeId}>Model</label>
            <select id={shapeId} value={fit.shape} onChange={(event) => changeFit({ shape: event.target.value })}>
              {shapes.map((shape) => (
                <option key={shape.id} value={shape.id}>
                  {shape.title}
                </option>
              ))}
              <option value="config">another: paste its config.json</option>
            </select>
          </div>
          {fit.shape === 'config' && (
            <div className="fit-field wide">
              <label htmlFor={configId}>config.json</label>
              <textarea
                id={configId}
                rows={4}
                spellCheck={false}
                value={fit.configText}
                onChange={(event) => changeFit({ configText: event.target.value })}
              />
            </div>
          )}
          <div className="fit-field">
            <label htmlFor={formatId}>Weights</label>
            <select
              id={formatId}
              value={fit.format}
              onChange={(event) => changeFit({ format: event.target.value as 'NF4' | 'BF16' })}
            >
              <option value="NF4">4-bit (NF4)</option>
              <option value="BF16">16-bit</option>
            </select>
          </div>
          <NumberField
            label="Longest sequence"
            unit="tokens"
            value={fit.maxLength}
            min={16}
            max={131072}
            onChange={(value) => value && changeFit({ maxLength: value })}
          />
          <NumberField
            label="Pairs at a time"
            value={fit.pairs}
            min={1}
            max={64}
            onChange={(value) => value && changeFit({ pairs: value })}
          />
          <NumberField
            label="Common prompt"
            unit="%"
            value={fit.promptPercent}
            min={0}
            max={90}
            onChange={(value) => changeFit({ promptPercent: value ?? 0 })}
          />
          <NumberField
            label="My GPU has"
            unit="GB"
            step={0.5}
            optional
            value={fit.gpuMemory}
            min={1}
            max={1024}
            onChange={(value) => changeFit({ gpuMemory: value })}
          />
        </div>
        <div className="fit-answer" aria-live="polite">
          <Verdict />
          {fit.answer && (
            <>
              <MemoryBar items={fit.answer.memory} total={fit.answer.memoryBytes} />
              <p className="fine">{formatParameters(fit.answer.parameters)} parameters</p>
            </>
          )}
        </div>
      </div>
    </section>
  );
}
