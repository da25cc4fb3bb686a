import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, after, before, test } from 'node:test';
import fc from 'fast-check';
import { uuidv7 } from 'uuidv7';
import { stringify } from 'yaml';
import type { Batch, MessageHead } from '../../src/batch.js';
import { systemClock } from '../../src/clock.js';
import type { PipelineConfig } from '../../src/config/config.js';
import { loadConfig } from '../../src/config/load.js';
import { type PostgresPool, createPool } from '../../src/load/connection.js';
import { createPostgresSink } from '../../src/load/postgres.js';
import { type QuarantineEntry, pageContents } from '../../src/load/quarantine-entries.js';
import { Replay } from '../../src/load/replay.js';
import { readCatalog } from '../../src/load/target-catalog.js';
import { compileMasker } from '../../src/masking/mask.js';
import { sealMasked } from '../../src/masking/quarantined.js';
import { readRawRecord, writeRawRecord } from '../../src/masking/raw-record.js';
import { replayBatches } from '../../src/roles/replay-batches.js';
import { primaryMaster, testKeyring } from '../support/masking.js';
import { tokenOracle } from '../support/oracle.js';
import { type TestPostgres, rowsOf, startTestPostgres, withConnection } from '../support/postgres.js';
import { OPEN } from '../support/shop.js';

/** Messages of one run; a few seconds on a busy machine. */
const MESSAGES = 1_500;
const BUDGET_MS = 20_000;

const keyring = testKeyring();
const dir = mkdtempSync(join(tmpdir(), 'maskline-replay-'));
let postgres: TestPostgres;

before(async () => {
  postgres = await startTestPostgres();
});
after(async () => {
  await postgres.stop();
  rmSync(dir, { recursive: true });
});

/** What the seed was, so that a failure can be had again. */
function seedOf(context: TestContext): number {
  const seed = Number(process.env['SEED'] ?? Date.now() % 2 ** 31);
  context.diagnostic(`SEED=${seed}`);
  return seed;
}

const special = fc.constantFrom(
  ...[
    '\\',
    '\\.',
    '\\N',
    '\t',
    '\n',
    '\r',
    '\0',
    '\ud800',
    '\udfff',
    '\ufffd',
    '\ufeff',
    '😀',
    '\u0001',
    "'",
    '"',
    '',
  ],
  ...['__proto__', 'M\u0001a\nb\n', 'R\u0001', '\u2028', '{"a":1}'],
);
const text = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.array(special).map((parts) => parts.join('')),
);
const message = fc.record({
  kept: text,
  json: fc.jsonValue(),
  tenant: text,
  group: fc.option(fc.string({ unit: 'binary', minLength: 1 })),
  receivedAt: fc.integer({ min: 0, max: 4_102_444_800_000 }),
});
type Message = typeof message extends fc.Arbitrary<infer T> ? T : never;

/** A pipeline whose file says so. */
function pipelineOf(columns: object): PipelineConfig {
  const file = join(dir, `${uuidv7()}.yaml`);
  const pipelines = {
    events: { columns, source: { sqs: { queue: 'q' } }, target: { table: 'public.events' } },
  };
  writeFileSync(file, stringify({ version: 1, database: { url: 'postgres://localhost/x' }, pipelines }));
  const [pipeline] = loadConfig({ file, env: {} }).pipelines;
  assert.ok(pipeline);
  return pipeline;
}

const COLUMNS = {
  id: { from: '$message_id', type: 'text' },
  kept: { from: 'kept', type: 'text' },
  json: { from: 'json', type: 'jsonb' },
  masked: { from: 'masked', mask: { method: 'siv', domain: 'd' } },
  tenant: { from: '$attributes.__proto__', type: 'text' },
  grp: { from: '$group_id', type: 'text' },
  received_at: { from: '$received_at', type: 'timestamptz' },
};
const TABLE = `create table public.events
  (id text, kept text, json jsonb, masked varchar(8192), tenant text, grp text, received_at timestamptz)`;

function headOf({ tenant, group, receivedAt }: Message, i: number): MessageHead {
  // As the parser of SQS's answer makes it: an own property.
  const attributes = JSON.parse(`{"__proto__":${JSON.stringify(tenant)}}`) as MessageHead['attributes'];
  const head = { messageId: `m${i}`, sentAt: 1_700_000_000_000, receivedAt, attributes };
  return group === null ? head : { ...head, groupId: group };
}

function batchOf(messages: readonly Message[]): Batch {
  return {
    batchId: uuidv7(),
    runId: uuidv7(),
    pipeline: 'events',
    messages: messages.map(headOf),
    records: messages.map(({ kept, json }, i) => ({
      id: `m${i}`,
      message: i,
      body: JSON.stringify({ kept, json, masked: `device ${i}` }),
    })),
  };
}

async function quarantined(pool: PostgresPool, pipeline: PipelineConfig, messages: readonly Message[]) {
  const { masked } = compileMasker(pipeline.policy, keyring, systemClock).mask(batchOf(messages));
  const sink = createPostgresSink({
    pool,
    target: pipeline.target,
    sealer: { seal: (id, plain) => sealMasked(keyring, id, plain) },
    paths: new Map(),
  });
  return sink.commit(masked);
}

/** Replays all that is open; returns by message id why the others stay. */
async function replayAll(pool: PostgresPool, pipeline: PipelineConfig): Promise<ReadonlyMap<string, string>> {
  const { table } = await readCatalog(pool, pipeline.target);
  const masker = compileMasker(pipeline.policy, keyring, systemClock);
  const maker = {
    pipeline,
    masker,
    leakGate: null,
    keyring,
    clock: systemClock,
    tables: [{ target: pipeline.target, columns: pipeline.policy.columns, found: table?.columns ?? [] }],
  };
  const all: QuarantineEntry[] = [];
  for await (const entries of pageContents(pool, OPEN)) {
    all.push(...entries);
    for (const batch of await replayBatches(maker, uuidv7(), entries))
      await new Replay({ pool, target: pipeline.target, paths: new Map() }, batch).commit();
  }
  const { rows } = await pool.query<{ message_id: string; code: string }>(
    'select message_id, code from maskline.quarantine where replayed_at is null',
  );
  assert.equal(new Set(all.map(({ id }) => id)).size, MESSAGES);
  return new Map(rows.map(({ message_id, code }) => [message_id, code]));
}

/** What Postgres can't hold, or jsonb's own parser refuses: a NUL or a lone surrogate. */
const isUnfit = (value: unknown): boolean =>
  /\0|\p{Cs}/u.test(typeof value === 'string' ? value : deepText(value));

function deepText(value: unknown): string {
  if (typeof value === 'string') return value;
  if (typeof value !== 'object' || value === null) return '';
  return Object.entries(value)
    .map(([key, item]) => key + deepText(item))
    .join('');
}

async function compare(url: string, messages: readonly Message[], stays: ReadonlyMap<string, string>) {
  const rows = await rowsOf(url, 'select *, received_at::text as at from events');
  const byId = new Map(rows.map((row) => [row['id'], row]));
  assert.equal(byId.size, rows.length, 'no message is there twice');
  let unfit = 0;
  for (const [i, sent] of messages.entries()) {
    const row = byId.get(`m${i}`);
    if ([sent.kept, sent.json, sent.tenant, sent.group].some(isUnfit)) {
      unfit += 1;
      assert.equal(row, undefined);
      assert.equal(stays.get(`m${i}`), 'bad_text');
      continue;
    }
    assert.equal(stays.get(`m${i}`), undefined);
    assert.equal(row?.['kept'], sent.kept);
    assert.equal(row['tenant'], sent.tenant);
    assert.equal(row['grp'], sent.group);
    assert.equal((row['received_at'] as Date).getTime(), sent.receivedAt);
    assert.deepEqual(row['json'], JSON.parse(JSON.stringify(sent.json)));
    assert.equal(row['masked'], tokenOracle(primaryMaster, 2, 'siv', 'd', 'text', `device ${i}`));
  }
  assert.ok(unfit > 20 && unfit < messages.length / 2, `both outcomes occur: ${unfit}`);
}

test('whatever a message holds, its replay makes the row that the message would have made', async (context) => {
  const messages = fc.sample(message, { numRuns: MESSAGES, seed: seedOf(context) });
  const url = await postgres.migratedDatabase();
  await withConnection(url, (client) => client.query(TABLE));
  const pool = createPool({ url, applicationName: 'maskline-test' });
  // As the file was: with a field that nobody sends.
  const strict = pipelineOf({ ...COLUMNS, gone: { from: 'gone', type: 'text', required: true } });
  const report = await quarantined(pool, strict, messages);
  assert.equal(report?.quarantined, MESSAGES);
  const stays = await replayAll(pool, pipelineOf(COLUMNS));
  await compare(url, messages, stays);
  await pool.close();
});

test('whatever a masked row holds that the table refuses, its replay makes that very row', async (context) => {
  const messages = fc.sample(message, { numRuns: MESSAGES, seed: seedOf(context) });
  const url = await postgres.migratedDatabase();
  await withConnection(url, (client) =>
    client.query(`${TABLE}; alter table events add constraint no check (false)`),
  );
  const pool = createPool({ url, applicationName: 'maskline-test' });
  const report = await quarantined(pool, pipelineOf(COLUMNS), messages);
  assert.equal(report?.quarantined, MESSAGES);
  await withConnection(url, (client) => client.query('alter table events drop constraint no'));
  const stays = await replayAll(pool, pipelineOf(COLUMNS));
  await compare(url, messages, stays);
  await pool.close();
});

test('a raw record is written and read as it is, for any texts', (context) => {
  const record = fc.record(
    {
      body: text,
      badEnvelope: fc.boolean(),
      receivedAt: fc.integer({ min: -8.64e15, max: 8.64e15 }),
      attributes: fc.dictionary(text, text, { noNullPrototype: true }),
      groupId: text,
      sequenceNumber: text,
    },
    { requiredKeys: ['body', 'badEnvelope', 'receivedAt', 'attributes'], noNullPrototype: true },
  );
  fc.assert(
    fc.property(record, (one) => {
      assert.deepEqual(readRawRecord('id', writeRawRecord(one)), one);
    }),
    {
      numRuns: 2_000,
      seed: seedOf(context),
      plugins: [fc.interruptAfterTimeLimit(BUDGET_MS, { failOnInterrupt: true })],
    },
  );
});
