import { Bell } from '../bell.js';
import type { Clock } from '../clock.js';
import { asPipelineError } from '../errors.js';
import type { ScheduleLog } from '../load/schedules.js';
import type { IntakeBar } from '../ops/events.js';
import type { Run } from '../run.js';
import type { Deployment } from './deployment.js';
import type { PipelineQueues } from './queues.js';

/** How often a pipeline that is receiving is looked at: a few short questions to Postgres and to the queue. */
const LOOK_EVERY_MS = 1_000;
/** So many batches of one pipeline may wait for workers; what its ingesters hold is less, unless workers are away for hours. */
const MAX_WAITING_BATCHES = 10_000;
/** Receiving begins again when the queue's memory is so far below the mark: not at every batch that ends. */
const LOW_WATER = 0.9;

/** What an intake needs. */
export interface IntakeOptions {
  readonly clock: Clock;
  /** What is in the way at the moment; null: nothing. What it throws is in the way too. */
  readonly look: () => Promise<IntakeBar | null>;
  /** Hears of each change. */
  readonly onChange: (bar: IntakeBar | null) => void;
}

/**
 * Whether a pipeline may receive. Back-pressure begins here and nowhere else: stages further on never wait for room,
 * since it is their finishing that makes some.
 */
export class Intake {
  readonly #options: IntakeOptions;
  readonly #cleared = new Bell();
  #bar: IntakeBar | null = null;
  #watchers = 0;

  constructor(options: IntakeOptions) {
    this.#options = options;
  }

  /** Resolves when nothing is in the way, or when `signal` aborts. */
  async admit(signal: AbortSignal): Promise<void> {
    while (this.#bar !== null && !signal.aborted) await this.#cleared.wait(signal);
  }

  /**
   * Looks every second until `ended`. While something is in the way the run's batches can't get on, so that time
   * does not count against them; a breaker that another ingester has opened ends the run.
   */
  async watch(run: Pick<Run, 'excuse' | 'stop'>, ended: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    let lookedAt = clock.elapsed();
    this.#watchers += 1;
    // A look at something that is away takes seconds, for which the end of a run does not wait.
    const end = new Promise<null>((resolve) => ended.addEventListener('abort', () => resolve(null)));
    while (!ended.aborted) {
      const bar = await Promise.race([this.#look(), end]);
      if (ended.aborted) break;
      const now = clock.elapsed();
      if (bar !== null) run.excuse(now - lookedAt);
      if (bar === 'breaker_open') run.stop('breaker_open');
      lookedAt = now;
      this.#set(bar);
      await clock.sleep(LOOK_EVERY_MS, ended);
    }
    this.#watchers -= 1;
    // When nobody looks any more, nobody would notice that the way is free.
    if (this.#watchers === 0) this.#set(null);
  }

  async #look(): Promise<IntakeBar | null> {
    try {
      return await this.#options.look();
    } catch (error) {
      return asPipelineError(error).code;
    }
  }

  #set(bar: IntakeBar | null): void {
    if (bar === this.#bar) return;
    this.#bar = bar;
    this.#options.onChange(bar);
    if (bar === null) this.#cleared.ring();
  }
}

/** The intake of a pipeline: barred by its breaker, by its backlog, by the queue's memory, and by outages. */
export function createIntake(
  { clock, events, config }: Pick<Deployment, 'clock' | 'events' | 'config'>,
  pipeline: string,
  parts: PipelineQueues & { readonly schedules: Pick<ScheduleLog, 'breaker'> },
): Intake {
  const { transformQueue, loadQueue, schedules } = parts;
  let isFull = false;
  const look = async (): Promise<IntakeBar | null> => {
    const [breaker, masking, loading, memory] = await Promise.all([
      schedules.breaker(pipeline),
      transformQueue.backlog(),
      loadQueue.backlog(),
      parts.memory(),
    ]);
    if (breaker.state === 'open') return 'breaker_open';
    const mark = config.queue.highWater * (isFull ? LOW_WATER : 1);
    isFull = memory !== null && memory.usedBytes > mark * memory.limitBytes;
    if (isFull) return 'queue_memory';
    return masking.waiting + loading.waiting > MAX_WAITING_BATCHES ? 'backlog' : null;
  };
  return new Intake({ clock, look, onChange: (bar) => events.emit('intake', { pipeline, bar }) });
}
