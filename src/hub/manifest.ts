import { HubError } from './errors';

export interface ManifestFile {
  name: string;
  size: number;
  /** Hex. */
  sha256: string;
}

/** What a host says of a model it offers (manifest.json beside its files; written by scripts/make-manifest.mjs). */
export interface ModelAbout {
  id: string;
  title: string;
  about: string;
  format: string;
  parameters: number;
  fineOnCpu: boolean;
}

export interface ModelManifest extends ModelAbout {
  files: ManifestFile[];
}

/** An entry of the list of offers (index.json). */
export interface IndexEntry extends ModelAbout {
  downloadBytes: number;
}

const isRecord = (x: unknown): x is Record<string, unknown> => typeof x === 'object' && x !== null;
const isBaseName = (x: unknown): x is string => typeof x === 'string' && /^[^/\\]+$/u.test(x) && !/^\.+$/u.test(x);

function isAbout(x: unknown): x is ModelAbout & Record<string, unknown> {
  if (!isRecord(x)) return false;
  const texts = [x.id, x.title, x.about, x.format].every((v) => typeof v === 'string');
  return texts && typeof x.parameters === 'number' && typeof x.fineOnCpu === 'boolean';
}

/** Checks a manifest. Throws {@link HubError} `bad-manifest`. */
export function checkManifest(json: unknown, url: string): ModelManifest {
  const files = isAbout(json) ? json.files : undefined;
  const sound =
    Array.isArray(files) &&
    files.every(
      (f) =>
        isRecord(f) &&
        isBaseName(f.name) &&
        Number.isSafeInteger(f.size) &&
        (f.size as number) >= 0 &&
        /^[0-9a-f]{64}$/u.test(String(f.sha256)),
    ) &&
    new Set(files.map((f) => f.name)).size === files.length;
  if (!sound)
    throw new HubError('bad-manifest', `${url} is not a list of model files. Check the address of the model.`);
  return json as unknown as ModelManifest;
}

/** Checks a list of offers. Throws {@link HubError} `bad-manifest`. */
export function checkIndex(json: unknown, url: string): IndexEntry[] {
  const models = isRecord(json) ? json.models : undefined;
  if (!Array.isArray(models) || !models.every((m) => isAbout(m) && typeof m.downloadBytes === 'number')) {
    throw new HubError('bad-manifest', `${url} is not a list of models.`);
  }
  return models as IndexEntry[];
}
