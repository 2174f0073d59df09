/** The GPU of the engine thread: opened once, in the tier that is wanted where that tier proves right on it. */
import { chooseTier, type Gpu, openGpu, withTier } from '../gpu/device';
import { TIERS } from '../gpu/tiers';
import { raceTiles, type TileRace } from '../model/tile-race';
import type { StorageNotes } from '../storage/notes';
import { checkTier, type TierCheck } from '../train/tier-check';
import { AdapterNotes } from './adapter-notes';
import type { GpuTurn } from './gpu-turn';
import type { DeviceInfo, DeviceRequests } from './protocol-device';

export interface GpuDeskHost {
  api: GPU | undefined;
  notes: StorageNotes;
  /** The app's version: another one's findings are found out anew. */
  version: string;
  turn: GpuTurn;
  /** Called when the GPU computes in another way from now on. */
  onChange(gpu: Gpu): void;
  onInfo(info: DeviceInfo): void;
  onLost(message: string): void;
}

/** How the device is opened and looked at; tests have their own. */
export interface GpuMeans {
  open: (api: GPU | undefined) => Promise<Gpu>;
  check: (gpu: Gpu) => Promise<TierCheck>;
  race: (gpu: Gpu, onProgress: (done: number, total: number) => void) => Promise<TileRace>;
}

const MEANS: GpuMeans = {
  open: openGpu,
  check: checkTier,
  race: (gpu, onProgress) => raceTiles(gpu, { onProgress }),
};

type Handlers = {
  [K in 'setTier' | 'checkTier']: (args: DeviceRequests[K]['args']) => Promise<DeviceRequests[K]['result']>;
};

interface Opened {
  gpu: Gpu;
  notes: AdapterNotes;
  activity: string | null;
  problem: string | null;
  /** The race could not be run; it is not tried again before the next visit. */
  raceFailed?: boolean;
}

export class GpuDesk {
  readonly #host: GpuDeskHost;
  readonly #means: GpuMeans;
  #opening: Promise<Opened> | null = null;
  #opened: Opened | null = null;

  constructor(host: GpuDeskHost, means: GpuMeans = MEANS) {
    this.#host = host;
    this.#means = means;
  }

  /** Null before it is opened, and after it was lost. */
  get gpu(): Gpu | null {
    return this.#opened?.gpu ?? null;
  }

  readonly handlers: Handlers = {
    setTier: async ({ tier }) => {
      const opened = await this.#open();
      return this.#host.turn.prepare(async () => {
        opened.notes.choice = tier;
        return this.#settle(opened);
      });
    },
    checkTier: async () => {
      const opened = await this.#open();
      return this.#host.turn.prepare(async () => {
        opened.notes.forget();
        opened.raceFailed = false;
        return this.#settle(opened);
      });
    },
  };

  /**
   * Opens the GPU, or answers what it is. What has yet to be found out about it goes on after the answer; whatever takes
   * its turn on the GPU waits for that.
   */
  async open(): Promise<DeviceInfo> {
    return describe(await this.#open());
  }

  async #open(): Promise<Opened> {
    this.#opening ??= this.#openAnew().catch((error) => {
      this.#opening = null;
      throw error;
    });
    return this.#opening;
  }

  async #openAnew(): Promise<Opened> {
    const gpu = await this.#means.open(this.#host.api);
    const notes = await AdapterNotes.read(this.#host.notes, gpu.info, this.#host.version);
    const opened: Opened = { gpu, notes, activity: null, problem: null };
    this.#opened = opened;
    gpu.lost.then((message) => {
      if (this.#opened !== opened) return;
      this.#opened = null;
      this.#opening = null;
      this.#host.onLost(message);
    });
    if (!this.#unmeasured(opened) && this.#unchecked(opened) === null) this.#use(opened);
    else void this.#host.turn.prepare(() => this.#settle(opened)).catch(() => undefined);
    return opened;
  }

  #unmeasured({ gpu, notes, raceFailed }: Opened): boolean {
    return !gpu.isSoftware && !notes.findings.race && !raceFailed;
  }

  /** The device in the next tier to be checked before one is settled on; null when nothing is left. */
  #unchecked({ gpu, notes, problem }: Opened): Gpu | null {
    const tier = this.#best(gpu, notes);
    const known = tier === 'f32' || problem !== null || notes.findings.checks.some((check) => check.tier === tier);
    return known ? null : withTier(gpu, tier, notes.findings.race?.tiles);
  }

  /** The fastest tier that is wanted, can be had, and was not found wrong. */
  #best({ support }: Gpu, { choice, findings }: AdapterNotes) {
    const wrong = findings.checks.filter(({ passed }) => !passed).map(({ tier }) => tier);
    const tiers = support.tiers.filter((tier) => !wrong.includes(tier));
    return chooseTier({ ...support, tiers }, choice);
  }

  #use(opened: Opened): DeviceInfo {
    const tier = opened.problem === null ? this.#best(opened.gpu, opened.notes) : 'f32';
    opened.gpu = withTier(opened.gpu, tier, opened.notes.findings.race?.tiles);
    // A device that was lost meanwhile is nobody's any more.
    if (this.#opened === opened) this.#host.onChange(opened.gpu);
    return describe(opened);
  }

  /** Finds out what is not known yet, uses what came of it, and remembers. */
  async #settle(opened: Opened): Promise<DeviceInfo> {
    const { notes } = opened;
    opened.problem = null;
    if (this.#unmeasured(opened)) await this.#measure(opened);
    for (let next = this.#unchecked(opened); next; next = this.#unchecked(opened)) {
      const { tier } = next.profile;
      this.#tell(opened, `Checking ${tier} against f32`);
      try {
        const check = await this.#means.check(next);
        notes.findings = { ...notes.findings, checks: [...notes.findings.checks, check] };
      } catch (error) {
        // Of what says nothing about the tier, nothing is remembered.
        opened.problem = `${tier} could not be checked: ${(error as Error).message}`;
      }
    }
    await notes.write();
    opened.activity = null;
    const info = this.#use(opened);
    this.#host.onInfo(info);
    return info;
  }

  async #measure(opened: Opened): Promise<void> {
    const { gpu, notes } = opened;
    const tell = (done: number, total: number) => this.#tell(opened, `Measuring this GPU, ${done} of ${total}`);
    this.#tell(opened, 'Measuring this GPU');
    try {
      const { tiles, milliseconds } = await this.#means.race(withTier(gpu, 'f32', {}), tell);
      notes.findings = { ...notes.findings, race: { tiles, milliseconds } };
    } catch {
      // Without room for it, say: the usual tiles are good ones.
      opened.raceFailed = true;
    }
  }

  #tell(opened: Opened, activity: string): void {
    opened.activity = activity;
    this.#host.onInfo(describe(opened));
  }
}

function describe({ gpu, notes, activity, problem }: Opened): DeviceInfo {
  const { info, isSoftware, profile, device, support } = gpu;
  return {
    vendor: info.vendor,
    architecture: info.architecture,
    description: info.description,
    isSoftware,
    tier: profile.tier,
    choice: notes.choice,
    tiers: TIERS.map((tier) => ({
      tier,
      missing: support.tiers.includes(tier) ? null : (support.missing[tier] ?? 'what this device lacks'),
    })),
    matrixOperands: support.matrix && (support.matrix.operands ?? 'f16'),
    checks: notes.findings.checks,
    measuredMs: notes.findings.race?.milliseconds ?? null,
    activity,
    problem,
    maxBufferSize: device.limits.maxBufferSize,
    maxStorageBufferBindingSize: device.limits.maxStorageBufferBindingSize,
  };
}
