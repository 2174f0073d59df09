import { FIELD_GROUPS } from '../settings/fields';
import { presetById } from '../settings/presets';
import { changedKeys, checkHParams } from '../settings/validate';
import { useSettings } from '../store/settings';
import { FieldEditor } from './FieldEditor';
import { Badge, Button } from './ui';

/** Every setting, in groups. */
export function Advanced() {
  const { hparams, presetId, invalid, choosePreset } = useSettings();
  const preset = presetById(presetId);
  const changed = new Set([...changedKeys(hparams, preset.hparams), ...Object.keys(invalid)]);
  const problems = { ...checkHParams(hparams), ...invalid };
  return (
    <details className="advanced" open>
      <summary>
        <h2 className="section-title">All settings</h2>
        {changed.size > 0 ? <Badge tone="accent">{changed.size} changed</Badge> : <Badge>as in {preset.title}</Badge>}
      </summary>
      <div className="advanced-head">
        <p className="fine">
          Names and meanings are those of TRL, transformers and PEFT: the same numbers give the same run there.
        </p>
        <Button look="quiet" icon="undo" disabled={changed.size === 0} onClick={() => choosePreset(presetId)}>
          Reset all to {preset.title}
        </Button>
      </div>
      <div className="groups">
        {FIELD_GROUPS.map((group) => (
          <section key={group.id} className="card group" aria-labelledby={`group-${group.id}`}>
            <h3 id={`group-${group.id}`}>{group.title}</h3>
            {group.fields.map((field) => (
              <FieldEditor
                key={field.key}
                field={field}
                changed={changed.has(field.key)}
                problem={problems[field.key] ?? null}
                presetTitle={preset.title}
                presetValue={preset.hparams[field.key]}
              />
            ))}
          </section>
        ))}
      </div>
    </details>
  );
}
