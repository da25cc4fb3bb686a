import type { Counts, RunState, Trigger } from '../batch.js';
import type { ErrorCode } from '../errors.js';

/**
 * What sort of thing is wrong; stable, since alerts are built on it. The first three: a dependency does not answer, or
 * not as it should.
 */
export type ProblemKind =
  | 'postgres'
  | 'queue'
  | 'source'
  | 'role_missing'
  | 'pipeline_stopped'
  | 'breaker_open'
  | 'schedule_overdue'
  | 'jobs_failed'
  | 'lag';

/** Why something is unhealthy, and how to mend it. Texts quote ids, counts and configured names only. */
export interface Problem {
  readonly kind: ProblemKind;
  /** `pipeline NAME`, `postgres`, `queue`, `source NAME` or `role NAME`. */
  readonly subject: string;
  readonly what: string;
  /** What to do about it, as a sentence or a command. */
  readonly remedy: string;
}

/** Whether something that maskline needs answers. */
export interface Dependency {
  readonly name: string;
  readonly ok: boolean;
  readonly code: ErrorCode | 'timeout' | null;
}

/** A process that has said lately that it is alive. Times are ISO 8601, UTC. */
export interface ProcessStatus {
  readonly role: string;
  /** Host and pid. */
  readonly owner: string;
  readonly version: string;
  readonly pipelines: readonly string[];
  readonly started_at: string;
  readonly seen_at: string;
}

/** Messages of a queue, as SQS estimates them. */
export interface QueueStatus {
  readonly visible: number;
  readonly in_flight: number;
  readonly delayed: number;
}

/** Jobs of one stage. */
export interface StageBacklog {
  readonly waiting: number;
  readonly active: number;
  readonly failed: number;
}

/** A run as `runs list` shows it. */
export interface RunStatus extends Counts {
  readonly run_id: string;
  readonly trigger: Trigger;
  readonly state: RunState;
  readonly started_at: string;
  readonly finished_at: string | null;
}

/** How one pipeline is. Null stands for what could not be found out, or has not been yet. */
export interface PipelineStatus {
  readonly pipeline: string;
  /** The table of a row for each record, as `schema.table`. */
  readonly table: string;
  /** The others that its records have rows in. */
  readonly further_tables: readonly string[];
  /** The schedule as written, `continuous`, or null: only `drain` runs it. */
  readonly schedule: string | null;
  /** Null without a cron schedule. */
  readonly timezone: string | null;
  /** When its next run begins; null while it is paused or its breaker is open. */
  readonly next_at: string | null;
  readonly paused_at: string | null;
  /** When the pause ends that its schedule has at this time of day; null outside of one. */
  readonly paused_until: string | null;
  readonly pause_reason: string | null;
  readonly last_started_at: string | null;
  /** When the latest tick that ended well began, also one that found nothing. */
  readonly last_succeeded_at: string | null;
  /** Since when no run of its schedule has ended well, though two were due; null when it is not overdue. */
  readonly overdue_since: string | null;
  readonly breaker: 'closed' | 'open' | null;
  readonly breaker_since: string | null;
  readonly breaker_reason: string | null;
  /** Of all its queues together. */
  readonly queue: QueueStatus | null;
  /** Of each of them; those that do not answer have their name only. */
  readonly queues: readonly ({ readonly queue: string } & Partial<QueueStatus>)[];
  readonly backlog: { readonly transform: StageBacklog; readonly load: StageBacklog } | null;
  /** 100 stands for that many or more. */
  readonly failed_last_hour: number | null;
  /** What is not replayed yet, in all and by code; `capped`: there is more than was counted. */
  readonly quarantine: {
    readonly open: number;
    readonly codes: Readonly<{ [code: string]: number }>;
    readonly capped: boolean;
  } | null;
  /**
   * At most so old is the oldest message that is not settled; 0 when there is none, null while no tick has ended well.
   * Under `continuous` with messages waiting it is an estimate, by what was loaded last: SQS tells no age.
   */
  readonly lag_seconds: number | null;
  readonly last_run: RunStatus | null;
}

/** How a deployment is: what `status` prints and the admin page shows. */
export interface Status {
  readonly at: string;
  readonly healthy: boolean;
  readonly problems: readonly Problem[];
  readonly dependencies: readonly Dependency[];
  readonly processes: readonly ProcessStatus[];
  readonly pipelines: readonly PipelineStatus[];
}
