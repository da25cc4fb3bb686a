// A ledger with millions of ids in it, as two weeks of loading leave it, but in minutes.

import { createHash } from 'node:crypto';
import type { EmbeddedPostgres } from '../../src/embedded/postgres.js';
import { type PostgresPool, createPool } from '../../src/load/connection.js';
import type { Databases } from './ledger-databases.js';

/** As long as SQS keeps a message. */
const DAYS = 14;
const DAY_MS = 86_400_000;
const SPAN_MS = DAYS * DAY_MS;
/** Of one batch each. */
const BATCH_ROWS = 1_000;
/** Statements at once, each on a partition of its own: one a core of a small machine. */
const AT_ONCE = 2;
const STATEMENT_TIMEOUT_MS = 3_600_000;

/** A day in UTC, as partitions are named, and the numbers of the ids that were sent on it: from `from` to before `to`. */
interface Day {
  readonly day: string;
  readonly from: number;
  readonly to: number;
}

/** Which ids a ledger is filled with: what the number of one says of it needs no look into the table. */
export class Fill {
  readonly ids: number;
  /** When the first was sent, in epoch ms; the others follow evenly, up to 14 days later. */
  readonly #from: number;

  constructor(ids: number, now: number) {
    this.ids = ids;
    this.#from = now - SPAN_MS;
  }

  /** The id of that number, from 0, as SQS has them: 16 bytes without any order, as a UUID. */
  idOf(n: number): { readonly id: string; readonly sentAt: number } {
    const hex = createHash('md5').update(String(n)).digest('hex');
    const id = [0, 8, 12, 16, 20].map((from, part, starts) => hex.slice(from, starts[part + 1])).join('-');
    return { id, sentAt: this.#from + Number((BigInt(n) * BigInt(SPAN_MS)) / BigInt(this.ids)) };
  }

  /** The days that they were sent on, in order. */
  days(): readonly Day[] {
    const first = Math.floor(this.#from / DAY_MS);
    const last = Math.floor((this.#from + SPAN_MS) / DAY_MS);
    return Array.from({ length: last - first + 1 }, (_, i) => ({
      day: new Date((first + i) * DAY_MS).toISOString().slice(0, 10).replaceAll('-', ''),
      from: this.#firstSince((first + i) * DAY_MS),
      to: this.#firstSince((first + i + 1) * DAY_MS),
    })).filter(({ from, to }) => to > from);
  }

  #firstSince(ms: number): number {
    const since = BigInt(Math.max(0, ms - this.#from)) * BigInt(this.ids);
    return Math.min(this.ids, Number((since + BigInt(SPAN_MS) - 1n) / BigInt(SPAN_MS)));
  }

  /** SQL for the rows of those numbers, in the order of time; $1 is the pipeline. */
  rowsSql(from: number, to: number): string {
    const start = new Date(this.#from).toISOString();
    return `
      select $1, sent_at, convert_to(id, 'UTF8'), id, batch_id, sent_at + interval '1 second', 'loaded'
        from (select md5(n::text)::uuid::text as id,
                     timestamptz '${start}' + n * ${SPAN_MS}::bigint / ${this.ids} * interval '1 millisecond' as sent_at,
                     lpad(to_hex(n / ${BATCH_ROWS}), 32, '0')::uuid as batch_id
                from (select generate_series(${from}::bigint, ${to - 1}::bigint) as n) as numbers
              offset 0) as ids`;
  }
}

/**
 * Fills one ledger and leaves it as autovacuum would, and the server as it was. A table that its own transaction has
 * emptied needs no log at the level `minimal`, which saves half of the time and all of that space.
 */
export async function fillLedger(
  { server, pipeline, full: { url } }: Databases,
  { fill, tell }: { readonly fill: Fill; tell(line: string): void },
): Promise<void> {
  const settings = {
    wal_level: 'minimal',
    max_wal_senders: '0',
    autovacuum: 'off',
    maintenance_work_mem: '256MB',
  };
  await configure(
    server,
    Object.entries(settings).map(([name, value]) => `set ${name} = '${value}'`),
  );
  await onPool(url, AT_ONCE, async (pool) => {
    const days = fill.days();
    const waiting = [...days];
    let done = 0;
    const work = async (): Promise<void> => {
      for (let day = waiting.shift(); day !== undefined; day = waiting.shift()) {
        const startedAt = performance.now();
        await fillDay(pool, fill, pipeline.name, day);
        const rate = (day.to - day.from) / ((performance.now() - startedAt) / 1_000);
        done += day.to - day.from;
        tell(`ledger_${day.day} is filled, ${Math.round(rate)} ids/s; ${done} of ${fill.ids}`);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    // A stop that has much to write takes longer than it is given.
    await pool.query('checkpoint');
  });
  await configure(server, ['reset all']);
}

async function fillDay(
  pool: PostgresPool,
  fill: Fill,
  pipeline: string,
  { day, from, to }: Day,
): Promise<void> {
  const table = `maskline.ledger_${day}`;
  await pool.transaction(async (client) => {
    await client.query(`truncate ${table}`);
    await client.query(
      `insert into ${table} (pipeline, sent_at, key, record_id, batch_id, loaded_at, outcome) ${fill.rowsSql(from, to)}`,
      [pipeline],
    );
  });
  await pool.query(`vacuum (analyze) ${table}`);
}

/** Restarts it with its configuration changed so. */
async function configure(server: EmbeddedPostgres, changes: readonly string[]): Promise<void> {
  await onPool(server.url, 1, async (pool) => {
    for (const change of changes) await pool.query(`alter system ${change}`);
  });
  await server.restart({ mode: 'fast' });
}

async function onPool(url: string, max: number, work: (pool: PostgresPool) => Promise<void>): Promise<void> {
  const pool = createPool({
    url,
    applicationName: 'maskline-bench',
    max,
    statementTimeoutMs: STATEMENT_TIMEOUT_MS,
    idleInTransactionTimeoutMs: STATEMENT_TIMEOUT_MS,
  });
  try {
    await work(pool);
  } finally {
    await pool.close();
  }
}
