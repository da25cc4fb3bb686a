import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { systemClock } from '../../src/clock.js';
import { type PostgresPool, createPool } from '../../src/load/connection.js';
import { createVault } from '../../src/load/vault.js';
import { compileMasker } from '../../src/masking/mask.js';
import { withVault } from '../../src/masking/vaulted.js';
import { batchOf, decodeCopy, testKeyring, vaultPolicy } from '../support/masking.js';
import { type TestPostgres, rowsOf, startTestPostgres, withConnection } from '../support/postgres.js';

const keyring = testKeyring();
const MASKER = compileMasker(vaultPolicy, keyring, systemClock);

let postgres: TestPostgres;
let url: string;
const pools: PostgresPool[] = [];
before(async () => {
  postgres = await startTestPostgres();
  url = await postgres.migratedDatabase();
});
after(async () => {
  await Promise.all(pools.map((pool) => pool.close()));
  await postgres.stop();
});

/** A transform worker's masker, over connections of its own. */
function worker() {
  const pool = createPool({ url, applicationName: 'test' });
  pools.push(pool);
  const masker = withVault(MASKER, createVault(pool));
  return async (values: readonly string[], who = 'somebody'): Promise<ReadonlyMap<string, string>> => {
    const { masked } = await masker.mask(batchOf(values.map((mail) => JSON.stringify({ mail, who }))));
    const tokens = decodeCopy(masked.rows).map(([token]) => token ?? '');
    return new Map(values.map((value, i) => [value, tokens[i] ?? '']));
  };
}

test('workers that meet the same values at once give them the same tokens, and none waits for ever', async () => {
  const workers = Array.from({ length: 4 }, worker);
  const values = Array.from({ length: 400 }, (_, i) => `value-${i}`);
  for (let round = 0; round < 5; round += 1) {
    const mine = values.map((value) => `${round} ${value}`);
    const orders = [mine, mine.toReversed(), mine.slice(200), [...mine.slice(100), ...mine.slice(0, 50)]];
    const found = await Promise.all(workers.map((mask, i) => mask(orders[i] ?? [], `subject-${i}`)));
    for (const value of mine) {
      const tokens = new Set(found.flatMap((one) => one.get(value) ?? []));
      assert.equal(tokens.size, 1, 'one token a value');
    }
  }
  const [counted] = await rowsOf(
    url,
    'select count(*)::int as n, count(distinct token)::int as tokens from maskline.vault',
  );
  assert.deepEqual(counted, { n: 2_000, tokens: 2_000 });
  const [owners] = await rowsOf(url, 'select count(*)::int as n from maskline.vault_subjects');
  assert.deepEqual(owners, { n: 5 * (400 + 400 + 200 + 350) });
  assert.ok(!(await postgres.log()).includes('deadlock'));
});

test('the database sorts what it stores, so that even callers who do not sort cannot deadlock', async () => {
  const entries = MASKER.wanted(
    batchOf(Array.from({ length: 3_000 }, (_, i) => JSON.stringify({ mail: `unsorted ${i}`, who: 'w' }))),
  );
  const vaults = Array.from({ length: 4 }, () => {
    const pool = createPool({ url, applicationName: 'test' });
    pools.push(pool);
    return createVault(pool);
  });
  const found = await Promise.all(
    vaults.map(async (vault, i) => {
      const asked = i % 2 === 0 ? entries : entries.toReversed();
      const tokens = await vault.tokens(asked);
      return i % 2 === 0 ? tokens : tokens.toReversed();
    }),
  );
  for (const tokens of found) assert.deepEqual(tokens, found[0]);
  assert.ok(!(await postgres.log()).includes('deadlock'));
});

test('what a batch got tokens for is committed before the batch is masked', async () => {
  const found = await worker()(['committed']);
  const rows = await rowsOf(url, 'select token from maskline.vault where token = $1', [
    found.get('committed'),
  ]);
  assert.equal(rows.length, 1);
});

test('a worker that waits for another one’s entry takes that token, or its own when the other gives up', async () => {
  const mask = worker();
  for (const end of ['commit', 'rollback'] as const) {
    const value = `contested ${end}`;
    const [entry] = MASKER.wanted(batchOf([JSON.stringify({ mail: value, who: 'w' })]));
    assert.ok(entry);
    await withConnection(url, async (client) => {
      await client.query('begin');
      await client.query(
        'insert into maskline.vault (lookup, token, kid, domain, sealed) values ($1, $2, $3, $4, $5)',
        [entry.lookup, entry.token, entry.kid, entry.domain, entry.sealed],
      );
      const masking = mask([value]);
      await postgresWaits();
      await client.query(end);
      const token = (await masking).get(value);
      assert.equal(token === entry.token, end === 'commit');
    });
  }
});

test('an erased value gets another token, and what was not erased keeps its own', async () => {
  const mask = worker();
  const before = await mask(['kept', 'erased']);
  await rowsOf(url, 'delete from maskline.vault where token = $1', [before.get('erased')]);
  const after = await mask(['kept', 'erased']);
  assert.equal(after.get('kept'), before.get('kept'));
  assert.notEqual(after.get('erased'), before.get('erased'));
});

test('a vault that loses what it is given is an error, never a row without its entry', async () => {
  await rowsOf(url, 'create rule lossy as on insert to maskline.vault do instead nothing');
  try {
    await assert.rejects(worker()(['lost']), { code: 'unexpected' });
  } finally {
    await rowsOf(url, 'drop rule lossy on maskline.vault');
  }
});

/** Until a connection waits for another one's transaction. */
async function postgresWaits(): Promise<void> {
  for (;;) {
    const [row] = await rowsOf(
      url,
      "select count(*)::int as n from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()",
    );
    if (row?.['n'] !== 0) return;
  }
}
