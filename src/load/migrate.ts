import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { TlsFiles } from '../address/tls.js';
import { PipelineError } from '../errors.js';
import { type PostgresPool, createPool } from './connection.js';
import { ensureLedgerPartitions } from './ledger.js';

/** What of this version's migrations the database has; names without `.sql`, oldest first. */
export interface MigrationStatus {
  readonly applied: readonly string[];
  readonly pending: readonly string[];
  /** Of a newer version: no fault, since a newer schema serves older processes too. */
  readonly newer: readonly string[];
}

/** What `migrate` did, or would do. */
export interface MigrationResult {
  /** Names of the migrations. */
  readonly migrations: readonly string[];
  /** Their SQL; empty unless it was a dry run. */
  readonly sql: string;
  /** How many daily partitions of the ledger were made. */
  readonly partitions: number;
}

const SCHEMA = 'maskline';
const TABLE = 'migrations';
/** From `src/load` as from its compiled copy in `dist/src/load`, the files lie in the package's `src/load`. */
const DIRECTORIES = ['./migrations/', '../../../src/load/migrations/'];
/** Ours alone, unlike the runner's default, which every application shares that uses it. */
const LOCK_ID = 5_142_760_932_450;
/** Building an index on a large ledger takes a while, and so does waiting for somebody else who does it. */
const STATEMENT_TIMEOUT_MS = 30 * 60_000;

/**
 * Brings the schema `maskline` up to date and makes the ledger's partitions; with `dryRun` it changes nothing and
 * returns the SQL. Idempotent; when several run at once, one works and the others wait for it. Throws
 * `permission_denied`, `postgres_unavailable`, `unexpected`.
 */
export async function migrate(
  url: string,
  options: { readonly dryRun?: boolean; readonly tls?: TlsFiles | null } = {},
): Promise<MigrationResult> {
  const pool = createPool({
    url,
    tls: options.tls ?? null,
    applicationName: 'maskline-migrate',
    // The runner changes the session; the connection is used for nothing else.
    max: 1,
    statementTimeoutMs: STATEMENT_TIMEOUT_MS,
    lockTimeoutMs: STATEMENT_TIMEOUT_MS,
    idleInTransactionTimeoutMs: STATEMENT_TIMEOUT_MS,
  });
  try {
    if (options.dryRun) {
      const { pending } = await migrationStatus(pool);
      return { migrations: pending, sql: await readMigrations(pending), partitions: 0 };
    }
    const migrations = await runPending(pool);
    return { migrations, sql: '', partitions: await ensureLedgerPartitions(pool) };
  } finally {
    await pool.close();
  }
}

async function runPending(pool: PostgresPool): Promise<readonly string[]> {
  // Loaded here, as it brings half a compiler along that no other command needs.
  const { runner } = await import('node-pg-migrate');
  const dir = await migrationsDirectory();
  return pool.withClient(async (client) => {
    await client.query(`select pg_advisory_lock(${LOCK_ID})`);
    const { rows } = await client.query(`select from pg_namespace where nspname = $1`, [SCHEMA]);
    // Not "if not exists", which wants the right to make schemas even when this one is there.
    if (rows.length === 0) await client.query(`create schema ${SCHEMA}`);
    const run = await runner({
      dbClient: client,
      dir,
      direction: 'up',
      schema: SCHEMA,
      migrationsSchema: SCHEMA,
      migrationsTable: TABLE,
      singleTransaction: true,
      noLock: true,
      logger: { debug: quiet, info: quiet, warn: quiet, error: quiet },
    });
    await client.query(`select pg_advisory_unlock(${LOCK_ID}); reset search_path`);
    return run.map((migration) => migration.name);
  });
}

/** What the runner says is said by our result; on an error it would print whole statements. */
function quiet(): void {}

/** What the database has of this version's migrations. Throws `permission_denied`, `postgres_unavailable`. */
export async function migrationStatus(pool: Pick<PostgresPool, 'query'>): Promise<MigrationStatus> {
  const ours = await migrationNames();
  const there = await pool.query<{ there: boolean }>(
    `select to_regclass('${SCHEMA}.${TABLE}') is not null as there`,
  );
  const { rows } = there.rows[0]?.there
    ? await pool.query<{ name: string }>(`select name from ${SCHEMA}.${TABLE} order by id`)
    : { rows: [] };
  const run = rows.map((row) => row.name);
  return {
    applied: ours.filter((name) => run.includes(name)),
    pending: ours.filter((name) => !run.includes(name)),
    newer: run.filter((name) => !ours.includes(name)),
  };
}

/** Throws `schema_outdated` unless the database has all of this version's migrations. */
export async function checkSchema(pool: Pick<PostgresPool, 'query'>): Promise<void> {
  const { applied, pending } = await migrationStatus(pool);
  if (pending.length === 0) return;
  const what = applied.length === 0 ? 'is missing' : `lacks ${pending.join(', ')}`;
  throw new PipelineError('schema_outdated', `the schema ${SCHEMA} ${what}; run \`maskline migrate\``);
}

async function migrationsDirectory(): Promise<string> {
  for (const relative of DIRECTORIES) {
    const directory = fileURLToPath(new URL(relative, import.meta.url));
    const names = await readdir(directory).catch(() => []);
    if (names.some((name) => name.endsWith('.sql'))) return directory;
  }
  throw new PipelineError(
    'unexpected',
    'the migrations are missing from this installation; install maskline again',
  );
}

async function migrationNames(): Promise<readonly string[]> {
  const names = await readdir(await migrationsDirectory());
  return names
    .filter((name) => name.endsWith('.sql'))
    .map((name) => name.slice(0, -'.sql'.length))
    .sort();
}

async function readMigrations(names: readonly string[]): Promise<string> {
  const directory = await migrationsDirectory();
  const texts = await Promise.all(names.map((name) => readFile(join(directory, `${name}.sql`), 'utf8')));
  return texts.join('\n');
}
