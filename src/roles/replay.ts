// Quarantined records once more: a run of its own, whose source is the quarantine. It needs no queue: masking and COPY
// are done here, and whoever else replays the same entries at the same time finds them claimed.

import {
  type BatchReport,
  type Counts,
  type RunReport,
  type RunState,
  addCounts,
  noCounts,
} from '../batch.js';
import type { PipelineConfig } from '../config/config.js';
import { tablesOf } from '../config/tables.js';
import { asPipelineError } from '../errors.js';
import type { PostgresPool } from '../load/connection.js';
import { releaseUndecided } from '../load/fate.js';
import { asOutage } from '../load/postgres-error.js';
import { type QuarantineFilter, pageContents } from '../load/quarantine-entries.js';
import { Replay, type ReplayBatch } from '../load/replay.js';
import { createRunLog } from '../load/runs.js';
import { readCatalog } from '../load/target-catalog.js';
import { createVault } from '../load/vault.js';
import type { Keyring } from '../masking/keyring.js';
import { unhurried } from '../masking/one-by-one.js';
import { compileLeakGate } from '../masking/leak-gate.js';
import { compileMasker } from '../masking/mask.js';
import type { Vault } from '../masking/vault.js';
import { withVault } from '../masking/vaulted.js';
import { outlast } from '../policy.js';
import type { RunOptions } from '../run.js';
import type { Deployment } from './deployment.js';
import { type ReplayMaker, replayBatches } from './replay-batches.js';
import type { TableNow } from './replay-masked.js';
import { type ReportedRun, RunRecord } from './run-record.js';
import { sinkTargetOf, tableName } from './tables.js';
import { TargetLimits } from './target-limits.js';

/** What replays of a process share. */
export interface ReplayParts {
  readonly deployment: Deployment;
  readonly pool: PostgresPool;
  readonly keyring: Keyring;
}

/** Which entries of which pipeline. */
export interface ReplayRequest {
  readonly pipeline: PipelineConfig;
  readonly filter: QuarantineFilter;
  /** At most so many; null: all. */
  readonly limit: number | null;
}

/** Records that stay in quarantine, by code. */
export interface StayCounts {
  readonly [code: string]: number;
}

/** What became of the entries of one pipeline. */
export interface ReplayResult {
  readonly report: RunReport;
  readonly codes: StayCounts;
}

/**
 * Replays entries of one pipeline, batch by batch, as a run with a report. A stop ends it after the batch in hand.
 * Throws what stopped it otherwise, after its report is written: `table_unfit`, `permission_denied`,
 * `row_count_differs`, `statement_timeout`, `key_unavailable`.
 */
export async function replay(
  parts: ReplayParts,
  request: ReplayRequest,
  stop: AbortSignal,
): Promise<ReplayResult> {
  const { deployment, pool } = parts;
  const { clock, events } = deployment;
  const run = new ReplayRun({
    runId: clock.id(),
    pipeline: request.pipeline.name,
    trigger: 'replay',
    startedAt: clock.now(),
  });
  const record = new RunRecord({ ...deployment, runs: createRunLog(pool) }, run, stop);
  await record.open();
  const ended = new AbortController();
  const alive = record.keepAlive(ended.signal);
  let failure: { readonly error: unknown } | null = null;
  try {
    await replayAll(parts, request, run, stop);
    if (stop.aborted) run.end('canceled');
  } catch (error) {
    // An outage that a stop cut short is no failure.
    const isCanceled = stop.aborted && asPipelineError(error).code === 'postgres_unavailable';
    run.end(isCanceled ? 'canceled' : 'failed');
    if (!isCanceled) failure = { error };
  }
  ended.abort();
  await alive;
  const report = run.report(clock.now());
  // Of a database that is away nobody can be told; the next ingester closes the run as abandoned.
  await record.close(report).catch((error: unknown) => {
    failure ??= { error };
  });
  events.emit('run_finished', report);
  if (failure) throw failure.error;
  return { report, codes: run.codes };
}

async function replayAll(
  parts: ReplayParts,
  request: ReplayRequest,
  run: ReplayRun,
  stop: AbortSignal,
): Promise<void> {
  const { deployment, pool } = parts;
  const { pipeline } = request;
  const { clock, events, onWait } = deployment;
  const [own, ...further] = tablesOf(pipeline);
  const tables = { ...sinkTargetOf(own), further: further.map(sinkTargetOf) };
  const patient = outlasting(parts, stop);
  const maker = await makerOf(parts, pipeline, patient, createVault(patient));
  for await (const entries of pageContents(patient, request.filter, request.limit)) {
    for (const batch of await replayBatches(maker, run.options.runId, entries)) {
      if (stop.aborted) return;
      const one = new Replay({ pool, ...tables, clock }, batch);
      try {
        const done = await outlast(clock, () => one.commit(), stop, onWait);
        run.count(done);
        events.emit('batch_loaded', { ...done, table: tableName(own), lagMs: null });
      } catch (error) {
        run.count(await letGo(pool, batch));
        throw error;
      }
    }
    if (stop.aborted) return;
  }
}

/**
 * The entries of a batch that failed stay as they are; its fate says so, unless COMMIT was heard after all. Where
 * nobody can be asked, its records were received, and what became of them is not known.
 */
async function letGo(pool: PostgresPool, batch: ReplayBatch): Promise<Counts> {
  const records = batch.ids.length + batch.stays.length + batch.unopened.length;
  const [fate] = await releaseUndecided(pool, [{ ...batch, records }]).catch(() => []);
  return fate ?? { ...noCounts, received: records };
}

/** What makes batches of a pipeline's entries, by its settings and tables as they are now. Throws `key_unavailable`. */
export async function makerOf(
  { deployment, keyring }: ReplayParts,
  pipeline: PipelineConfig,
  pool: Pick<PostgresPool, 'query'>,
  vault: Vault,
): Promise<ReplayMaker> {
  const { clock } = deployment;
  const tables: TableNow[] = [];
  for (const { target, columns } of tablesOf(pipeline)) {
    const { table } = await readCatalog(pool, target);
    tables.push({ target, columns, found: table?.columns ?? [] });
  }
  const limits = new TargetLimits(
    pool,
    tables.map(({ target }) => target),
    clock,
  );
  const compiled = withVault(compileMasker(pipeline.policy, keyring, clock, { limits }), vault);
  const masker = unhurried(limits.confirming(compiled));
  const leakGate = pipeline.leakGate ? compileLeakGate(pipeline.policy, clock) : null;
  return { pipeline, masker, leakGate, keyring, clock, tables };
}

/** The same connections, for reading: outages are waited out. */
export function outlasting(
  { deployment, pool }: ReplayParts,
  stop: AbortSignal,
): Pick<PostgresPool, 'query'> {
  const { clock, onWait } = deployment;
  return {
    query: (text, values) => outlast(clock, () => asOutage(() => pool.query(text, values)), stop, onWait),
  };
}

/** What a replay has done so far; its report adds up after each batch. */
class ReplayRun implements ReportedRun {
  readonly options: RunOptions;
  readonly #codes: { [code: string]: number } = {};
  #counts: Counts = noCounts;
  #state: RunState = 'succeeded';

  constructor(options: RunOptions) {
    this.options = options;
  }

  get codes(): StayCounts {
    return this.#codes;
  }

  count(batch: Counts & { readonly codes?: BatchReport['codes'] }): void {
    this.#counts = addCounts(this.#counts, batch);
    for (const [code, n] of Object.entries(batch.codes ?? {}))
      this.#codes[code] = (this.#codes[code] ?? 0) + n;
  }

  end(state: RunState): void {
    this.#state = state;
  }

  report(finishedAt: number | null): RunReport {
    const { runId, pipeline, trigger, startedAt } = this.options;
    const state = finishedAt === null ? 'running' : this.#state;
    return { runId, pipeline, trigger, state, startedAt, finishedAt, ...this.#counts };
  }
}
