/** What is remembered of each adapter with its driver: the tier that is wanted on it, and what was found out there. */
import type { TileChoice } from '../gpu/profile';
import type { StorageNotes } from '../storage/notes';
import type { TierCheck } from '../train/tier-check';
import type { TierChoice } from './protocol-device';

/** What was found out with one version of the app. */
export interface AdapterFindings {
  checks: TierCheck[];
  /** The fastest tiles, and how long that took to find out; null while it was not. */
  race: { tiles: TileChoice; milliseconds: number } | null;
}

const NOTHING: AdapterFindings = { checks: [], race: null };

/** All that a browser tells of an adapter. On many systems the description names the driver with its version. */
const keyOf = ({ vendor, architecture, device, description }: GPUAdapterInfo): string =>
  `adapter ${[vendor, architecture, device, description].join('|')}`;

export class AdapterNotes {
  readonly #notes: StorageNotes;
  readonly #key: string;
  readonly #version: string;
  choice: TierChoice = 'auto';
  findings: AdapterFindings = NOTHING;

  private constructor(notes: StorageNotes, info: GPUAdapterInfo, version: string) {
    this.#notes = notes;
    this.#key = keyOf(info);
    this.#version = version;
  }

  /** @param version of the app: what another one found out is not taken for this one's */
  static async read(notes: StorageNotes, info: GPUAdapterInfo, version: string): Promise<AdapterNotes> {
    const own = new AdapterNotes(notes, info, version);
    const kept = await notes.read<{ choice: TierChoice; version: string; findings: AdapterFindings }>(own.#key);
    if (kept) own.choice = kept.choice;
    if (kept?.version === version) own.findings = { ...NOTHING, ...kept.findings };
    return own;
  }

  /** Forgets what was found out, not what is wanted. */
  forget(): void {
    this.findings = NOTHING;
  }

  write(): Promise<void> {
    return this.#notes.write(this.#key, { choice: this.choice, version: this.#version, findings: this.findings });
  }
}
