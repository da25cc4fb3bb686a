import type { ClientBase } from 'pg';
import { type Clock, backoffMs } from '../clock.js';
import { PipelineError } from '../errors.js';
import type { PostgresPool } from './connection.js';
import { asPostgresError } from './postgres-error.js';

/** For how long maskline keeps its own records, in ms. */
export interface Retention {
  readonly ledgerMs: number;
  readonly runsMs: number;
  readonly replayedQuarantineMs: number;
}

/** What was deleted, or would be. */
export interface Pruned {
  /** Days of the ledger. */
  readonly ledger_partitions: number;
  /** Rows of the ledger's default partition. */
  readonly ledger_rows: number;
  readonly loads: number;
  readonly runs: number;
  /** Replayed entries. */
  readonly quarantine: number;
  /** Processes that ended without a word. */
  readonly processes: number;
  /** Days of the ledger that were too busy to be dropped; the next pruning takes them. */
  readonly ledger_partitions_left: number;
}

/** How to prune. */
export interface PruneOptions {
  readonly clock: Clock;
  /** Only counts. */
  readonly dryRun?: boolean;
  /** Stops between two steps; what is deleted by then stays deleted. */
  readonly signal?: AbortSignal;
  /** Rows of one statement. Default 5,000. */
  readonly batchRows?: number;
}

/** A process that has been silent for so long is gone: it says every few seconds that it is alive. */
const SILENT_MS = 24 * 3_600_000;
/** A statement of so many rows takes well below a second, and so do its locks. */
const BATCH_ROWS = 5_000;
/** Dropping a partition waits 300 ms for its lock, and is tried so often, with growing pauses in between. */
const DROP_ATTEMPTS = 12;
const DROP_BASE_MS = 100;
const DROP_MAX_MS = 3_000;
/** Ours alone, unlike that of migrations. */
const LOCK_ID = 5_142_760_932_451;

/**
 * Deletes what is older than its retention, in small steps. Null, having done nothing, when another process is at it.
 * Needs `execute` on the functions of migration 0004, no rights on tables. Throws `postgres_unavailable`,
 * `permission_denied`, `canceled`.
 */
export async function prune(
  pool: Pick<PostgresPool, 'withClient'>,
  retention: Retention,
  options: PruneOptions,
): Promise<Pruned | null> {
  return pool.withClient(async (client) => {
    const { rows } = await client.query<{ locked: boolean }>('select pg_try_advisory_lock($1) as locked', [
      LOCK_ID,
    ]);
    if (rows[0]?.locked !== true) return null;
    // When anything below throws, the connection is thrown away, and the lock goes with it.
    const pruned = await new Pruning(client, retention, options).run();
    await client.query('select pg_advisory_unlock($1)', [LOCK_ID]);
    return pruned;
  });
}

type Kind = Exclude<keyof Pruned, 'ledger_partitions_left'>;

class Pruning {
  readonly #client: ClientBase;
  readonly #options: PruneOptions;
  readonly #keepMs: { readonly [kind in Kind]: number };

  constructor(client: ClientBase, retention: Retention, options: PruneOptions) {
    this.#client = client;
    this.#options = options;
    this.#keepMs = {
      ledger_partitions: retention.ledgerMs,
      ledger_rows: retention.ledgerMs,
      loads: retention.runsMs,
      runs: retention.runsMs,
      quarantine: retention.replayedQuarantineMs,
      processes: SILENT_MS,
    };
  }

  async run(): Promise<Pruned> {
    const { dryRun = false } = this.#options;
    const each = (kind: Kind): Promise<number> => (dryRun ? this.#count(kind) : this.#delete(kind));
    const partitions = dryRun ? await this.#count('ledger_partitions') : await this.#dropPartitions();
    return {
      ledger_partitions: partitions,
      ledger_rows: await each('ledger_rows'),
      // Before the runs, which go only when none of their batches is left that has to stay.
      loads: await each('loads'),
      runs: await each('runs'),
      quarantine: await each('quarantine'),
      processes: await each('processes'),
      ledger_partitions_left: dryRun ? 0 : await this.#count('ledger_partitions'),
    };
  }

  async #delete(kind: Kind): Promise<number> {
    const batchRows = this.#options.batchRows ?? BATCH_ROWS;
    let deleted = 0;
    for (;;) {
      const n = await this.#ask("maskline.prune($1, now() - $2 * interval '1 millisecond', $3)", [
        kind,
        this.#keepMs[kind],
        batchRows,
      ]);
      deleted += n;
      if (n < batchRows) return deleted;
    }
  }

  #count(kind: Kind): Promise<number> {
    return this.#ask("maskline.count_prunable($1, now() - $2 * interval '1 millisecond')", [
      kind,
      this.#keepMs[kind],
    ]);
  }

  async #ask(expression: string, values: readonly unknown[]): Promise<number> {
    this.#refuseIfStopped();
    const { rows } = await this.#client.query<{ n: number }>(`select (${expression})::float8 as n`, [
      ...values,
    ]);
    return rows[0]?.n ?? 0;
  }

  /** One by one, each in a transaction of its own; gives up while loaders leave no gap. */
  async #dropPartitions(): Promise<number> {
    const { clock, signal } = this.#options;
    let dropped = 0;
    for (let attempt = 1; attempt <= DROP_ATTEMPTS;) {
      this.#refuseIfStopped();
      try {
        if (!(await this.#dropOldest())) return dropped;
        dropped += 1;
        attempt = 1;
      } catch (thrown) {
        const error = asPostgresError(thrown);
        if (!(error instanceof PipelineError) || error.code !== 'contention') throw error;
        await clock.sleep(backoffMs(clock, attempt, DROP_BASE_MS, DROP_MAX_MS), signal);
        attempt += 1;
      }
    }
    return dropped;
  }

  async #dropOldest(): Promise<boolean> {
    const { rows } = await this.#client.query<{ name: string | null }>(
      "select maskline.drop_ledger_partition(now() - $1 * interval '1 millisecond') as name",
      [this.#keepMs.ledger_partitions],
    );
    return typeof rows[0]?.name === 'string';
  }

  #refuseIfStopped(): void {
    if (this.#options.signal?.aborted) throw new PipelineError('canceled', 'pruning was stopped');
  }
}
