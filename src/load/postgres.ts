import type { ClientBase } from 'pg';
import type { BatchReport, Fate, MaskedBatch } from '../batch.js';
import { type Clock, systemClock } from '../clock.js';
import { PipelineError } from '../errors.js';
import type { PostgresPool } from './connection.js';
import {
  type Memory,
  beginUndecided,
  decideCommitted,
  readFates,
  refuseExpired,
  releaseUndecided,
} from './fate.js';
import { type FifoMode, Stops, holdRejected, timesInOrder } from './groups.js';
import { type Refusal, loadOneByOne } from './isolate.js';
import { enterLedger, ledgerKey } from './ledger.js';
import { type Place, RowRefused, asOutage, on, withinLimits } from './postgres-error.js';
import { quarantine } from './quarantine.js';
import { type Section, type SinkTarget, rowsDropped, rowsWithout, sectionsOf } from './sections.js';
import {
  type Entry,
  type Seal,
  type Sorted,
  type Tally,
  furtherRows,
  report,
  sortOut,
  toQuarantine,
} from './settlement.js';
import type { HeldBatch, Sink } from './sink.js';
import { writeRows } from './upsert.js';

/** Where a commit is, for failpoints: just after each step, and before COMMIT; `committed` is before anyone knows. */
export type CommitStep = 'begun' | 'ledger' | 'copied' | 'decided' | 'committed';

/** What the sink needs. */
export interface PostgresSinkOptions extends SinkTarget {
  readonly pool: PostgresPool;
  /** Tables that records have rows in besides `target`. */
  readonly further?: readonly SinkTarget[];
  /** Seals refused rows under the quarantine key. `id` is the quarantine row's. Throws `key_unavailable`. */
  readonly sealer: { readonly seal: Seal };
  /** What a rejected record does to its FIFO group; `skip` unless given. */
  readonly fifo?: FifoMode;
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
type Mode = 'copy' | 'one_by_one';

/** Attempts at COPY before the refused rows are looked for one by one: a second refusal is no exception any more. */
const COPIES_FIRST = 2;
/** A batch with FIFO groups that takes more of them has a table that refuses a row now and takes it then. */
const MOST_COPIES = 8;

const MASKLINE: Place = { kind: 'maskline' };

class PostgresSink implements Sink {
  readonly #options: PostgresSinkOptions;
  readonly #clock: Clock;

  constructor(options: PostgresSinkOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
  }

  async commit(batch: MaskedBatch): Promise<BatchReport | null> {
    const { schema, table } = this.#options.target;
    return withinLimits(`batch ${batch.batchId} for table ${schema}.${table}`, () =>
      this.#options.pool.withClient((client) => new Commit(this.#options, this.#clock, client, batch).run()),
    );
  }

  async fates(batchIds: readonly string[]): Promise<readonly Fate[]> {
    return asOutage(() => readFates(this.#options.pool, batchIds));
  }

  async letGo(batches: readonly HeldBatch[]): Promise<readonly Fate[]> {
    return asOutage(() => releaseUndecided(this.#options.pool, batches));
  }
}

/**
 * One call of `commit`: attempts, each a transaction with one COPY. Without FIFO groups they are three at most. One by
 * one goes in another order than that of the batch, so with groups it only tells which rows to leave out of one more
 * COPY.
 */
class Commit {
  readonly #options: PostgresSinkOptions;
  readonly #clock: Clock;
  readonly #client: ClientBase;
  readonly #batch: MaskedBatch;
  readonly #sections: readonly Section[];
  readonly #startedAt: number;
  #stops: Stops;
  /** Rows that the table refuses, as far as is known, by ledger key. */
  readonly #refused = new Map<string, Refusal>();
  #sorted: Sorted;
  #copies = 0;
  #ledgerMs = 0;
  #copyMs = 0;

  constructor(options: PostgresSinkOptions, clock: Clock, client: ClientBase, batch: MaskedBatch) {
    this.#options = options;
    this.#clock = clock;
    this.#client = client;
    this.#batch = batch;
    this.#stops = new Stops(batch);
    this.#sorted = sortOut(batch, this.#stops);
    this.#sections = sectionsOf(batch, [options, ...(options.further ?? [])]);
    this.#startedAt = clock.now();
  }

  async run(): Promise<BatchReport | null> {
    let mode: Mode = 'copy';
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
    if (this.#blocks) {
      await on(MASKLINE, holdRejected(this.#client, this.#batch, this.#stops));
      this.#sorted = sortOut(this.#batch, this.#stops);
    }
    const tally = mode === 'copy' ? await this.#copy() : await this.#oneByOne();
    if (!tally) return this.#rollback();
    const rejections = toQuarantine(this.#sections, this.#sorted, tally, {
      seal: (id, plain, form) => this.#options.sealer.seal(id, plain, form),
      newId: () => this.#clock.id(),
    });
    const counts = report(this.#batch, this.#sorted, tally, rejections);
    const further = furtherRows(this.#sections, this.#sorted, tally);
    await on(MASKLINE, quarantine(this.#client, this.#batch, rejections));
    const { held } = this.#sorted;
    const decided = decideCommitted(this.#client, this.#batch, { ...counts, held, furtherRows: further });
    if (!(await on(MASKLINE, decided))) return this.#rollback();
    await this.#step('decided');
    const { command } = await on(MASKLINE, this.#client.query('commit'));
    if (command !== 'COMMIT') throw new PipelineError('unexpected', `COMMIT was answered by ${command}`);
    await this.#step('committed');
    const total = this.#clock.now() - this.#startedAt;
    const { blocking } = this.#stops;
    return {
      ...counts,
      ...(blocking.length > 0 ? { blocked: blocking } : {}),
      ...(further === null ? {} : { furtherRows: further }),
      copies: this.#copies,
      ms: { ledger: this.#ledgerMs, copy: this.#copyMs, total },
    };
  }

  get #blocks(): boolean {
    return this.#options.fifo === 'block' && this.#batch.groups !== undefined;
  }

  /** Enters all records into the ledger, and copies the rows of those that were not there. */
  async #copy(): Promise<Tally | null> {
    const { entries, repeatedLines, heldLines } = this.#sorted;
    const refused = new Map<number, Refusal>();
    for (const [index, entry] of this.#refused.size === 0 ? [] : entries.entries()) {
      const refusal = this.#refused.get(ledgerKey(entry));
      if (refusal) refused.set(index, refusal);
    }
    const started = this.#clock.now();
    const settled = entries.map((entry, index) =>
      refused.has(index) ? { ...entry, outcome: 'quarantined' as const } : entry,
    );
    const entered = await on(MASKLINE, enterLedger(this.#client, this.#batch, settled));
    this.#ledgerMs += this.#clock.now() - started;
    if (entered.kind === 'same_batch') return null;
    await this.#step('ledger');
    const drop = new Set([...repeatedLines, ...heldLines]);
    for (const [index, { line }] of entries.entries()) {
      if (line !== null && (entered.known.has(index) || refused.has(index))) drop.add(line);
    }
    const bytes = await this.#send(drop);
    await this.#step('copied');
    return { known: entered.known, refused, bytes };
  }

  /** Sends the rows of all records but those, table by table; returns how many bytes that were. */
  async #send(drop: ReadonlySet<number>): Promise<number> {
    const times = timesInOrder(this.#batch);
    let bytes = 0;
    for (const [index, section] of this.#sections.entries()) {
      const { rows, lines } = rowsWithout(section, drop);
      if (lines.length === 0) continue;
      if (bytes === 0) this.#copies += 1;
      bytes += rows.length;
      const { target, columns, place, records } = section;
      const sentAts = lines.map((line) => times[records[line] ?? 0] ?? 0);
      const started = this.#clock.now();
      try {
        const taken = await on(place, writeRows(this.#client, target, columns, rows, sentAts));
        if (taken !== lines.length) throw rowsDropped(section, this.#batch, lines.length, taken);
      } catch (error) {
        if (!(error instanceof RowRefused)) throw error;
        const { line: named } = error.fault;
        const suspect = named === null ? undefined : records[lines[named - 1] ?? -1];
        throw this.#retryWithout(suspect, { ...error.fault, section: index });
      } finally {
        this.#copyMs += this.#clock.now() - started;
      }
    }
    return bytes;
  }

  #retryWithout(suspect: number | undefined, refusal: Refusal): Error {
    if (this.#copies < COPIES_FIRST && this.#leaveOutSuspect(suspect, refusal)) return new Retry('copy');
    if (this.#copies >= MOST_COPIES) return this.#moody(refusal);
    // Whom the server named first may have been innocent.
    this.#stops = new Stops(this.#batch);
    this.#refused.clear();
    return new Retry('one_by_one');
  }

  /** Leaves out the record whose line the server named. That the COPY without it succeeds is what proves it guilty. */
  #leaveOutSuspect(record: number | undefined, { sqlstate, column, section }: Refusal): boolean {
    const suspect = this.#sorted.entries.find(({ line }) => record !== undefined && line === record);
    if (suspect === undefined) return false;
    this.#leaveOut(suspect, { sqlstate, column, section });
    return true;
  }

  #moody({ section }: Refusal): PipelineError {
    return new PipelineError(
      'table_unfit',
      `table ${this.#sections[section]?.place.table ?? ''} refuses rows of batch ${this.#batch.batchId} together that it takes one by one: ` +
        'look for a trigger or constraint that depends on their order',
    );
  }

  #leaveOut(entry: Entry, refusal: Refusal): void {
    if (this.#blocks && this.#stops.add(entry.key, `refused_${refusal.sqlstate}`)) return;
    this.#refused.set(ledgerKey(entry), refusal);
  }

  async #oneByOne(): Promise<Tally> {
    const started = this.#clock.now();
    this.#copies += 1;
    const { groups } = this.#batch;
    const { entries } = this.#sorted;
    // Row errors are caught on the server, so one that arrives here is about our own tables.
    const isolated = await on(MASKLINE, loadOneByOne(this.#client, this.#sections, this.#batch, entries));
    this.#copyMs += this.#clock.now() - started;
    await this.#step('copied');
    if (groups !== undefined && isolated.refused.size > 0) {
      for (const [index, refusal] of isolated.refused) {
        const entry = entries[index];
        if (entry) this.#leaveOut(entry, refusal);
      }
      throw new Retry('copy');
    }
    return { ...isolated, bytes: this.#sections.reduce((sum, { rows }) => sum + rows.length, 0) };
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
