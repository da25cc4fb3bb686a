// Orders with their items and contacts: a pipeline of three tables in a database, with nothing but Postgres around it.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { uuidv7 } from 'uuidv7';
import { stringify } from 'yaml';
import type { Batch, BatchReport } from '../../src/batch.js';
import { systemClock } from '../../src/clock.js';
import type { PipelineConfig } from '../../src/config/config.js';
import { loadConfig } from '../../src/config/load.js';
import { tablesOf } from '../../src/config/tables.js';
import { recordBaselines } from '../../src/load/baseline.js';
import { type PostgresPool, createPool } from '../../src/load/connection.js';
import { createPostgresSink } from '../../src/load/postgres.js';
import { createVault } from '../../src/load/vault.js';
import type { Keyring } from '../../src/masking/keyring.js';
import { compileMasker } from '../../src/masking/mask.js';
import { sealMasked } from '../../src/masking/quarantined.js';
import { withVault } from '../../src/masking/vaulted.js';
import { createLogger } from '../../src/ops/logger.js';
import { type Deployment, createDeployment } from '../../src/roles/deployment.js';
import { readEnvironment } from '../../src/roles/environment.js';
import { type ReplayResult, replay } from '../../src/roles/replay.js';
import { sinkTargetOf } from '../../src/roles/tables.js';
import { testKeyring } from './masking.js';
import { type TestPostgres, rowsOf, withConnection } from './postgres.js';

const ORDER_ID = { from: 'order_id', required: true, mask: { method: 'siv', domain: 'order' } };

/** What of an order goes where, as maskline.yaml says it. */
export const TARGETS = [
  {
    table: 'orders',
    columns: {
      order_id: ORDER_ID,
      customer: { from: 'customer', mask: { method: 'siv', domain: 'customer' } },
      total: { from: 'total', type: 'integer' },
      key: { from: '$message_id', type: 'text' },
    },
  },
  {
    table: 'order_items',
    from_each: 'items[*]',
    columns: {
      order_id: ORDER_ID,
      line: { from: '$index', type: 'integer' },
      sku: { from: 'items[*].sku', type: 'text', max_length: 12, required: true },
      gift_to: { from: 'items[*].gift_to', mask: { method: 'siv', domain: 'customer' } },
      counted: { from: 'items[*].gift_to', mask: { method: 'hmac', domain: 'customer' } },
      batch: { from: '$batch_id', type: 'uuid' },
    },
  },
  {
    table: 'contacts',
    columns: {
      order_id: ORDER_ID,
      mail: { from: 'mail', mask: { method: 'vault', domain: 'mail', subject: 'customer' } },
      phone: { from: 'phone', mask: { method: 'ff1', domain: 'phone', template: '^(\\d{7})$' } },
      mask_kid: { from: '$mask_kid', type: 'integer' },
      key: { from: '$message_id', type: 'text' },
    },
  },
] as const;

/** The tables: items stand for themselves in no order that is not there, and no order has more than 99 in all. */
export const DDL = `
  create table orders (order_id varchar(256) primary key, customer varchar(256), total integer check (total < 100), key text);
  create table order_items (
    order_id varchar(256) references orders on update cascade, line integer, sku varchar(12) check (sku <> 'none'),
    gift_to varchar(256), counted varchar(256), batch uuid);
  create table contacts (order_id varchar(256), mail varchar(256), phone varchar(7), mask_kid integer, key text)`;

/** An order of some items; `i` makes it different from all others. */
export const order = (i: number, skus: readonly string[], changes: object = {}): string =>
  JSON.stringify({
    order_id: `o-${i}`,
    customer: `customer-${i}`,
    total: skus.length,
    mail: `customer-${i}@example.org`,
    phone: String(5_550_000 + i),
    items: skus.map((sku) => ({ sku, gift_to: `friend-${i}` })),
    ...changes,
  });

/** The pipeline, its database, and what works on them. */
export interface Shop {
  readonly url: string;
  readonly pool: PostgresPool;
  readonly keyring: Keyring;
  pipeline: PipelineConfig;
  readonly deployment: Deployment;
  /** Has the pipeline read from a file with those targets from now on. */
  configure(targets: unknown): Promise<void>;
  /** Masks and loads a batch of one message for each body, as a run on record. */
  load(bodies: readonly string[], keyring?: Keyring): Promise<BatchReport | null>;
  query(sql: string, values?: readonly unknown[]): Promise<readonly { readonly [column: string]: unknown }[]>;
  /** How many rows each table has. */
  counts(): Promise<readonly number[]>;
  close(): Promise<void>;
}

/** Opens a shop with empty tables and their baselines. */
async function openShop(server: TestPostgres, ddl: string): Promise<Shop> {
  const url = await server.migratedDatabase();
  await withConnection(url, (client) => client.query(ddl));
  const dir = mkdtempSync(join(tmpdir(), 'maskline-shop-'));
  const pool = createPool({ url, applicationName: 'maskline-test' });
  const file = join(dir, 'maskline.yaml');
  const read = (targets: unknown) => {
    const pipelines = { shop: { source: { sqs: { queue: 'q' } }, targets } };
    const database = { url: 'postgres://localhost/x' };
    const document = { version: 1, database, queue: { url: 'memory://' }, pipelines };
    writeFileSync(file, stringify(document));
    return loadConfig({ file, env: {} });
  };
  const config = read(TARGETS);
  const pipelineOf = ({ pipelines: [found] }: typeof config): PipelineConfig => {
    if (!found) throw new TypeError('the file has no pipeline');
    return found;
  };
  const log = createLogger({ level: 'silent', pretty: false });
  const query: Shop['query'] = (sql, values) => rowsOf(url, sql, values && [...values]);
  const shop: Shop = {
    ...{ url, pool, query },
    keyring: testKeyring(),
    pipeline: pipelineOf(config),
    deployment: createDeployment(config, readEnvironment({}), log),
    configure: async (targets) => {
      shop.pipeline = pipelineOf(read(targets));
      await recordBaselines(pool, shop.pipeline);
    },
    load: (bodies, keyring = shop.keyring) => loadInto(shop, keyring, bodies),
    counts: async () => {
      const tables = ['orders', 'order_items', 'contacts'];
      const counted = await query(
        `select ${tables.map((table) => `(select count(*)::int from ${table}) as ${table}`).join(', ')}`,
      );
      return tables.map((table) => Number(counted[0]?.[table]));
    },
    close: async () => {
      await pool.close();
      rmSync(dir, { recursive: true });
    },
  };
  await recordBaselines(pool, shop.pipeline);
  return shop;
}

/** Works on a shop of its own, and closes it. */
export async function withShop(
  server: TestPostgres,
  work: (shop: Shop) => Promise<void>,
  ddl: string = DDL,
): Promise<void> {
  const shop = await openShop(server, ddl);
  try {
    await work(shop);
  } finally {
    await shop.close();
  }
}

/** All that is in quarantine and was not replayed. */
export const OPEN = {
  ids: null,
  pipelines: [],
  codes: [],
  withoutCodes: [],
  since: null,
  until: null,
  state: 'open',
} as const;

/** Replays it. */
export const replayAll = (shop: Shop): Promise<ReplayResult> =>
  replay(shop, { pipeline: shop.pipeline, filter: OPEN, limit: null }, new AbortController().signal);

async function loadInto(
  { pool, pipeline, query }: Shop,
  keyring: Keyring,
  bodies: readonly string[],
): Promise<BatchReport | null> {
  const now = Date.now();
  const ids = bodies.map(() => uuidv7());
  const batch: Batch = {
    batchId: uuidv7(),
    runId: uuidv7(),
    pipeline: pipeline.name,
    messages: ids.map((messageId) => ({ messageId, sentAt: now, receivedAt: now, attributes: {} })),
    records: bodies.map((body, message) => ({ id: ids[message] ?? '', message, body })),
  };
  const masker = withVault(compileMasker(pipeline.policy, keyring, systemClock), createVault(pool));
  const { masked } = await masker.mask(batch);
  const [own, ...further] = tablesOf(pipeline);
  const sink = createPostgresSink({
    pool,
    ...sinkTargetOf(own),
    further: further.map(sinkTargetOf),
    sealer: { seal: (id, plain, form) => sealMasked(keyring, id, plain, form) },
  });
  const report = await sink.commit(masked);
  await query(
    `insert into maskline.runs
       (run_id, pipeline, trigger, state, started_at, finished_at, received, loaded, duplicates, quarantined)
     values ($1, $2, 'drain', 'succeeded', now(), now(), $3, $4, 0, $5)`,
    [batch.runId, pipeline.name, report?.received, report?.loaded, report?.quarantined],
  );
  return report;
}
