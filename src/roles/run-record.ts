import type { RunReport } from '../batch.js';
import type { Clock } from '../clock.js';
import type { RunLog } from '../load/sink.js';
import { outlast } from '../policy.js';
import type { Run } from '../run.js';

/** How often a run says that its owner is alive. */
const HEARTBEAT_MS = 5_000;

/** What keeping a run on record takes. */
interface Parts {
  readonly runs: RunLog;
  readonly clock: Clock;
  readonly onWait: (error: unknown) => void;
  readonly owner: string;
}

/** A run as far as its record must know it. */
export type ReportedRun = Pick<Run, 'options' | 'report'>;

/** What is kept of one run in Postgres, from its first message to its report. Outages are waited out. */
export class RunRecord {
  readonly #parts: Parts;
  readonly #run: ReportedRun;
  readonly #hardStop: AbortSignal;
  #opened: Promise<void> | null = null;

  constructor(parts: Parts, run: ReportedRun, hardStop: AbortSignal) {
    this.#parts = parts;
    this.#run = run;
    this.#hardStop = hardStop;
  }

  /** True once the run is on record. */
  get isOpen(): boolean {
    return this.#opened !== null;
  }

  /** Puts the run on record, once. */
  open(): Promise<void> {
    this.#opened ??= this.#outlast(() => this.#parts.runs.open(this.#run.report(null), this.#parts.owner));
    return this.#opened;
  }

  /** Closes the pipeline's runs whose owner has been silent for so long. */
  async abandonSilent(silentMs: number): Promise<void> {
    await this.#outlast(async () => {
      await this.#parts.runs.abandonStale(this.#run.options.pipeline, silentMs);
    });
  }

  /** Says every few seconds how far the run is, until `ended`. A beat that fails is left out: the next one tells more. */
  async keepAlive(ended: AbortSignal): Promise<void> {
    const { runs, clock, onWait } = this.#parts;
    while (!ended.aborted) {
      await clock.sleep(HEARTBEAT_MS, ended);
      if (ended.aborted || !this.isOpen) continue;
      await runs.heartbeat(this.#run.options.runId, this.#run.report(null)).catch(onWait);
    }
  }

  /** Writes the final report; as that of an abandoned run when it doesn't add up, since batches were lost sight of. */
  async close(report: RunReport): Promise<void> {
    const { received, loaded, duplicates, quarantined, released } = report;
    const addsUp = received === loaded + duplicates + quarantined + released;
    const kept: RunReport = addsUp ? report : { ...report, state: 'abandoned' };
    await this.#outlast(() => this.#parts.runs.close(kept));
  }

  async #outlast(work: () => Promise<void>): Promise<void> {
    await outlast(this.#parts.clock, work, this.#hardStop, this.#parts.onWait);
  }
}
