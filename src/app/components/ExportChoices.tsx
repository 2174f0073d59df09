/** The settings of merged exports. */
import type { ReactNode } from 'react';
import type { GgufType, MergeBase, OutputDtype } from '../../worker/protocol';
import { SHARD_BYTES, setExport, useExports } from '../store/exports';
import { useModels } from '../store/models';

interface Choice<T extends string> {
  value: T;
  title: string;
  about: string;
}

const DTYPES: Choice<OutputDtype>[] = [
  { value: 'BF16', title: 'BF16', about: 'two bytes a weight; what Llama-3 itself comes in' },
  { value: 'F16', title: 'F16', about: 'two bytes a weight; for older GPUs and some runtimes' },
  { value: 'F32', title: 'F32', about: 'four bytes a weight; exactly what was computed here' },
  { value: 'source', title: 'As the base', about: 'each weight in the dtype that the base has it in' },
];

const BASES: Choice<MergeBase>[] = [
  {
    value: 'trained',
    title: 'The weights it was trained on',
    about: 'The 4-bit base written out in full, plus what was learned: exactly the model that was trained.',
  },
  {
    value: 'source',
    title: 'The original 16-bit weights',
    about: 'The usual practice. The base is finer than the one training saw, so answers may differ a little.',
  },
  {
    value: 'nf4',
    title: 'NF4 again',
    about: 'A 4-bit bitsandbytes model, the smallest. Quantising once more rounds away part of what was learned.',
  },
];

const GGUFS: Choice<GgufType>[] = [
  { value: 'Q8_0', title: 'Q8_0', about: 'about one byte a weight; hardly to be told from the full model' },
  { value: 'F16', title: 'F16', about: 'two bytes a weight; to quantise further with llama.cpp' },
];

const SHARDS = [1e9, 2e9, SHARD_BYTES, 10e9];

/** One choice of several, each with a line about it. */
function Radios<T extends string>(props: {
  legend: string;
  name: string;
  choices: readonly Choice<T>[];
  value: T;
  disabled: boolean;
  onChange(value: T): void;
}): ReactNode {
  const { legend, name, choices, value: chosen, disabled, onChange } = props;
  return (
    <fieldset className="dtypes" disabled={disabled}>
      <legend>{legend}</legend>
      {choices.map(({ value, title, about }) => (
        <label key={value}>
          <input type="radio" name={name} value={value} checked={chosen === value} onChange={() => onChange(value)} />
          <span>
            <strong>{title}</strong>
            <span className="fine"> {about}</span>
          </span>
        </label>
      ))}
    </fieldset>
  );
}

/** What the adapter is added to; only where there is a choice. A GGUF file has no NF4. */
function BaseChoice({ kind }: { kind: 'merged' | 'gguf' }) {
  const busy = useExports((state) => state.working !== null);
  const base = useExports((state) => state.base);
  const offered = useModels((state) => state.model?.mergeBases) ?? [];
  const choices = BASES.filter(({ value }) => offered.includes(value) && (kind === 'merged' || value !== 'nf4'));
  if (choices.length < 2) return null;
  const value = kind === 'gguf' && base === 'nf4' ? 'trained' : base;
  return (
    <Radios
      legend="Merged into"
      name={`${kind}-base`}
      choices={choices}
      value={value}
      disabled={busy}
      onChange={(chosen) => setExport({ base: chosen })}
    />
  );
}

function ShardChoice() {
  const busy = useExports((state) => state.working !== null);
  const shardBytes = useExports((state) => state.shardBytes);
  return (
    <label className="shards">
      A new file after
      <select
        value={shardBytes}
        disabled={busy}
        onChange={(event) => setExport({ shardBytes: Number(event.target.value) })}
      >
        {SHARDS.map((bytes) => (
          <option key={bytes} value={bytes}>
            {bytes / 1e9} GB
          </option>
        ))}
      </select>
    </label>
  );
}

export function MergedChoices() {
  const busy = useExports((state) => state.working !== null);
  const dtype = useExports((state) => state.dtype);
  const nf4 = useExports((state) => state.base === 'nf4');
  return (
    <>
      <BaseChoice kind="merged" />
      <Radios
        legend="Number format"
        name="dtype"
        choices={DTYPES}
        value={nf4 ? 'source' : dtype}
        disabled={busy || nf4}
        onChange={(chosen) => setExport({ dtype: chosen })}
      />
      <ShardChoice />
    </>
  );
}

export function GgufChoices() {
  const busy = useExports((state) => state.working !== null);
  const gguf = useExports((state) => state.gguf);
  return (
    <>
      <BaseChoice kind="gguf" />
      <Radios
        legend="Weights"
        name="gguf"
        choices={GGUFS}
        value={gguf}
        disabled={busy}
        onChange={(chosen) => setExport({ gguf: chosen })}
      />
    </>
  );
}
