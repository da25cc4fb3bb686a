import type { ClientBase } from 'pg';
import type { BatchReport, Fate, MaskedBatch } from '../batch.js';
import { type Clock, systemClock } from '../clock.js';
import { withoutLines } from '../copy-text.js';
import { PipelineError } from '../errors.js';
import type { PostgresPool } from './connection.js';
import { quoteTable } from './copy.js';
import {
  type Memory,
  beginUndecided,
  decideCommitted,
  readFates,
  refuseExpired,
  releaseUndecided,
} from './fate.js';
import { type Refusal, loadOneByOne } from './isolate.js';
import { enterLedger } from './ledger.js';
import { type Place, type PostgresFault, RowRefused, asOutage, on, withinLimits } from './postgres-error.js';
import { quarantine } from './quarantine.js';
import { type Sorted, type Tally, report, sortOut, toQuarantine } from './settlement.js';
import type { HeldBatch, Sink } from './sink.js';
import { type LoadTarget, writeRows } from './upsert.js';

/** Where a commit is, for failpoints: just after each step, and before COMMIT; `committed` is before anyone knows. */
export type CommitStep = 'begun' | 'ledger' | 'copied' | 'decided' | 'committed';

/** What the sink needs. */
export interface PostgresSinkOptions {
  readonly pool: PostgresPool;
  readonly target: LoadTarget;
  /** Seals refused rows under the quarantine key. `id` is the quarantine row's. Throws `key_unavailable`. */
  readonly sealer: { seal(id: string, plain: Buffer): { readonly kid: number; readonly sealed: Buffer } };
  /** The configured path (`from`) of each column, for the path of a refused row. */
  readonly paths: ReadonlyMap<string, string>;
  readonly clock?: Clock;
  /** Batches from before that are refused. Absent: nothing is ever forgotten. */
  readonly memory?: Memory;
  /** Waited for at each step, with the transaction open: where tests freeze or kill a loader. */
  readonly onStep?: (step: CommitStep, batchId: string) => Promise<void> | void;
}

/** The sink that decides by `maskline.loads` and `maskline.ledger`, in the same database as the target. */
export function createPostgresSink(options: PostgresSinkOptions): Sink {
  return new PostgresSink(options);
}

/** How an attempt goes about rows that the table may refuse. */
type Mode = { readonly kind: 'copy'; readonly without: Suspect | null } | { readonly kind: 'one_by_one' };

interface Suspect {
  /** Index of its entry. */
  readonly entry: number;
  readonly refusal: Refusal;
}

const MASKLINE: Place = { kind: 'maskline' };

class PostgresSink implements Sink {
  readonly #options: PostgresSinkOptions;
  readonly #clock: Clock;

  constructor(options: PostgresSinkOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
  }

  async commit(batch: MaskedBatch): Promise<BatchReport | null> {
    const sorted = sortOut(batch);
    const { schema, table } = this.#options.target;
    return withinLimits(`batch ${batch.batchId} for table ${schema}.${table}`, () =>
      this.#options.pool.withClient((client) =>
        new Commit(this.#options, this.#clock, client, batch, sorted).run(),
      ),
    );
  }

  async fates(batchIds: readonly string[]): Promise<readonly Fate[]> {
    return asOutage(() => readFates(this.#options.pool, batchIds));
  }

  async letGo(batches: readonly HeldBatch[]): Promise<readonly Fate[]> {
    return asOutage(() => releaseUndecided(this.#options.pool, batches));
  }
}

/** One call of `commit`: at most three attempts, each a transaction, each with one COPY. */
class Commit {
  readonly #options: PostgresSinkOptions;
  readonly #clock: Clock;
  readonly #client: ClientBase;
  readonly #batch: MaskedBatch;
  readonly #sorted: Sorted;
  readonly #target: Place & { readonly kind: 'target' };
  readonly #startedAt: number;
  #copies = 0;
  #ledgerMs = 0;
  #copyMs = 0;

  constructor(
    options: PostgresSinkOptions,
    clock: Clock,
    client: ClientBase,
    batch: MaskedBatch,
    sorted: Sorted,
  ) {
    this.#options = options;
    this.#clock = clock;
    this.#client = client;
    this.#batch = batch;
    this.#sorted = sorted;
    const { schema, table } = options.target;
    this.#target = { kind: 'target', table: `${schema}.${table}`, columns: batch.columns };
    this.#startedAt = clock.now();
  }

  async run(): Promise<BatchReport | null> {
    let mode: Mode = { kind: 'copy', without: null };
    for (;;) {
      try {
        return await this.#attempt(mode);
      } catch (error) {
        if (!(error instanceof Retry)) throw error;
        await this.#rollback();
        mode = error.mode;
      }
    }
  }

  async #attempt(mode: Mode): Promise<BatchReport | null> {
    if (!(await on(MASKLINE, beginUndecided(this.#client, this.#batch.batchId)))) return this.#rollback();
    if (this.#options.memory) refuseExpired(this.#batch, this.#clock.now(), this.#options.memory);
    await this.#step('begun');
    const tally = mode.kind === 'copy' ? await this.#copy(mode.without) : await this.#oneByOne();
    if (!tally) return this.#rollback();
    const rejections = toQuarantine(this.#batch, this.#sorted, tally, {
      seal: (id, plain) => this.#options.sealer.seal(id, plain),
      newId: () => this.#clock.id(),
      path: (column) => this.#options.paths.get(column) ?? null,
    });
    const counts = report(this.#batch, this.#sorted, tally, rejections);
    await on(MASKLINE, quarantine(this.#client, this.#batch, rejections));
    const decided = decideCommitted(this.#client, this.#batch, { ...counts, held: this.#sorted.held });
    if (!(await on(MASKLINE, decided))) return this.#rollback();
    await this.#step('decided');
    const { command } = await on(MASKLINE, this.#client.query('commit'));
    if (command !== 'COMMIT') throw new PipelineError('unexpected', `COMMIT was answered by ${command}`);
    await this.#step('committed');
    const total = this.#clock.now() - this.#startedAt;
    return { ...counts, copies: this.#copies, ms: { ledger: this.#ledgerMs, copy: this.#copyMs, total } };
  }

  /** Enters all records into the ledger, and copies the rows of those that were not there. */
  async #copy(without: Suspect | null): Promise<Tally | null> {
    const { entries, ends, repeatedLines } = this.#sorted;
    const refused = new Map(without ? [[without.entry, without.refusal]] : []);
    const started = this.#clock.now();
    const settled = entries.map((entry, index) =>
      refused.has(index) ? { ...entry, outcome: 'quarantined' as const } : entry,
    );
    const entered = await on(MASKLINE, enterLedger(this.#client, this.#batch, settled));
    this.#ledgerMs += this.#clock.now() - started;
    if (entered.kind === 'same_batch') return null;
    await this.#step('ledger');
    const drop = new Set(repeatedLines);
    for (const [index, { line }] of entries.entries()) {
      if (line !== null && (entered.known.has(index) || refused.has(index))) drop.add(line);
    }
    const rows = withoutLines(this.#batch.rows, ends, drop);
    await this.#send(rows, drop, without === null);
    await this.#step('copied');
    return { known: entered.known, refused, bytes: rows.length };
  }

  async #send(rows: Buffer, drop: ReadonlySet<number>, first: boolean): Promise<void> {
    const { keys, columns, batchId } = this.#batch;
    const sentAts = keys.flatMap(({ sentAt }, line) => (drop.has(line) ? [] : [sentAt]));
    const expected = sentAts.length;
    if (expected === 0) return;
    const started = this.#clock.now();
    this.#copies += 1;
    try {
      const { target } = this.#options;
      const taken = await on(this.#target, writeRows(this.#client, target, columns, rows, sentAts));
      if (taken === expected) return;
      throw new PipelineError(
        'row_count_differs',
        `table ${this.#target.table} was sent ${expected} rows of batch ${batchId} and kept ${taken}: ` +
          'a trigger or rule drops rows',
      );
    } catch (error) {
      if (!(error instanceof RowRefused)) throw error;
      const suspect = first ? this.#suspect(error.fault, drop) : null;
      throw new Retry(suspect ? { kind: 'copy', without: suspect } : { kind: 'one_by_one' });
    } finally {
      this.#copyMs += this.#clock.now() - started;
    }
  }

  /** The record whose line the server named. That the COPY without it succeeds is what proves it guilty. */
  #suspect(fault: PostgresFault, drop: ReadonlySet<number>): Suspect | null {
    if (fault.line === null) return null;
    const sent = this.#sorted.ends.map((_, line) => line).filter((line) => !drop.has(line));
    const line = sent[fault.line - 1];
    const entry = this.#sorted.entries.findIndex(
      (candidate) => line !== undefined && candidate.line === line,
    );
    return entry === -1 ? null : { entry, refusal: { sqlstate: fault.sqlstate, column: fault.column } };
  }

  async #oneByOne(): Promise<Tally> {
    const started = this.#clock.now();
    this.#copies += 1;
    const { upsert = null } = this.#options.target;
    const target = { table: quoteTable(this.#options.target), columns: this.#batch.columns, upsert };
    const { rows } = this.#batch;
    // Row errors are caught on the server, so one that arrives here is about our own tables.
    const isolated = await on(
      MASKLINE,
      loadOneByOne(this.#client, target, this.#batch, this.#sorted.entries, rows),
    );
    this.#copyMs += this.#clock.now() - started;
    await this.#step('copied');
    return { ...isolated, bytes: rows.length };
  }

  async #rollback(): Promise<null> {
    await on(MASKLINE, this.#client.query('rollback'));
    return null;
  }

  async #step(step: CommitStep): Promise<void> {
    await this.#options.onStep?.(step, this.#batch.batchId);
  }
}

/** The attempt failed by the fault of a row; `mode` is how the next one goes. */
class Retry extends Error {
  readonly mode: Mode;

  constructor(mode: Mode) {
    super('a row was refused');
    this.mode = mode;
  }
}
