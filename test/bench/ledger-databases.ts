// One Postgres with two databases of maskline, one to be filled and one to be left empty, and a loader on each.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { PipelineConfig } from '../../src/config/config.js';
import { loadConfig } from '../../src/config/load.js';
import { tablesOf } from '../../src/config/tables.js';
import { initTemplate } from '../../src/config/template.js';
import { type EmbeddedPostgres, startPostgres } from '../../src/embedded/postgres.js';
import type { Releases } from '../../src/lifecycle.js';
import { type PostgresPool, createPool } from '../../src/load/connection.js';
import { migrate } from '../../src/load/migrate.js';
import { createPostgresSink } from '../../src/load/postgres.js';
import type { Sink } from '../../src/load/sink.js';
import { targetSpec } from '../../src/load/target.js';
import { createTarget } from '../../src/load/target-plan.js';
import { sealMasked } from '../../src/masking/quarantined.js';
import { sinkTargetOf } from '../../src/roles/tables.js';
import { testKeyring } from '../support/masking.js';

/** One of the two, migrated and with its target. */
export interface Place {
  readonly url: string;
  readonly pool: PostgresPool;
  readonly sink: Sink;
}

/** Both of them. */
export interface Databases {
  readonly server: EmbeddedPostgres;
  /** The one that `maskline init` writes. */
  readonly pipeline: PipelineConfig;
  readonly full: Place;
  readonly empty: Place;
}

/** Starts a durable Postgres in a directory of its own below that one, which is removed with it. */
export async function openDatabases(releases: Releases, root: string): Promise<Databases> {
  const dir = mkdtempSync(join(root, 'server-'));
  const server = await releases.acquire(
    startPostgres({ dir, searchPath: process.env['PATH'] ?? '', temporary: true }),
    (started) => started.stop(),
  );
  const pipeline = await pipelineOf(releases, root);
  const open = (name: string): Promise<Place> => openPlace(releases, server, pipeline, name);
  return { server, pipeline, full: await open('ledger_full'), empty: await open('ledger_empty') };
}

async function pipelineOf(releases: Releases, root: string): Promise<PipelineConfig> {
  const dir = await releases.acquire(mkdtempSync(join(root, 'file-')), (made) =>
    rmSync(made, { recursive: true }),
  );
  const file = join(dir, 'maskline.yaml');
  writeFileSync(file, initTemplate().yaml);
  // Nothing connects to any of them.
  const env = { DATABASE_URL: 'postgres://localhost/bench', REDIS_URL: 'memory://', SQS_QUEUE_URL: 'bench' };
  const [pipeline] = loadConfig({ file, env }).pipelines;
  if (pipeline === undefined) throw new TypeError('the template has one pipeline');
  return pipeline;
}

async function openPlace(
  releases: Releases,
  server: EmbeddedPostgres,
  pipeline: PipelineConfig,
  name: string,
): Promise<Place> {
  const anywhere = createPool({ url: server.url, applicationName: 'maskline-bench' });
  try {
    await anywhere.query(`create database ${name}`);
  } finally {
    await anywhere.close();
  }
  const { href: url } = Object.assign(new URL(server.url), { pathname: `/${name}` });
  await migrate(url);
  const pool = await releases.acquire(createPool({ url, applicationName: 'maskline-load' }), (made) =>
    made.close(),
  );
  const [table] = tablesOf(pipeline);
  await createTarget(pool, targetSpec(table, table.target));
  const keyring = testKeyring();
  const sink = createPostgresSink({
    pool,
    ...sinkTargetOf(table),
    sealer: { seal: (id, plain, form) => sealMasked(keyring, id, plain, form) },
  });
  return { url, pool, sink };
}

/** The server's version, and the size of the ledger that was filled. */
export async function postgresFacts({
  full,
}: Databases): Promise<{ readonly ledger_gib: number; readonly postgres: string }> {
  const { rows } = await full.pool.query<{ bytes: number; version: string }>(
    `select sum(pg_total_relation_size(relid))::float8 as bytes, current_setting('server_version') as version
       from pg_partition_tree('maskline.ledger')`,
  );
  const [{ bytes, version } = { bytes: 0, version: '' }] = rows;
  return { ledger_gib: Number((bytes / 2 ** 30).toFixed(2)), postgres: version };
}
