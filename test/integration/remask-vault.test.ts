import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { systemClock } from '../../src/clock.js';
import { type PostgresPool, createPool } from '../../src/load/connection.js';
import { eraseVault } from '../../src/load/erasure.js';
import { type VaultRemasked, lockVault, remaskVault } from '../../src/load/remask-vault.js';
import { createVault } from '../../src/load/vault.js';
import type { Keyring } from '../../src/masking/keyring.js';
import { type VaultMasker, compileMasker } from '../../src/masking/mask.js';
import { rekeyEntry } from '../../src/masking/vault-rekey.js';
import { openVaultValue, subjectHmac, vaultLookup } from '../../src/masking/vault.js';
import { withVault } from '../../src/masking/vaulted.js';
import { batchOf, decodeCopy, testKeyring, testMasters, vaultPolicy } from '../support/masking.js';
import { masterFor } from '../support/oracle.js';
import { type TestPostgres, rowsOf, startTestPostgres, withConnection } from '../support/postgres.js';

/** The second key is primary; the first opens only. */
const keyring = testKeyring();
/** The one after that. */
const nextKeyring = testKeyring(new Map([...testMasters, [3, masterFor('third')]]));
/** As a process has it that was not restarted since. */
const oldKeyring = testKeyring(new Map([...testMasters].filter(([kid]) => kid === 1)));

const maskerOf = (ring: Keyring): VaultMasker => compileMasker(vaultPolicy, ring, systemClock);
const OLD = maskerOf(oldKeyring);
const NEW = maskerOf(keyring);

let postgres: TestPostgres;
let url: string;
let pool: PostgresPool;
before(async () => {
  postgres = await startTestPostgres();
});
beforeEach(async () => {
  url = await postgres.migratedDatabase();
  pool = createPool({ url, applicationName: 'test', max: 8 });
});
afterEach(() => pool.close());
after(() => postgres.stop());

/** The tokens of values, in their order, as a transform worker of its own gets them. */
function worker(compiled: VaultMasker) {
  const masker = withVault(compiled, createVault(pool));
  return async (values: readonly string[], who = 'somebody'): Promise<readonly string[]> => {
    const { masked } = await masker.mask(batchOf(values.map((mail) => JSON.stringify({ mail, who }))));
    return decodeCopy(masked.rows).map(([token]) => token ?? '');
  };
}

const inOrder = (a = '', b = ''): number => (a < b ? -1 : 1);

interface RemaskOptions {
  readonly dryRun?: boolean;
  readonly rate?: number;
  readonly fromKid?: number;
  readonly ring?: Keyring;
}

const remask = (options: RemaskOptions = {}): Promise<VaultRemasked> => {
  const { dryRun = false, rate = 1_000_000, fromKid = 1, ring = keyring } = options;
  const { signal } = new AbortController();
  return remaskVault(
    pool,
    { fromKid, rate, dryRun, clock: systemClock, signal, attempt: (step) => step() },
    (stored) => rekeyEntry(ring, stored),
  );
};

interface Held {
  readonly value: string;
  readonly token: string;
  readonly former: readonly string[];
  readonly subjects: readonly string[];
}

/** All that the vault holds, opened under the primary key. */
async function held(whose: readonly string[], ring = keyring): Promise<readonly Held[]> {
  const rows = await rowsOf(
    url,
    `select v.lookup, v.token, v.kid, v.sealed,
            array(select f.token from maskline.vault_former f where f.lookup = v.lookup order by 1) as former,
            array(select s.subject from maskline.vault_subjects s where s.lookup = v.lookup and s.kid = v.kid) as subjects
       from maskline.vault v`,
  );
  const primary = ring.primaryKid;
  const names = new Map(whose.map((who) => [subjectHmac(ring, who, primary).toString('hex'), who]));
  return rows
    .map(({ token, kid, sealed, former, subjects, lookup }) => {
      const value = openVaultValue(ring, String(token), Number(kid), sealed as Buffer);
      assert.deepEqual(lookup, vaultLookup(ring, 'd', primary, Buffer.from(value)));
      return {
        value,
        token: String(token),
        former: former as readonly string[],
        subjects: (subjects as readonly Buffer[])
          .map((subject) => names.get(subject.toString('hex')) ?? 'unknown')
          .toSorted(),
      };
    })
    .toSorted((a, b) => (a.value < b.value ? -1 : 1));
}

test('each value has one token afterwards, the one that it got under the new key if it has; subjects and former tokens go with it', async () => {
  const [a1, b1] = await worker(OLD)(['a', 'b'], 'old owner');
  const [b2, c2] = await worker(NEW)(['b', 'c'], 'new owner');
  assert.ok(b1?.startsWith('v1.') && b2?.startsWith('v2.'));
  assert.deepEqual(await remask({ dryRun: true }), { remasked: 2, unopened: 0 });
  assert.equal((await rowsOf(url, 'select from maskline.vault where kid = 1')).length, 2);
  assert.deepEqual(await remask(), { remasked: 2, unopened: 0 });
  const found = await held(['old owner', 'new owner']);
  assert.deepEqual(
    found.map(({ value, former, subjects }) => [value, former, subjects]),
    [
      ['a', [a1], ['old owner']],
      ['b', [b1], ['new owner', 'old owner']],
      ['c', [], ['new owner']],
    ],
  );
  assert.deepEqual([found[1]?.token, found[2]?.token], [b2, c2]);
  assert.deepEqual(await worker(NEW)(['a', 'b']), [found[0]?.token, b2]);
  assert.deepEqual(await remask(), { remasked: 0, unopened: 0 });
});

test('tokens that were replaced before go with their value through the next rotation too', async () => {
  const [first] = await worker(OLD)(['a']);
  await remask();
  // A process that still has the first key enters the value once more.
  const [stray] = await worker(OLD)(['a']);
  assert.notEqual(stray, first);
  await remask();
  const [second] = await held([]);
  assert.deepEqual([second?.value, second?.former], ['a', [first, stray].toSorted(inOrder)]);
  assert.deepEqual(await remask({ fromKid: 2, ring: nextKeyring }), { remasked: 1, unopened: 0 });
  const third = await held(['somebody'], nextKeyring);
  assert.deepEqual(
    third.map(({ value, former, subjects }) => [value, former, subjects]),
    [['a', [first, stray, second?.token].toSorted(inOrder), ['somebody']]],
  );
  assert.match(third[0]?.token ?? '', /^v3\./);
});

test('an entry that does not open stays, is counted, and holds up no other', async () => {
  const [, bad] = await worker(OLD)(['good', 'bad', 'fine']);
  await rowsOf(url, `update maskline.vault set sealed = sealed || '\\x00' where token = $1`, [bad]);
  assert.deepEqual(await remask(), { remasked: 2, unopened: 1 });
  assert.deepEqual(await rowsOf(url, 'select token from maskline.vault where kid = 1'), [{ token: bad }]);
});

test('what was cut off between two steps is gone on with, and nothing is brought over twice', async () => {
  const values = Array.from({ length: 25 }, (_, i) => `value-${i}`);
  const tokens = await worker(OLD)(values);
  const { signal } = new AbortController();
  let steps = 0;
  const attempt = <T>(step: () => Promise<T>): Promise<T> => {
    steps += 1;
    return steps === 2 ? Promise.reject(new Error('cut off')) : step();
  };
  const slow = {
    fromKid: 1,
    rate: 10,
    dryRun: false,
    clock: { ...systemClock, sleep: () => Promise.resolve() },
  };
  await assert.rejects(
    remaskVault(pool, { ...slow, signal, attempt }, (stored) => rekeyEntry(keyring, stored)),
    /cut off/,
  );
  assert.equal((await rowsOf(url, 'select from maskline.vault where kid = 1')).length, 15);
  assert.deepEqual(await remask(), { remasked: 15, unopened: 0 });
  const found = await held([]);
  assert.deepEqual(found.flatMap(({ former }) => former).toSorted(inOrder), tokens.toSorted(inOrder));
});

test('while workers mask under both keys, none fails and none waits for ever; then each value has one token', async () => {
  const values = Array.from({ length: 1_500 }, (_, i) => `value-${i}`);
  const [old, young, other] = [worker(OLD), worker(NEW), worker(NEW)];
  await old(values, 'before');
  const rounds = Array.from({ length: 4 }, (_, round) => `round ${round}`);
  const working = Promise.all([
    ...rounds.map((who) => old(values.toReversed(), who)),
    ...rounds.map((who) => young(values, who)),
    ...rounds.map((who) => other(values.toReversed(), who)),
  ]);
  let isWorking = true;
  const done = working.finally(() => (isWorking = false));
  while (isWorking) await Promise.all([remask(), remask({ rate: 100_000 })]);
  await done;
  await remask();
  const found = await held(['before', ...rounds]);
  assert.deepEqual(
    found.map(({ value }) => value),
    values.toSorted(),
  );
  assert.ok(found.every(({ subjects }) => subjects.length === 1 + rounds.length));
  assert.deepEqual(
    await young(values),
    values.map((value) => found.find((one) => one.value === value)?.token),
  );
  assert.ok(!(await postgres.log()).includes('deadlock'));
});

test('an erasure that meets an entry on its way to another key erases it', async () => {
  const [token] = await worker(OLD)(['secret'], 'subject');
  const lookups = [1, 2].map((kid) => vaultLookup(keyring, 'd', kid, Buffer.from('secret')));
  const subjects = [1, 2].map((kid) => subjectHmac(keyring, 'subject', kid));
  await withConnection(url, async (client) => {
    await client.query('begin');
    await lockVault(client);
    const [old, young] = lookups;
    await client.query(
      "insert into maskline.vault (lookup, token, kid, domain, sealed) values ($1, 'v2.x', 2, 'd', '')",
      [young],
    );
    await client.query(
      "insert into maskline.vault_subjects (subject, lookup, kid, sealed) values ($1, $2, 2, '')",
      [subjects[1], young],
    );
    await client.query('insert into maskline.vault_former (token, lookup) values ($1, $2)', [token, young]);
    await client.query('delete from maskline.vault where lookup = $1', [old]);
    const erasing = pool.transaction((other) => eraseVault(other, subjects, lookups, false));
    await postgresWaits();
    await client.query('commit');
    assert.equal((await erasing).entries, 1);
  });
  for (const table of ['vault', 'vault_subjects', 'vault_former'])
    assert.deepEqual(await rowsOf(url, `select from maskline.${table}`), []);
});

test('a value that is erased while it gets another subject is entered anew', async () => {
  const [token] = await worker(NEW)(['value'], 'first');
  await withConnection(url, async (client) => {
    await client.query('begin');
    await client.query('delete from maskline.vault where token = $1', [token]);
    const masking = worker(NEW)(['value'], 'second');
    await postgresWaits();
    await client.query('commit');
    const [other] = await masking;
    assert.notEqual(other, token);
  });
  assert.deepEqual(
    (await held(['first', 'second'])).map(({ subjects }) => subjects),
    [['second']],
  );
});

/** Until a connection to this database waits for another one's transaction. */
async function postgresWaits(): Promise<void> {
  for (;;) {
    const [row] = await rowsOf(
      url,
      "select count(*)::int as n from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()",
    );
    if (row?.['n'] !== 0) return;
  }
}
