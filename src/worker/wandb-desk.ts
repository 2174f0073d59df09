/** Live logging: follows the events of runs, and logs those that begin while the visitor wants it. */
import { WandbClient, type WandbSettings } from '../runs/wandb/client';
import { WandbLogger } from '../runs/wandb/logger';
import type { KeptRecord, RunProgress, WandbRequests, WorkerEvent } from './protocol';

export interface WandbDeskHost {
  record(id: string): Promise<KeptRecord | undefined>;
  emit(event: WorkerEvent): void;
}

/** The run's settings by their own names, and what it was made of. */
function configOf({ settings, model, data, device, totalSteps }: KeptRecord): Record<string, unknown> {
  return {
    ...settings.hparams,
    model_name: model.id,
    model_format: model.format,
    dataset_name: data.name,
    dataset_fingerprint: data.fingerprint,
    train_pairs: data.trainPairs,
    eval_pairs: data.evalPairs,
    total_steps: totalSteps,
    device,
    trainer: 'ORPO Studio',
  };
}

export class WandbDesk {
  readonly #host: WandbDeskHost;
  #settings: WandbSettings | null = null;
  #logger: Promise<WandbLogger | null> = Promise.resolve(null);

  constructor(host: WandbDeskHost) {
    this.#host = host;
  }

  readonly handlers: { [K in keyof WandbRequests]: (args: WandbRequests[K]['args']) => Promise<null> } = {
    setWandb: async ({ settings }) => {
      this.#settings = settings;
      return null;
    },
  };

  /** Sees every event of the runs. Never throws, and is never waited for. */
  observe(event: WorkerEvent): void {
    switch (event.event) {
      case 'runKept':
        this.#begin(() => this.#host.record(event.runId));
        break;
      case 'runNotKept':
        this.#begin(async () => event.record);
        break;
      case 'restored': {
        const { run, curves } = event;
        if (!run.live) break;
        this.#begin(async () => run.record);
        this.#log((logger) => logger.restore(curves.steps, curves.evals));
        break;
      }
      case 'step':
        this.#log((logger) => logger.step(event.record));
        break;
      case 'eval':
        this.#log((logger) => logger.eval(event.record));
        break;
    }
  }

  /** Runs a training, and ends its log however it ends. */
  async follow(train: () => Promise<RunProgress>): Promise<RunProgress> {
    let code: 0 | 1 = 1;
    try {
      const progress = await train();
      code = 0;
      return progress;
    } finally {
      const ended = this.#logger;
      this.#logger = Promise.resolve(null);
      void ended.then((logger) => logger?.finish(code));
    }
  }

  #begin(find: () => Promise<KeptRecord | undefined>): void {
    const settings = this.#settings;
    if (!settings) return;
    this.#logger = find()
      .then((record) => {
        if (!record) return null;
        const { id, name, notes } = record;
        const about = { id, name, notes, config: configOf(record) };
        return new WandbLogger(new WandbClient(settings), about, (status) =>
          this.#host.emit({ event: 'wandb', status }),
        );
      })
      .catch(() => null);
  }

  #log(what: (logger: WandbLogger) => void): void {
    void this.#logger.then((logger) => logger && what(logger));
  }
}
