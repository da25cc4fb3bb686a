import type { ClientBase } from 'pg';
import type { BatchReport, MaskedBatch } from '../batch.js';
import { type Clock, systemClock } from '../clock.js';
import { PipelineError } from '../errors.js';
import type { PostgresPool } from './connection.js';
import { beginUndecided, decideCommitted } from './fate.js';
import { type Place, RowRefused, asOutage, on, withinLimits } from './postgres-error.js';
import {
  type Section,
  type SinkTarget,
  countRows,
  rowsDropped,
  rowsWithout,
  sectionsOf,
} from './sections.js';
import { writeRows } from './upsert.js';

/** Quarantine entries on their way to the tables, all with the same columns. */
export interface ReplayBatch extends Pick<
  MaskedBatch,
  'batchId' | 'runId' | 'pipeline' | 'receivedAt' | 'kids' | 'columns' | 'rows' | 'several'
> {
  /** Null when what made the rows is not known any more. */
  readonly policySha256: string | null;
  /** The entry of each record; the records of one that is several stand together, and load all or none. */
  readonly ids: readonly string[];
  /** When the message of each record was sent, in epoch ms: among rows of one key the last sent wins. */
  readonly sentAts: readonly number[];
  /** Entries that turn out to hold no record. */
  readonly empty?: readonly string[];
  /** Entries that can't be made a row today, and why. */
  readonly stays: readonly Stay[];
  /** Entries that can't be opened: they stay as they are. The code is for the report. */
  readonly unopened: readonly { readonly id: string; readonly code: string }[];
}

/** Why an entry stays in quarantine. */
export interface Stay {
  readonly id: string;
  readonly code: string;
  readonly path: string | null;
}

/** Where a replay's transaction is, for failpoints: just after each step. */
export type ReplayStep = 'locked' | 'copied' | 'decided' | 'committed';

/** What replaying takes. */
export interface ReplayOptions extends SinkTarget {
  readonly pool: PostgresPool;
  /** Tables that records have rows in besides `target`. */
  readonly further?: readonly SinkTarget[];
  readonly clock?: Clock;
  /** Waited for at each step, the transaction open: where tests freeze or kill a replay. */
  readonly onStep?: (step: ReplayStep, batchId: string) => Promise<void> | void;
}

// Sorted, or two replays of the same entries deadlock. Who comes second waits here, and then finds them claimed.
const LOCK = `
  select id from maskline.quarantine where id = any($1::uuid[]) and replayed_at is null order by id for update`;
const CLAIM =
  'update maskline.quarantine set replayed_at = now(), replayed_in = $2 where id = any($1::uuid[])';
// Apart from the others, so that a role without the right to it can replay what is one row each.
const CLAIM_ROWS = `
  update maskline.quarantine as q set replayed_at = now(), replayed_in = $2, replayed_rows = t.rows
    from unnest($1::uuid[], $3::int[]) as t (id, rows) where q.id = t.id`;
const STAY = `
  update maskline.quarantine as q set code = t.code, path = t.path
    from unnest($1::uuid[], $2::text[], $3::text[]) as t (id, code, path)
   where q.id = t.id and (q.code, q.path) is distinct from (t.code, t.path)`;

const MASKLINE: Place = { kind: 'maskline' };

/** An entry, and its records of the batch. */
interface Entry {
  readonly id: string;
  readonly records: readonly number[];
}

function recordsOf(entries: readonly Entry[]): ReadonlySet<number> {
  return new Set(entries.flatMap(({ records }) => records));
}

/**
 * One batch of a replay: entries are claimed in the transaction that loads their rows, and the ledger is not asked,
 * since it has known them from the day they were quarantined.
 */
export class Replay {
  readonly #options: ReplayOptions;
  readonly #batch: ReplayBatch;
  readonly #sections: readonly Section[];
  readonly #clock: Clock;
  #copies = 0;
  #bytes = 0;
  /** Whose rows the server has been sent last. */
  #sending: Section | null = null;
  /** What a COMMIT came to whose answer may have been lost. */
  #decided: BatchReport | null = null;

  /** Throws `table_unfit` for rows of tables that are not among the options', `payload_corrupt` as `sectionsOf`. */
  constructor(options: ReplayOptions, batch: ReplayBatch) {
    this.#options = options;
    this.#batch = batch;
    this.#clock = options.clock ?? systemClock;
    const tables = [options, ...(options.further ?? [])];
    this.#sections = sectionsOf({ ...batch, keys: batch.ids }, tables);
    if (batch.ids.length === batch.sentAts.length) return;
    throw new RangeError('a replay needs the time of each of its records');
  }

  /**
   * Loads the rows of the entries that are open still, claims those entries, notes on the others why they stay, and
   * gives the batch its fate, in one transaction. May be called again after any error: a COMMIT whose answer was lost
   * is answered by the fate. Throws `postgres_unavailable` (contention too), `statement_timeout`, `table_unfit`,
   * `permission_denied`, `row_count_differs`.
   */
  async commit(): Promise<BatchReport> {
    const { schema, table } = this.#options.target;
    const what = `batch ${this.#batch.batchId} for table ${schema}.${table}`;
    const attempt = () => this.#options.pool.withClient((client) => this.#attempt(client));
    return withinLimits(what, () => asOutage(attempt));
  }

  async #attempt(client: ClientBase): Promise<BatchReport> {
    const { batchId } = this.#batch;
    const started = this.#clock.now();
    this.#copies = 0;
    this.#bytes = 0;
    if (!(await on(MASKLINE, beginUndecided(client, batchId)))) return this.#known(client);
    const open = await this.#lock(client);
    await this.#options.onStep?.('locked', batchId);
    const entries = this.#inOrder(this.#entries().filter(({ id }) => open.has(id)));
    const refused: Stay[] = [];
    await this.#load(client, entries, refused);
    const copyMs = this.#clock.now() - started;
    await this.#options.onStep?.('copied', batchId);
    const stays = [...this.#batch.stays.filter(({ id }) => open.has(id)), ...refused];
    const isRefused = new Set(refused.map(({ id }) => id));
    const loaded = entries.filter(({ id }) => !isRefused.has(id));
    await this.#note(client, open, loaded, stays);
    const unopened = this.#batch.unopened.filter(({ id }) => open.has(id));
    const records = recordsOf(loaded);
    const report = this.#count(open, records.size, [...stays, ...unopened]);
    const furtherRows = this.#furtherRows(records);
    const fate = { ...this.#batch, keys: [], rejections: [] };
    if (!(await on(MASKLINE, decideCommitted(client, fate, { ...report, held: [], furtherRows }))))
      return this.#known(client);
    const ms = { ledger: 0, copy: copyMs, total: this.#clock.now() - started };
    this.#decided = { ...report, ...(furtherRows === null ? {} : { furtherRows }), ms };
    await this.#options.onStep?.('decided', batchId);
    const { command } = await on(MASKLINE, client.query('commit'));
    if (command !== 'COMMIT') throw new PipelineError('unexpected', `COMMIT was answered by ${command}`);
    await this.#options.onStep?.('committed', batchId);
    return this.#decided;
  }

  /** An attempt before this one was committed, though its answer was lost: nobody else knows the batch's id. */
  async #known(client: ClientBase): Promise<BatchReport> {
    await on(MASKLINE, client.query('rollback'));
    if (this.#decided) return this.#decided;
    throw new PipelineError('unexpected', `batch ${this.#batch.batchId} has a fate that nobody gave it`);
  }

  /** Parts are loaded one after the other, and of one key what comes last stays: then that must be what was sent last. */
  #inOrder(entries: readonly Entry[]): readonly Entry[] {
    if (!this.#sections.some(({ target }) => target.upsert)) return entries;
    const sentAt = ({ records: [first = 0] }: Entry): number => this.#batch.sentAts[first] ?? 0;
    return entries.toSorted((a, b) => sentAt(a) - sentAt(b));
  }

  #entries(): readonly Entry[] {
    const entries: { readonly id: string; readonly records: number[] }[] = [];
    for (const [record, id] of this.#batch.ids.entries()) {
      const last = entries.at(-1);
      if (last?.id === id) last.records.push(record);
      else entries.push({ id, records: [record] });
    }
    return entries;
  }

  /** Locks the entries that nobody has replayed or deleted. */
  async #lock(client: ClientBase): Promise<ReadonlySet<string>> {
    const { ids, empty = [], stays, unopened } = this.#batch;
    const all = [...ids, ...empty, ...stays.map(({ id }) => id), ...unopened.map(({ id }) => id)];
    const { rows } = await on(MASKLINE, client.query<{ id: string }>(LOCK, [all]));
    return new Set(rows.map(({ id }) => id));
  }

  /**
   * Copies the rows, all at once; where a table refuses one, each half by itself, down to the entries of those. A
   * savepoint each time keeps what the tables have taken before.
   */
  async #load(client: ClientBase, entries: readonly Entry[], refused: Stay[]): Promise<void> {
    if (entries.length === 0) return;
    await on(MASKLINE, client.query('savepoint part'));
    try {
      await this.#copy(client, recordsOf(entries));
      await on(MASKLINE, client.query('release savepoint part'));
    } catch (error) {
      if (!(error instanceof RowRefused)) throw error;
      await on(MASKLINE, client.query('rollback to savepoint part; release savepoint part'));
      const middle = entries.length >> 1;
      if (middle === 0) {
        const { sqlstate, column } = error.fault;
        const path = column === null ? null : (this.#sending?.paths.get(column) ?? null);
        refused.push(...entries.map(({ id }) => ({ id, code: `refused_${sqlstate}`, path })));
        return;
      }
      await this.#load(client, entries.slice(0, middle), refused);
      await this.#load(client, entries.slice(middle), refused);
    }
  }

  /** The rows of those records, table by table. */
  async #copy(client: ClientBase, records: ReadonlySet<number>): Promise<void> {
    const { ids, sentAts } = this.#batch;
    const others = new Set([...ids.keys()].filter((record) => !records.has(record)));
    this.#copies += 1;
    for (const section of this.#sections) {
      const { rows, lines } = rowsWithout(section, others);
      if (lines.length === 0) continue;
      this.#sending = section;
      const { target, place, columns } = section;
      const times = lines.map((line) => sentAts[section.records[line] ?? 0] ?? 0);
      const taken = await on(place, writeRows(client, target, columns, rows, times));
      if (taken !== lines.length) throw rowsDropped(section, this.#batch, lines.length, taken);
      this.#bytes += rows.length;
    }
  }

  /** How many rows of those records went into each further table; null where there is none. */
  #furtherRows(loaded: ReadonlySet<number>): { readonly [table: string]: number } | null {
    const [, ...further] = this.#sections;
    return further.length === 0 ? null : countRows(further, loaded);
  }

  /** Claims the entries whose rows were loaded, and says of the others why they stay. */
  async #note(
    client: ClientBase,
    open: ReadonlySet<string>,
    loaded: readonly Entry[],
    stays: readonly Stay[],
  ): Promise<void> {
    const { batchId, empty = [] } = this.#batch;
    const none = empty.filter((id) => open.has(id)).map((id) => ({ id, records: [] }));
    const single = loaded.filter(({ records }) => records.length === 1).map(({ id }) => id);
    const others = [...loaded.filter(({ records }) => records.length > 1), ...none];
    if (single.length > 0) await on(MASKLINE, client.query(CLAIM, [single, batchId]));
    if (others.length > 0) {
      const values = [others.map(({ id }) => id), batchId, others.map(({ records }) => records.length)];
      await on(MASKLINE, client.query(CLAIM_ROWS, values));
    }
    if (stays.length === 0) return;
    const values = [stays.map(({ id }) => id), stays.map(({ code }) => code), stays.map(({ path }) => path)];
    await on(MASKLINE, client.query(STAY, values));
  }

  /** In records; an entry that stays counts as one, since nobody has looked at all that it holds. */
  #count(
    open: ReadonlySet<string>,
    loaded: number,
    stay: readonly { readonly code: string }[],
  ): Omit<BatchReport, 'ms'> {
    const { batchId, runId, pipeline, ids, stays, unopened } = this.#batch;
    const codes: { [code: string]: number } = {};
    for (const { code } of stay) codes[code] = (codes[code] ?? 0) + 1;
    const quarantined = stay.length;
    // Somebody else has replayed them, or deleted them.
    const others = [...ids, ...stays.map(({ id }) => id), ...unopened.map(({ id }) => id)];
    const duplicates = others.filter((id) => !open.has(id)).length;
    const received = loaded + quarantined + duplicates;
    return {
      ...{ batchId, runId, pipeline, received, loaded, quarantined, released: 0 },
      duplicates,
      bytes: this.#bytes,
      copies: this.#copies,
      codes,
    };
  }
}
