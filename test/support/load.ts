import { createHash } from 'node:crypto';
import { uuidv7 } from 'uuidv7';
import type { MaskedBatch, RecordKey, Rejection } from '../../src/batch.js';
import { encodeField } from '../../src/copy-text.js';
import { type PostgresPool, createPool } from '../../src/load/connection.js';
import { type PostgresSinkOptions, createPostgresSink } from '../../src/load/postgres.js';
import type { Sink } from '../../src/load/sink.js';
import { asMasked } from '../../src/masking/masked.js';
import type { TestPostgres } from './postgres.js';
import { withConnection } from './postgres.js';

const DAY_MS = 86_400_000;

/** The middle of yesterday, in UTC. */
export const NOON = Math.floor(Date.now() / DAY_MS) * DAY_MS - DAY_MS / 2;

/** A row to be loaded: values in the order of the columns, null for SQL NULL. */
export interface TestRow {
  readonly id: string;
  readonly sentAt?: number;
  readonly values: readonly (string | null)[];
}

/** A rejection, as far as tests care. */
export type TestRejection = Pick<Rejection, 'id'> & Partial<Rejection>;

/** What of a batch a test sets itself. */
export interface TestBatch extends Partial<Omit<MaskedBatch, 'rows' | 'keys' | 'rejections'>> {
  readonly rows?: readonly TestRow[];
  readonly rejections?: readonly TestRejection[];
}

/** The columns of `EVENTS`. */
const COLUMNS = ['name', 'n', 'note'] as const;

/** The table that most tests load. */
const EVENTS = 'create table public.events (name varchar(10), n integer, note text)';

/** A batch of one message per record, in the order given. */
export function batchOf(test: TestBatch): MaskedBatch {
  const { rows = [], rejections = [], ...rest } = test;
  const key = (record: { id: string; sentAt?: number }, message: number): RecordKey => ({
    id: record.id,
    sentAt: record.sentAt ?? NOON,
    messageId: record.id,
    message,
  });
  const lines = rows.map((row) => row.values.map((v) => (v === null ? '\\N' : encodeField(v))).join('\t'));
  return {
    batchId: uuidv7(),
    runId: uuidv7(),
    pipeline: 'logins',
    messages: rows.length + rejections.length,
    receivedAt: NOON + 1_000,
    policySha256: createHash('sha256').update('policy').digest('hex'),
    kids: [1],
    columns: COLUMNS,
    keys: rows.map((row, index) => key(row, index)),
    rows: asMasked(Buffer.from(lines.map((line) => `${line}\n`).join(''))),
    rejections: rejections.map((rejection, index) => ({
      ...key(rejection, rows.length + index),
      quarantineId: uuidv7(),
      code: 'missing_field',
      path: 'ip',
      kind: 'raw',
      sealed: Buffer.from(`sealed ${rejection.id}`),
      kid: 1,
      held: false,
      ...rejection,
    })),
    ...rest,
  };
}

/** Rows named `prefix0`, `prefix1`, … that the table takes. */
export function goodRows(prefix: string, count: number): readonly TestRow[] {
  return Array.from({ length: count }, (_, i) => ({
    id: `${prefix}${i}`,
    values: [`r${i}`, String(i), null],
  }));
}

/** A sink on a fresh, migrated database with a table. */
export interface TestSink {
  readonly url: string;
  readonly pool: PostgresPool;
  readonly sink: Sink;
  /** Another sink on the same table, with connections of its own; closed with the first. */
  another(options?: Partial<PostgresSinkOptions>): Sink;
  close(): Promise<void>;
}

/** Makes the database, runs `ddl` in it, and gives a sink on `public.events`. */
export async function openSink(
  server: TestPostgres,
  ddl: string = EVENTS,
  options: Partial<PostgresSinkOptions> = {},
): Promise<TestSink> {
  const url = await server.migratedDatabase();
  await withConnection(url, (client) => client.query(ddl));
  const pools: PostgresPool[] = [];
  const make = (own: Partial<PostgresSinkOptions>): [PostgresPool, Sink] => {
    const pool = own.pool ?? createPool({ url, applicationName: 'maskline-test' });
    pools.push(pool);
    const sink = createPostgresSink({
      pool,
      target: { schema: 'public', table: 'events' },
      // Stands for the keyring: what was sealed, and for which row, can be read back by the test.
      sealer: { seal: (id, plain) => ({ kid: 7, sealed: Buffer.concat([Buffer.from(`${id}|`), plain]) }) },
      paths: new Map([
        ['name', 'user.name'],
        ['n', 'count'],
        ['note', 'note'],
      ]),
      ...own,
    });
    return [pool, sink];
  };
  const [pool, sink] = make(options);
  return {
    url,
    pool,
    sink,
    another: (own = {}) => make(own)[1],
    close: async () => {
      await Promise.all(pools.map((each) => each.close()));
    },
  };
}
