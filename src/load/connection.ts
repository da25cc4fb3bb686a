import { Pool, type PoolClient, type QueryResult, type QueryResultRow } from 'pg';
import { postgresClientOptions } from '../address/postgres-url.js';
import { Sockets } from '../address/sockets.js';
import type { TlsFiles } from '../address/tls.js';
import { PipelineError } from '../errors.js';
import { type Place, RowRefused, asPostgresError } from './postgres-error.js';

/** How Postgres is reached, and how long its answers may take. */
export interface PostgresPoolOptions {
  /** postgres://…, with libpq's sslmode, sslrootcert, sslcert and sslkey, and pg's other parameters. */
  readonly url: string;
  /** Asks for TLS with the server verified, by these files. */
  readonly tls?: TlsFiles | null;
  /** What pg_stat_activity shows, e.g. `maskline-load`. */
  readonly applicationName: string;
  /** Connections at most. Default 4. */
  readonly max?: number;
  /** Default 60 s: longer than the longest honest COPY. */
  readonly statementTimeoutMs?: number;
  /** Default 5 s. */
  readonly lockTimeoutMs?: number;
  /** Default 10 s: so long may a loader that froze between two statements hold its locks. */
  readonly idleInTransactionTimeoutMs?: number;
  /** Default 5 s. */
  readonly connectTimeoutMs?: number;
}

/** Connections to one database. Every error that leaves it is a PipelineError that quotes no data. */
export interface PostgresPool {
  /** One statement of its own. May be called in parallel. */
  query<R extends QueryResultRow = QueryResultRow>(
    text: string,
    values?: readonly unknown[],
  ): Promise<QueryResult<R>>;
  /** Lends a connection. It is thrown away if `work` throws, for nobody knows what state it is in. */
  withClient<T>(work: (client: PoolClient) => Promise<T>, place?: Place): Promise<T>;
  /** `withClient` between BEGIN and a COMMIT that is durable, or a ROLLBACK when `work` throws. */
  transaction<T>(work: (client: PoolClient) => Promise<T>, place?: Place): Promise<T>;
  /** Closes the connections once they are given back. Safe twice. */
  close(): Promise<void>;
}

const MAX_CONNECTIONS = 4;
/** In sessions that ask for no other: longer than the longest honest COPY. */
export const STATEMENT_TIMEOUT_MS = 60_000;
const LOCK_TIMEOUT_MS = 5_000;
const IDLE_IN_TRANSACTION_TIMEOUT_MS = 10_000;
const CONNECT_TIMEOUT_MS = 5_000;
/** A server that stopped answering altogether is given up this long after it should have timed out itself. */
const ANSWER_GRACE_MS = 10_000;
/** The server gives up a client that is unplugged after 5 s and three probes 5 s apart, and frees its locks. */
const KEEPALIVE_S = 5;
const KEEPALIVE_PROBES = 3;

/**
 * A pool for that URL; connects when first used. Throws `config_invalid` when the URL can't be read, asks for what
 * would not be safe, or names a file that can't be read.
 */
export function createPool(options: PostgresPoolOptions): PostgresPool {
  const statementTimeoutMs = options.statementTimeoutMs ?? STATEMENT_TIMEOUT_MS;
  const settings = [
    `set statement_timeout = ${statementTimeoutMs}`,
    `set lock_timeout = ${options.lockTimeoutMs ?? LOCK_TIMEOUT_MS}`,
    `set idle_in_transaction_session_timeout = ${options.idleInTransactionTimeoutMs ?? IDLE_IN_TRANSACTION_TIMEOUT_MS}`,
    `set tcp_keepalives_idle = ${KEEPALIVE_S}`,
    `set tcp_keepalives_interval = ${KEEPALIVE_S}`,
    `set tcp_keepalives_count = ${KEEPALIVE_PROBES}`,
    "set timezone = 'UTC'",
    "set datestyle = 'ISO'",
    "set client_min_messages = 'error'",
  ].join('; ');
  const sockets = new Sockets();
  const pool = new Pool({
    ...postgresClientOptions(options.url, options.tls ?? null),
    application_name: options.applicationName,
    max: options.max ?? MAX_CONNECTIONS,
    connectionTimeoutMillis: options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS,
    query_timeout: statementTimeoutMs + ANSWER_GRACE_MS,
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEPALIVE_S * 1_000,
    stream: sockets.open,
  });
  // A connection that is lost while idle is replaced at the next use; without a listener it ends the process.
  pool.on('error', () => undefined);
  // pg's own listener is off while a client is lent out, when losing the server would end the process too.
  pool.on('connect', (client) => client.on('error', () => undefined));
  return new Connections(pool, settings, sockets);
}

class Connections implements PostgresPool {
  readonly #pool: Pool;
  readonly #settings: string;
  readonly #sockets: Sockets;
  readonly #prepared = new WeakSet<PoolClient>();
  #closed: Promise<void> | null = null;

  constructor(pool: Pool, settings: string, sockets: Sockets) {
    this.#pool = pool;
    this.#sockets = sockets;
    this.#settings = settings;
  }

  async query<R extends QueryResultRow>(
    text: string,
    values: readonly unknown[] = [],
  ): Promise<QueryResult<R>> {
    return this.withClient((client) => client.query<R>(text, [...values]));
  }

  async withClient<T>(work: (client: PoolClient) => Promise<T>, place?: Place): Promise<T> {
    const client = await this.#borrow();
    let result: T;
    try {
      result = await work(client);
    } catch (error) {
      client.release(true);
      throw asPipeline(error, place);
    }
    client.release();
    return result;
  }

  async transaction<T>(work: (client: PoolClient) => Promise<T>, place?: Place): Promise<T> {
    return this.withClient(async (client) => {
      await client.query('begin; set local synchronous_commit = on');
      // When `work` throws, the connection is thrown away, and the transaction with it.
      const result = await work(client);
      const { command } = await client.query('commit');
      // An aborted transaction answers COMMIT with ROLLBACK, and no error.
      if (command !== 'COMMIT') throw new PipelineError('unexpected', `COMMIT was answered by ${command}`);
      return result;
    }, place);
  }

  async #borrow(): Promise<PoolClient> {
    let client: PoolClient | null = null;
    try {
      client = await this.#pool.connect();
      // By SET, not as start-up parameters: poolers between here and the server refuse those.
      if (!this.#prepared.has(client)) await client.query(this.#settings);
      this.#prepared.add(client);
      return client;
    } catch (error) {
      client?.release(true);
      throw asPipeline(error);
    }
  }

  async close(): Promise<void> {
    this.#closed ??= this.#close();
    await this.#closed;
  }

  async #close(): Promise<void> {
    await this.#pool.end();
    // The pool waits for no answer to its goodbye; the process would, for ever if the server has fallen silent.
    this.#sockets.hangUp();
  }
}

function asPipeline(error: unknown, place?: Place): PipelineError {
  const mapped = asPostgresError(error, place);
  if (mapped instanceof RowRefused) return new PipelineError('table_unfit', mapped.message);
  return mapped;
}
