import { mkdir, mkdtemp, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { type EmbeddedPostgres, reapOrphans, startPostgres } from '../../src/embedded/postgres.js';
import { migrate } from '../../src/load/migrate.js';

/** A Postgres of one test file's own. */
export interface TestPostgres {
  readonly server: EmbeddedPostgres;
  /** Makes an empty database and returns its URL: one for each test. */
  database(): Promise<string>;
  /** The same, with maskline's schema in it. */
  migratedDatabase(): Promise<string>;
  /** What the server has logged so far. */
  log(): Promise<string>;
  /** Stops the server and removes its files. */
  stop(): Promise<void>;
}

/** Starts a Postgres that survives nothing, on a free port; to be stopped in `after`. */
export async function startTestPostgres(
  settings: Readonly<{ [name: string]: string }> = {},
): Promise<TestPostgres> {
  const root = join(tmpdir(), `maskline-test-postgres-${process.getuid?.() ?? 0}`);
  await mkdir(root, { recursive: true, mode: 0o755 });
  await reapOrphans(root);
  const dir = await mkdtemp(join(root, 'server-'));
  const server = await startPostgres({ dir, durable: false, temporary: true, settings });
  let databases = 0;
  const create = async (template = 'template1'): Promise<string> => {
    databases += 1;
    const name = `test_${databases}`;
    await withConnection(server.url, (client) =>
      client.query(`create database ${name} template ${template}`),
    );
    const url = new URL(server.url);
    url.pathname = `/${name}`;
    return url.href;
  };
  // Migrated once and copied from then on, which is several times as fast.
  let migrated: Promise<string> | null = null;
  const template = async (): Promise<string> => {
    const url = await create();
    await migrate(url);
    return new URL(url).pathname.slice(1);
  };
  return {
    server,
    database: () => create(),
    migratedDatabase: async () => create(await (migrated ??= template())),
    log: () => readFile(join(server.dir, 'postgres.log'), 'utf8'),
    stop: () => server.stop(),
  };
}

/** Lends a connection of the test's own, apart from those of the code under test. */
export async function withConnection<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client(url);
  client.on('error', () => undefined);
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

/** The rows of one statement. */
export async function rowsOf(
  url: string,
  sql: string,
  values: unknown[] = [],
): Promise<Readonly<{ [column: string]: unknown }>[]> {
  return withConnection(url, async (client) => {
    const result = await client.query<Readonly<{ [column: string]: unknown }>>(sql, values);
    return result.rows;
  });
}
