/** One training run in the worker: its session on the GPU while it lasts, its adapter and log afterwards. */
import type { AdapterTensor } from '../formats/peft';
import { downloadAdapter, initialAdapter, uploadAdapter } from '../model/adapter';
import type { OpenModel } from '../model/load';
import { Session } from '../model/session';
import { Pace } from '../train/pace';
import type { TrainingPlan } from '../train/run-plan';
import { Trainer } from '../train/trainer';
import type { EvalRecord, RunProgress, RunState, StepRecord, WorkerEvent } from './protocol';

export interface FinishedRun {
  adapter: Map<string, AdapterTensor>;
  plan: TrainingPlan;
  steps: readonly StepRecord[];
  evals: readonly EvalRecord[];
  dataName: string;
}

export class Run {
  readonly #model: OpenModel;
  readonly #plan: TrainingPlan;
  readonly #emit: (event: WorkerEvent) => void;
  readonly #abort = new AbortController();
  #state: RunState = 'preparing';
  #activity = 'reserving GPU memory';
  #trainer: Trainer | null = null;
  #pace = new Pace();

  constructor(model: OpenModel, plan: TrainingPlan, emit: (event: WorkerEvent) => void) {
    this.#model = model;
    this.#plan = plan;
    this.#emit = emit;
  }

  get progress(): RunProgress {
    const last = this.#trainer?.log.at(-1);
    const total = this.#plan.steps.length;
    const { secondsPerStep, ...rates } = this.#pace.rates;
    const left = total - (last?.step ?? 0);
    return {
      state: this.#state,
      step: last?.step ?? 0,
      totalSteps: total,
      epoch: last?.epoch ?? 0,
      ...rates,
      secondsLeft: secondsPerStep > 0 ? left * secondsPerStep : null,
      activity: this.#activity,
    };
  }

  /** Ends the run after the step in work. */
  stop(): void {
    this.#abort.abort();
    if (this.#state === 'running' || this.#state === 'preparing') this.#tell('stopping', 'finishing the step in work');
  }

  /**
   * Trains to the end or until stopped. Whatever happens, `keep` gets the adapter as far as it was trained, when there
   * is one to save.
   */
  async train(dataName: string, keep: (run: FinishedRun) => void): Promise<RunProgress> {
    this.#tell('preparing', 'reserving GPU memory');
    const session = await Session.create(this.#model, this.#plan.lora, this.#plan.capacity, this.#plan.hparams);
    try {
      uploadAdapter(session, initialAdapter(this.#plan.lora, this.#plan.hparams.init_seed));
      const trainer = new Trainer(session, this.#plan, {
        onStep: (record, pairs, tokens) => {
          this.#pace.step(pairs, tokens);
          this.#emit({ event: 'step', record });
          this.#tell(this.#state, this.#state === 'stopping' ? this.#activity : 'training');
        },
        onEval: (record) => this.#emit({ event: 'eval', record }),
        onActivity: (activity) => this.#tell(this.#state, activity),
      });
      this.#trainer = trainer;
      this.#tell('running', 'compiling kernels and making the first step');
      this.#pace = new Pace();
      let finished = false;
      try {
        finished = await trainer.run({ signal: this.#abort.signal });
      } catch (error) {
        this.#tell('failed', 'stopped by an error');
        throw error;
      } finally {
        if (trainer.log.length) await this.#save(session, trainer, dataName, keep);
      }
      this.#tell(finished ? 'finished' : 'stopped', finished ? 'done' : 'stopped; the adapter is kept');
      return this.progress;
    } finally {
      session.destroy();
    }
  }

  async #save(session: Session, trainer: Trainer, dataName: string, keep: (run: FinishedRun) => void): Promise<void> {
    try {
      const adapter = await downloadAdapter(session);
      keep({ adapter, plan: this.#plan, steps: trainer.log, evals: trainer.evalLog, dataName });
    } catch (error) {
      // With the device gone there is nothing to read; the run's own error says so.
      if (this.#state !== 'failed') throw error;
    }
  }

  #tell(state: RunState, activity: string): void {
    this.#state = state;
    this.#activity = activity;
    this.#emit({ event: 'progress', progress: this.progress });
  }
}
