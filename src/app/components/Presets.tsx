import { PRESETS } from '../settings/presets';
import { changedKeys } from '../settings/validate';
import { useSettings } from '../store/settings';
import { Badge } from './ui';

export function Presets() {
  const { presetId, hparams, choosePreset } = useSettings();
  return (
    <fieldset className="presets">
      <legend className="section-title">Preset</legend>
      {PRESETS.map((preset) => {
        const chosen = preset.id === presetId;
        const changed = chosen ? changedKeys(hparams, preset.hparams).length : 0;
        return (
          <label key={preset.id} className={chosen ? 'card preset chosen' : 'card preset'}>
            <span>
              <input
                type="radio"
                name="preset"
                value={preset.id}
                checked={chosen}
                onChange={() => choosePreset(preset.id)}
              />{' '}
              <strong>{preset.title}</strong>
            </span>
            <span className="preset-facts number">
              {preset.facts} {changed > 0 && <Badge tone="accent">{changed} changed</Badge>}
            </span>
            <span className="fine">{preset.about}</span>
          </label>
        );
      })}
    </fieldset>
  );
}
