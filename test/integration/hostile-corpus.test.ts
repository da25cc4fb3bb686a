import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { openRaw } from '../../src/masking/quarantined.js';
import { EVERY_POLICY, LOGIN_POLICY, type PipelineName, SENT_AT, TABLES } from '../support/hostile-case.js';
import { type Found, assertOutcome } from '../support/hostile-check.js';
import { hostileCorpus } from '../support/hostile-corpus.js';
import { drainBodies } from '../support/hostile-pipeline.js';
import { testKeyring } from '../support/masking.js';
import { type TestPostgres, rowsOf, startTestPostgres, withConnection } from '../support/postgres.js';

const corpus = hostileCorpus();
const keyring = testKeyring();
const POLICIES = { login: LOGIN_POLICY, every: EVERY_POLICY } as const;
const PIPELINES = ['login', 'every'] as const;
const BATCH = 500;

let postgres: TestPostgres;
const databases = new Map<PipelineName, string>();
before(async () => {
  postgres = await startTestPostgres();
  for (const name of PIPELINES) {
    const database = await postgres.migratedDatabase();
    await withConnection(database, (client) => client.query(TABLES[name]));
    databases.set(name, database);
  }
});
after(() => postgres.stop());

const indexOf = (messageId: unknown): number => Number(String(messageId).replace('message-', ''));

/** All rows of the target as text, by message. */
async function storedRows(name: PipelineName): Promise<Map<number, Found>> {
  const columns = POLICIES[name].columns.filter((column) => column.mask.method !== 'drop');
  const list = columns.map((column) => `"${column.name}"::text`).join(', ');
  return withConnection(databases.get(name) ?? '', async (client) => {
    await client.query("set timezone = 'UTC'");
    const { rows } = await client.query<Readonly<{ [column: string]: string | null }>>(
      `select ${list} from public.${name}`,
    );
    const found = new Map(rows.map((row) => [indexOf(row['message_id']), { row }]));
    assert.equal(found.size, rows.length, 'no message has two rows');
    return found;
  });
}

/** All of the quarantine, opened, by message. */
async function quarantined(name: PipelineName) {
  const sql = 'select id, code, path, kind, kid, sealed, message_id from maskline.quarantine';
  const rows = await rowsOf(databases.get(name) ?? '', sql);
  return rows.map(({ id, code, path, kind, kid, sealed, message_id }) => {
    assert.ok(typeof id === 'string' && typeof kid === 'number' && Buffer.isBuffer(sealed));
    assert.ok(typeof code === 'string' && (path === null || typeof path === 'string'));
    assert.equal(kind, 'raw', `message ${indexOf(message_id)} was refused by the table: ${code}`);
    return {
      index: indexOf(message_id),
      code,
      path,
      body: openRaw(keyring, { id, kind: 'raw', kid, sealed }).body,
    };
  });
}

for (const name of PIPELINES) {
  test(`every hostile body ends in the table or the quarantine as required: ${name}`, async () => {
    const drained = await drainBodies({
      database: databases.get(name) ?? '',
      policy: POLICIES[name],
      table: name,
      keyring,
      bodies: corpus.map((one) => one.body),
      sentAt: SENT_AT,
      maxMessages: BATCH,
    });
    const required = { loaded: 0, quarantined: 0 };
    for (const one of corpus) required['row' in one[name] ? 'loaded' : 'quarantined'] += 1;
    const { received, loaded, duplicates, quarantined: rejected, released } = drained.report;
    assert.deepEqual(
      { received, loaded, duplicates, quarantined: rejected, released },
      { received: corpus.length, duplicates: 0, released: 0, ...required },
    );
    assert.equal(new Set(drained.acked).size, corpus.length);
    assert.deepEqual(drained.events, []);
    for (const batch of drained.batches) assert.equal(batch.copies, 1, 'the table refused a row');

    const found = await storedRows(name);
    for (const { index, code, path, body } of await quarantined(name)) {
      assert.ok(!found.has(index), 'no record ends twice');
      found.set(index, { code, path });
      // What an envelope held is not the whole body.
      const sent = corpus[index];
      if (!sent?.name.includes('in SNS') && !sent?.name.includes('in EventBridge'))
        assert.equal(body, sent?.body);
    }
    for (const [i, one] of corpus.entries()) assertOutcome(one, one[name], found.get(i));
  });
}
