import { type PostgresQueueBackend, Queue, QueueEvents, createPostgresBackend } from 'bullmq';
import { postgresClientOptions } from '../address/postgres-url.js';
import { Sockets } from '../address/sockets.js';
import { PipelineError } from '../errors.js';
import { type JobQuery, failedOnPostgres } from './bullmq-failed-postgres.js';
import {
  COMMAND_LIMIT_MS,
  CONNECT_LIMIT_MS,
  KEEP_ALIVE_MS,
  type Link,
  type LinkOptions,
  LockedWorker,
  STREAMS,
  placeOf,
} from './bullmq-link.js';
import type { Backlog } from './queue.js';

/** One connection adds and asks; a second is there when an answer takes its time. */
const PRODUCER_CONNECTIONS = 2;
/** Taking, finishing and renewing overlap; what is more than this waits its turn. */
const WORKER_CONNECTIONS = 4;
/** A worker's statements carry whole batches and may wait for locks. */
const STATEMENT_LIMIT_MS = 15_000;

/** A migration may wait for another process that is at it. */
const MIGRATION_LIMIT_MS = 60_000;

/** A queue on Postgres, in the schema `<prefix>_queue`. Opens no connection yet. Throws `config_invalid`. */
export function postgresLink(options: LinkOptions): Link {
  const { name } = options;
  const sockets = new Sockets();
  const common = { ...connectionOptions(options), stream: sockets.open };
  const limitMs = options.migrate ? MIGRATION_LIMIT_MS : COMMAND_LIMIT_MS;
  const connection = { ...common, max: PRODUCER_CONNECTIONS, query_timeout: limitMs };
  const open = () => new Queue(name, { connection, streams: STREAMS }, createPostgresBackend);
  let latest: ReturnType<typeof open> | null = null;
  const query = async <Row>(sql: string, values: readonly unknown[]): Promise<readonly Row[]> => {
    const found = await latest?.getBackend().connection.pool.query<Row>(sql, values);
    return found?.rows ?? [];
  };
  return {
    backend: 'postgres',
    place: placeOf(options),
    openQueue: () => {
      latest = open();
      latest.on('error', options.onError);
      outlive(latest.getBackend());
      return latest;
    },
    openWorker: (processor, settings) => {
      const own = { ...common, max: WORKER_CONNECTIONS, query_timeout: STATEMENT_LIMIT_MS };
      const worker = new LockedWorker(
        name,
        processor,
        { ...settings, connection: own },
        createPostgresBackend,
      );
      outlive(worker.getBackend());
      return worker;
    },
    openEvents: () => {
      const events = new QueueEvents(name, { connection: { ...common, max: 2 } }, createPostgresBackend);
      outlive(events.getBackend());
      return events;
    },
    // BullMQ answers for one id at a time, and counts nothing that waits in a paused queue.
    states: async (ids) => {
      const sql = 'SELECT id, state::text AS state FROM job WHERE queue = $1 AND id = ANY ($2::text[])';
      const states = new Map<string, string>();
      const rows = await query<{ id: string; state: string }>(sql, [name, ids]);
      for (const row of rows) states.set(row.id, row.state);
      return ids.map((id) => {
        if (!states.has(id)) return 'absent';
        return states.get(id) === 'failed' ? 'failed' : 'live';
      });
    },
    backlog: () => postgresBacklog(query, name),
    memory: () => Promise.resolve(null),
    failed: failedOnPostgres(query, name),
    close: () => sockets.hangUp(),
  };
}

async function postgresBacklog(query: JobQuery, queue: string): Promise<Backlog> {
  const sql = 'SELECT state::text AS state, count(*)::int AS jobs FROM job WHERE queue = $1 GROUP BY 1';
  const jobs = new Map<string, number>();
  const rows = await query<{ state: string; jobs: number }>(sql, [queue]);
  for (const row of rows) jobs.set(row.state, row.jobs);
  const of = (state: string): number => jobs.get(state) ?? 0;
  return { waiting: of('waiting') + of('delayed'), active: of('active'), failed: of('failed') };
}

/** What BullMQ is told of server, schema and connections. Throws `config_invalid`. */
function connectionOptions({ url, tls = null, prefix, name, migrate }: LinkOptions) {
  if (!/^[A-Za-z_][A-Za-z0-9_]{0,50}$/.test(prefix)) {
    const message = 'queue.prefix must be letters, digits and underscores when the queue is on Postgres';
    throw new PipelineError('config_invalid', message);
  }
  return {
    ...postgresClientOptions(url, tls),
    schema: `${prefix}_queue`,
    migrate,
    connectionTimeoutMillis: CONNECT_LIMIT_MS,
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEP_ALIVE_MS,
    application_name: `maskline ${name}`,
  };
}

/** A connection that is lost while BullMQ has it in hand has no listener for that, which would end the process. */
function outlive({ connection: { pool } }: PostgresQueueBackend): void {
  pool.on('connect', (client) => client.on('error', () => undefined));
}
