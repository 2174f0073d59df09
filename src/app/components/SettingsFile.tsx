import { saveText } from '../lib/save';
import { settingsFromJson, settingsToJson } from '../settings/json';
import { announce, notice, reportError } from '../store/alerts';
import { sampleSettings, useSettings } from '../store/settings';
import { Button, FileButton } from './ui';

async function importFile(file: File): Promise<void> {
  try {
    const { hparams, prompt, samples, read, unknown } = settingsFromJson(
      await file.text(),
      useSettings.getState().hparams,
    );
    const { replace, setPrompt, setSamples } = useSettings.getState();
    replace(hparams);
    if (prompt) setPrompt(prompt);
    if (samples) setSamples(samples);
    announce(`${read.length} settings read from ${file.name}.`);
    const rest = unknown.length ? ` These names mean nothing here and were left out: ${unknown.join(', ')}.` : '';
    notice('settings-imported', `${read.length} settings read from ${file.name}.${rest}`);
  } catch (cause) {
    reportError(cause);
  }
}

function exportFile(): void {
  const { hparams, prompt } = useSettings.getState();
  saveText(settingsToJson(hparams, prompt, sampleSettings()), 'hparams.json', 'application/json');
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
      <Button icon="download" onClick={exportFile}>
        Export settings
      </Button>
    </>
  );
}
