import { PipelineError } from '../../src/errors.js';
import type { BatchReport, Counts, Fate, MaskedBatch } from '../../src/batch.js';
import { type FifoMode, Stops } from '../../src/load/groups.js';
import type { HeldBatch, Sink } from '../../src/load/sink.js';
import type { Faults } from './faults.js';
import { UNFIT } from './fake-masker.js';
import type { Host } from './host.js';
import type { Oracle, Settled } from './oracle.js';
import type { Outage } from './outage.js';
import type { Benign, Planted } from './planted.js';
import type { Scheduler } from './scheduler.js';

/** As the loader's sessions have it set. */
const IDLE_IN_TRANSACTION_MS = 10_000;
const LOCK_TIMEOUT_MS = 5_000;
const RELEASE_LOCK_TIMEOUT_MS = 15_000;
/** The server learns at once, or by its keep-alive, that a client is gone. */
const KEEPALIVE_MS = 20_000;
/** A statement that waits for a lock looks again so often. */
const LOCK_LOOK_MS = 100;
const DAY_MS = 24 * 3_600_000;

type Load = Fate & { readonly runId: string };

/** What is committed. */
interface Tables {
  readonly target: Settled[];
  readonly quarantine: Settled[];
  /** Ledger key to batch id. */
  readonly ledger: Map<string, string>;
  readonly loads: Map<string, Load>;
}

/** What a record comes to, once the ledger has been asked. */
interface Row extends Settled {
  readonly key: string;
  /** Index of its message. */
  readonly message: number;
  readonly isRejected: boolean;
}

/** One transaction of one client, and what it would write. */
class Transaction {
  readonly host: Host;
  readonly rows: Row[] = [];
  readonly keys: string[] = [];
  readonly loads: Load[] = [];
  /** When its last statement ended; null while one is under way. */
  idleSince: number | null;
  isOpen = true;
  /** How long the server takes to see that its client is gone. */
  readonly lingerMs: number;

  constructor(host: Host, now: number, lingerMs: number) {
    this.host = host;
    this.idleSince = now;
    this.lingerMs = lingerMs;
  }
}

/** What the database is part of. */
export interface SimPostgresOptions {
  readonly scheduler: Scheduler;
  readonly faults: Faults;
  readonly outage: Outage;
  readonly tables: Tables;
  readonly oracle: Oracle;
  readonly planted: Planted | Benign | null;
  /** Whether the table takes what it refused before. */
  readonly isMended: () => boolean;
  readonly fifo: FifoMode;
  /** Ledger keys of a batch, for the planted defect that enters what is let go. */
  readonly keysOf: (batchId: string) => readonly string[];
}

/** No rows in any table. */
export function emptyTables(): Tables {
  return { target: [], quarantine: [], ledger: new Map(), loads: new Map() };
}

/** The ledger's key of a record, SentTimestamp included. */
export function ledgerKeyOf(id: string, sentAt: number): string {
  return `${sentAt} ${id}`;
}

/**
 * A model of the sink on Postgres: transactions that see what is committed, unique keys that make a second writer
 * wait for the first, clients that vanish, and COMMITs of which nobody learns. Statement by statement it does what
 * load/postgres.ts has the server do.
 */
export class SimPostgres {
  /** How often the moments came about that everything else is there for. */
  readonly moments = {
    commits_of_a_decided_batch: 0,
    commits_that_lost_to_another_loader: 0,
    commits_that_lost_to_a_release: 0,
    releases_that_lost_to_a_commit: 0,
    waits_for_a_lock: 0,
    transactions_abandoned: 0,
  };
  /** FIFO groups held, commit by commit. */
  blocked = 0;
  readonly #options: SimPostgresOptions;
  readonly #open = new Set<Transaction>();
  /** Ledger keys and batch ids that an open transaction has written. */
  readonly #locks = new Map<string, Transaction>();

  constructor(options: SimPostgresOptions) {
    this.#options = options;
  }

  /** The sink, as one process reaches it. */
  at(host: Host): Sink {
    return {
      commit: (batch) => this.#commit(host, batch),
      fates: (batchIds) => this.#fates(host, batchIds),
      letGo: (batches) => this.#letGo(host, batches),
    };
  }

  /** An immediate shutdown: all that is not committed is gone. */
  restart(): void {
    for (const transaction of this.#open) this.#end(transaction);
  }

  async #commit(host: Host, batch: MaskedBatch): Promise<BatchReport | null> {
    const { faults, planted, tables } = this.#options;
    if (faults.strikes('contention', batch.batchId))
      throw new PipelineError('contention', 'deadlock detected');
    if (faults.strikes('table_unfit', batch.batchId))
      throw new PipelineError('table_unfit', 'no such column');
    let known = new Set<string>();
    if (planted === 'check_outside_transaction') {
      known = await this.#statement(host, null, 'ledger', () => this.#committedKeys(host, batch));
    }
    const transaction = this.#begin(host);
    try {
      const hasFate = await this.#statement(host, transaction, 'begin', () =>
        tables.loads.has(batch.batchId),
      );
      if (hasFate && planted !== 'fate_not_exclusive') {
        this.moments.commits_of_a_decided_batch += 1;
        return null;
      }
      const stops = await this.#stopsOf(host, transaction, batch);
      const counts = await this.#write(host, transaction, batch, known, stops);
      if (counts === null) return null;
      const rejected = batch.rejections.filter((r) => r.held).map((r) => r.message);
      const held = [...new Set([...rejected, ...stops.held])];
      const { batchId, runId } = batch;
      const load = { batchId, runId, state: 'committed', held, ...counts } as const;
      if (planted !== 'fate_in_its_own_transaction') {
        const isDecided = await this.#statement(host, transaction, 'decide', () =>
          this.#decide(transaction, load, LOCK_TIMEOUT_MS),
        );
        if (!isDecided) return null;
      }
      await this.#statement(host, transaction, 'commit', () => this.#apply(transaction));
      if (planted === 'fate_in_its_own_transaction') {
        await this.#statement(
          host,
          null,
          'decide',
          () => void tables.loads.set(batchId, tables.loads.get(batchId) ?? load),
        );
      }
      return {
        ...counts,
        batchId,
        runId,
        pipeline: batch.pipeline,
        bytes: 0,
        copies: 1,
        ms: { ledger: 0, copy: 0, total: 0 },
        codes: {},
      };
    } finally {
      this.#end(transaction);
    }
  }

  /** Under `fifo: block`: what of the batch is held, now that the ledger has been asked about what is rejected. */
  async #stopsOf(
    host: Host,
    transaction: Transaction,
    batch: MaskedBatch,
  ): Promise<Pick<Stops, 'isHeld' | 'held'>> {
    const stops = new Stops(batch);
    if (this.#options.fifo === 'skip' || batch.groups === undefined) return stops;
    const { tables, planted } = this.#options;
    const rejected = this.#rowsOf(host, batch).filter(({ isRejected }) => isRejected);
    await this.#statement(host, transaction, 'known', () => {
      for (const { key, message, recordId } of rejected) {
        if (!tables.ledger.has(key))
          stops.add({ id: recordId, sentAt: 0, messageId: recordId, message }, 'not_json');
      }
    });
    this.blocked += stops.blocking.length;
    if (planted !== 'later_ones_loaded') return stops;
    const held = rejected.map(({ message }) => message).filter((message) => stops.isHeld(message));
    return { held, isHeld: (message) => held.includes(message) };
  }

  /** Ledger, rows and quarantine; null when another loader has committed this very batch. */
  async #write(
    host: Host,
    transaction: Transaction,
    batch: MaskedBatch,
    knownBefore: ReadonlySet<string>,
    stops: Pick<Stops, 'isHeld'>,
  ): Promise<Counts | null> {
    const { planted, tables } = this.#options;
    const all = this.#rowsOf(host, batch);
    const rows = all.filter(({ message }) => !stops.isHeld(message));
    const distinct = [...new Map(rows.map((row) => [row.key, row])).values()];
    const entered = await this.#statement(host, transaction, 'ledger', () =>
      planted === 'no_ledger' || planted === 'check_outside_transaction'
        ? distinct.filter((row) => !knownBefore.has(row.key))
        : this.#enter(transaction, batch.batchId, distinct),
    );
    if (entered === null) return null;
    if (planted === 'check_outside_transaction') transaction.keys.push(...entered.map((row) => row.key));
    if (planted === 'ledger_ahead') {
      await this.#statement(host, null, 'ledger', () => {
        for (const key of transaction.keys) tables.ledger.set(key, 'ahead');
      });
    }
    await this.#statement(host, transaction, 'copy', () => void transaction.rows.push(...entered));
    const quarantined = entered.filter((row) => row.isRejected).length;
    const released = batch.rejections.filter(({ held }) => held).length + all.length - rows.length;
    return {
      received: batch.keys.length + batch.rejections.length,
      loaded: entered.length - quarantined,
      duplicates: rows.length - entered.length,
      quarantined,
      released,
    };
  }

  /** Enters keys in order, waiting for whoever has written the same; returns the rows that were not there. */
  async #enter(
    transaction: Transaction,
    batchId: string,
    rows: readonly Row[],
  ): Promise<readonly Row[] | null> {
    const { ledger } = this.#options.tables;
    const known: string[] = [];
    const entering = new Set<Row>();
    for (const row of rows.toSorted((a, b) => (a.key < b.key ? -1 : 1))) {
      await this.#lock(transaction, `ledger ${row.key}`, LOCK_TIMEOUT_MS);
      const owner = ledger.get(row.key);
      if (owner !== undefined) {
        known.push(owner);
        continue;
      }
      transaction.keys.push(row.key);
      entering.add(row);
    }
    if (!known.includes(batchId)) return rows.filter((row) => entering.has(row));
    this.moments.commits_that_lost_to_another_loader += 1;
    return null;
  }

  async #fates(host: Host, batchIds: readonly string[]): Promise<readonly Fate[]> {
    const { tables, oracle } = this.#options;
    const fates = await this.#statement(
      host,
      null,
      'fates',
      () => batchIds.flatMap((id) => tables.loads.get(id) ?? []).map(({ runId: _, ...fate }) => fate),
      true,
    );
    for (const fate of fates) oracle.told(fate);
    return fates;
  }

  async #letGo(host: Host, batches: readonly HeldBatch[]): Promise<readonly Fate[]> {
    const { planted, tables, keysOf } = this.#options;
    const transaction = this.#begin(host);
    try {
      await this.#statement(host, transaction, 'release', async () => {
        for (const { batchId, runId, records } of batches.toSorted((a, b) =>
          a.batchId < b.batchId ? -1 : 1,
        )) {
          const nothing = { loaded: 0, duplicates: 0, quarantined: 0 };
          const load = {
            batchId,
            runId,
            state: 'released',
            held: [],
            received: records,
            ...nothing,
            released: records,
          } as const;
          await this.#decide(transaction, load, RELEASE_LOCK_TIMEOUT_MS, connectionLost);
        }
      });
      if (planted === 'released_in_ledger') {
        for (const { batchId } of transaction.loads) transaction.keys.push(...keysOf(batchId));
      }
      await this.#statement(host, transaction, 'commit', () => this.#apply(transaction));
    } finally {
      this.#end(transaction);
    }
    if (planted === 'fate_not_exclusive') {
      const fates = batches.flatMap(({ batchId }) => tables.loads.get(batchId) ?? []);
      return fates.map((fate) => ({ ...fate, state: 'released' }));
    }
    return this.#fates(
      host,
      batches.map((batch) => batch.batchId),
    );
  }

  /** Writes a fate unless there is one; false then. */
  async #decide(
    transaction: Transaction,
    load: Load,
    timeoutMs: number,
    timedOut = lockTimeout,
  ): Promise<boolean> {
    const { planted, tables } = this.#options;
    await this.#lock(transaction, `fate ${load.batchId}`, timeoutMs, timedOut);
    const decided = tables.loads.get(load.batchId)?.state;
    if (decided !== undefined && planted !== 'fate_not_exclusive') {
      if (decided === 'released' && load.state === 'committed')
        this.moments.commits_that_lost_to_a_release += 1;
      if (decided === 'committed' && load.state === 'released')
        this.moments.releases_that_lost_to_a_commit += 1;
      return false;
    }
    transaction.loads.push(load);
    return true;
  }

  #begin(host: Host): Transaction {
    const { dice } = this.#options.scheduler;
    const transaction = new Transaction(host, this.#options.scheduler.now(), dice.between(0, KEEPALIVE_MS));
    this.#open.add(transaction);
    return transaction;
  }

  /** COMMIT: all of it, or nothing. */
  #apply(transaction: Transaction): void {
    const { tables, oracle } = this.#options;
    const target: Settled[] = [];
    const quarantine: Settled[] = [];
    for (const { isRejected, key: _, message: __, ...settled } of transaction.rows) {
      (isRejected ? quarantine : target).push(settled);
    }
    tables.target.push(...target);
    tables.quarantine.push(...quarantine);
    oracle.settled(target, quarantine);
    const batchId = transaction.rows[0]?.batchId ?? transaction.loads[0]?.batchId ?? '';
    for (const key of transaction.keys) tables.ledger.set(key, batchId);
    for (const load of transaction.loads) {
      oracle.decided(load.batchId, tables.loads.get(load.batchId)?.state);
      tables.loads.set(load.batchId, load);
    }
    this.#end(transaction);
  }

  #end(transaction: Transaction): void {
    transaction.isOpen = false;
    this.#open.delete(transaction);
    for (const [name, owner] of this.#locks) if (owner === transaction) this.#locks.delete(name);
  }

  /** One statement of a client: the server may be away, or may have given up the transaction. */
  #statement<T>(
    host: Host,
    transaction: Transaction | null,
    name: string,
    effect: () => Promise<T> | T,
    poll = false,
  ): Promise<T> {
    const { outage, scheduler } = this.#options;
    return host.call({
      name: `postgres.${name}`,
      poll,
      lost: connectionLost,
      effect: () =>
        outage.through(async () => {
          if (transaction === null) return effect();
          this.#endAbandoned(transaction);
          if (!transaction.isOpen) throw connectionLost();
          transaction.idleSince = null;
          try {
            return await effect();
          } catch (error) {
            this.#end(transaction);
            throw error;
          } finally {
            transaction.idleSince = scheduler.now();
          }
        }),
    });
  }

  /** Waits until nobody else has written what the name stands for. */
  async #lock(
    transaction: Transaction,
    name: string,
    timeoutMs: number,
    timedOut = lockTimeout,
  ): Promise<void> {
    const { scheduler } = this.#options;
    const giveUpAt = scheduler.now() + timeoutMs;
    for (;;) {
      const owner = this.#locks.get(name);
      if (owner !== undefined) this.#endAbandoned(owner);
      if (!transaction.isOpen) throw connectionLost();
      if (!this.#locks.has(name) || owner === transaction) break;
      if (scheduler.now() >= giveUpAt) throw timedOut();
      this.moments.waits_for_a_lock += 1;
      await scheduler.sleep(LOCK_LOOK_MS);
    }
    this.#locks.set(name, transaction);
  }

  /** The server rolls back what its client has left alone for too long. */
  #endAbandoned(transaction: Transaction): void {
    const now = this.#options.scheduler.now();
    const { host, idleSince, lingerMs } = transaction;
    const isIdle = idleSince !== null && now - idleSince > IDLE_IN_TRANSACTION_MS;
    const isGone = !host.alive && idleSince !== null && now - host.lastRanAt > lingerMs;
    if (!isIdle && !isGone) return;
    this.moments.transactions_abandoned += 1;
    this.#end(transaction);
  }

  #committedKeys(host: Host, batch: MaskedBatch): Set<string> {
    const { ledger } = this.#options.tables;
    return new Set(this.#rowsOf(host, batch).flatMap((row) => (ledger.has(row.key) ? [row.key] : [])));
  }

  #rowsOf(host: Host, batch: MaskedBatch): readonly Row[] {
    const lines = batch.rows.toString().split('\n').slice(0, -1);
    if (lines.length !== batch.keys.length)
      throw new PipelineError('row_count_differs', 'keys and lines differ');
    const { batchId } = batch;
    const rows = batch.keys.map(({ id, sentAt, message }, line) => {
      const content = lines[line] ?? '';
      return {
        recordId: id,
        batchId,
        content,
        key: this.#key(host, id, sentAt),
        message,
        isRejected: content.includes(UNFIT) && !this.#options.isMended(),
      };
    });
    const rejected = batch.rejections
      .filter((rejection) => !rejection.held)
      .map(({ id, sentAt, sealed, message }) => ({
        recordId: id,
        batchId,
        message,
        content: sealed.toString(),
        key: this.#key(host, id, sentAt),
        isRejected: true,
      }));
    return [...rows, ...rejected];
  }

  #key(host: Host, id: string, sentAt: number): string {
    const key = ledgerKeyOf(id, sentAt);
    return this.#options.planted === 'loading_day_in_key'
      ? `${Math.floor(host.clock.now() / DAY_MS)} ${key}`
      : key;
  }
}

function lockTimeout(): PipelineError {
  return new PipelineError('contention', 'somebody else holds the lock for too long');
}

function connectionLost(): PipelineError {
  return new PipelineError('postgres_unavailable', 'the connection to Postgres is lost');
}
