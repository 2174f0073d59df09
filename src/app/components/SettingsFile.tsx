import { saveText } from '../lib/save';
import { settingsFromJson, settingsToJson } from '../settings/json';
import { announce, notice, reportError } from '../store/alerts';
import { useSettings } from '../store/settings';
import { Button, FileButton } from './ui';

async function importFile(file: File): Promise<void> {
  try {
    const { hparams, read, unknown } = settingsFromJson(await file.text(), useSettings.getState().hparams);
    useSettings.getState().replace(hparams);
    announce(`${read.length} settings read from ${file.name}.`);
    const rest = unknown.length ? ` These names mean nothing here and were left out: ${unknown.join(', ')}.` : '';
    notice('settings-imported', `${read.length} settings read from ${file.name}.${rest}`);
  } catch (cause) {
    reportError(cause);
  }
}

/** Settings in and out as JSON. */
export function SettingsFile() {
  return (
    <>
      <FileButton
        label="Import settings"
        accept=".json,application/json"
        icon="upload"
        onFile={(file) => void importFile(file)}
      />
      <Button
        icon="download"
        onClick={() => saveText(settingsToJson(useSettings.getState().hparams), 'hparams.json', 'application/json')}
      >
        Export settings
      </Button>
    </>
  );
}
