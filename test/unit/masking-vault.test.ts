import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { test } from 'node:test';
import { systemClock } from '../../src/clock.js';
import type { Batch } from '../../src/batch.js';
import { compileMasker, type Masking } from '../../src/masking/mask.js';
import type { Keyring } from '../../src/masking/keyring.js';
import type { ColumnSpec, VaultMask } from '../../src/masking/methods.js';
import { type Vault, type VaultEntry, dryVault, openVaultValue } from '../../src/masking/vault.js';
import { rekeyEntry } from '../../src/masking/vault-rekey.js';
import { withVault } from '../../src/masking/vaulted.js';
import {
  batchOf,
  column,
  decodeCopy,
  policyOf,
  primaryMaster,
  testKeyring,
  testMasters,
} from '../support/masking.js';
import { keyOracle, openSealOracle } from '../support/oracle.js';

const KID = 2;
const keyring = testKeyring();
/** The same, when its first key was primary. */
const before = testKeyring(new Map([...testMasters].filter(([kid]) => kid === 1)));

const vault = (options: Partial<VaultMask> = {}): VaultMask => ({
  method: 'vault',
  domain: 'd',
  as: 'text',
  pad: null,
  lower: false,
  subject: null,
  ...options,
});
const vaultColumn = (
  name: string,
  mask: Partial<VaultMask> = {},
  options: Partial<ColumnSpec> = {},
): ColumnSpec => column(name, { mask: vault(mask), ...options });

/** Remembers what it was asked for, and answers as a store that was empty. */
function notingVault(): Vault & { readonly calls: (readonly VaultEntry[])[] } {
  const calls: (readonly VaultEntry[])[] = [];
  const known = new Map<string, string>();
  return {
    calls,
    tokens: (entries) => {
      calls.push(entries);
      for (const { lookup, token } of entries) {
        const name = lookup.toString('hex');
        if (!known.has(name)) known.set(name, token);
      }
      return Promise.resolve(entries.map(({ lookup }) => known.get(lookup.toString('hex')) ?? ''));
    },
  };
}

const mask = async (
  columns: readonly ColumnSpec[],
  batch: Batch,
  store: Vault = dryVault,
): Promise<Masking> => withVault(compileMasker(policyOf(columns), keyring, systemClock), store).mask(batch);
const cellsOf = ({ masked }: Masking): (string | null)[][] => decodeCopy(masked.rows);

test('equal values get equal tokens, in whatever spelling, row and column of a domain', async () => {
  const columns = [
    vaultColumn('a', { as: 'ip' }),
    vaultColumn('b', { as: 'ip' }),
    vaultColumn('c', { lower: true }),
  ];
  const rows = cellsOf(
    await mask(
      columns,
      batchOf([
        '{"a":"192.0.2.1","b":"::ffff:192.0.2.1","c":" Name "}',
        '{"a":"2001:db8::1","b":"2001:DB8:0:0::1","c":"name"}',
        '{"a":null,"b":"","c":"other"}',
      ]),
    ),
  );
  assert.equal(rows[0]?.[0], rows[0]?.[1]);
  assert.equal(rows[1]?.[0], rows[1]?.[1]);
  assert.equal(rows[0]?.[2], rows[1]?.[2]);
  assert.deepEqual(rows[2]?.slice(0, 2), [null, null]);
  const tokens = new Set(rows.flat().filter((cell) => cell !== null));
  assert.equal(tokens.size, 4);
  for (const token of tokens) assert.match(token, /^v2\.[A-Za-z0-9_-]{22}$/);
});

test('what the vault is asked for is found by the HMAC of the page, sealed for its token, and sorted', async () => {
  const store = notingVault();
  const columns = [
    vaultColumn('a', { pad: 32, subject: { name: 'who', steps: [] } }),
    vaultColumn('ip', { as: 'ip', domain: 'ip' }),
  ];
  const bodies = [
    '{"a":"value","who":"one","ip":"192.0.2.9"}',
    '{"a":"value","who":" two "}',
    '{"a":"value","who":"one"}',
  ];
  await mask(columns, batchOf(bodies), store);
  const [entries = []] = store.calls;
  assert.equal(store.calls.length, 1, 'one call a batch');
  const padded = Buffer.concat([Buffer.from('value'), Buffer.from([0x80]), Buffer.alloc(26)]);
  const hmac = (key: Buffer, data: Buffer | string): string =>
    createHmac('sha256', key).update(data).digest('hex');
  const keyOf = (method: string, domain: string): Buffer => keyOracle(primaryMaster, method, domain, KID, 32);
  const address = Buffer.from('00000000000000000000ffffc0000209', 'hex');
  const text = entries.find(({ domain }) => domain === 'd');
  const ip = entries.find(({ domain }) => domain === 'ip');
  assert.equal(entries.length, 2);
  assert.equal(text?.lookup.toString('hex'), hmac(keyOf('vault', 'd'), padded));
  assert.equal(ip?.lookup.toString('hex'), hmac(keyOf('vault', 'ip'), address));
  assert.deepEqual(
    text?.subjects.map(({ subject }) => subject.toString('hex')),
    ['one', 'two'].map((who) => hmac(keyOf('hmac', 'maskline/subject'), who)),
  );
  assert.deepEqual(
    text?.subjects.map(({ subject, sealed }) =>
      openSealOracle(
        primaryMaster,
        KID,
        'vault',
        `subject ${subject.toString('base64url')}`,
        sealed,
      ).toString(),
    ),
    ['one', 'two'],
    'canonical, so that their HMACs can be told under another key',
  );
  assert.deepEqual(
    openSealOracle(primaryMaster, KID, 'vault', text?.token ?? '', text?.sealed ?? Buffer.alloc(0)),
    Buffer.concat([Buffer.from([0, 32]), padded]),
  );
  assert.equal(openVaultValue(keyring, text?.token ?? '', KID, text?.sealed ?? Buffer.alloc(0)), 'value');
  assert.equal(openVaultValue(keyring, ip?.token ?? '', KID, ip?.sealed ?? Buffer.alloc(0)), '192.0.2.9');
  const lookups = entries.map(({ lookup }) => lookup.toString('hex'));
  assert.deepEqual(lookups, [...lookups].sort());
});

test('an entry that is moved to another token cannot be opened', async () => {
  const store = notingVault();
  await mask([vaultColumn('a')], batchOf(['{"a":"x"}', '{"a":"y"}']), store);
  const [[one, other] = []] = store.calls;
  assert.ok(one && other);
  assert.throws(() => openVaultValue(keyring, one.token, KID, other.sealed), { code: 'payload_corrupt' });
});

test('a value whose subject is missing is rejected: nobody could have it erased', async () => {
  const columns = [vaultColumn('a', { subject: { name: 'who', steps: [] } }), column('who')];
  const bodies = ['{"a":"x","who":"w"}', '{"a":"x"}', '{"a":"x","who":7}', '{"who":"w"}'];
  const { masked } = await mask(columns, batchOf(bodies));
  assert.deepEqual(
    masked.rejections.map(({ message, code, path }) => [message, code, path]),
    [
      [1, 'missing_field', 'a'],
      [2, 'wrong_type', 'a'],
    ],
  );
});

test('the elements of a list have tokens of their own, and the subject of their record', async () => {
  const store = notingVault();
  const source = { kind: 'path', name: 'mails', steps: [{ each: true }] } as const;
  const columns = [vaultColumn('mails', { subject: { name: 'who', steps: [] } }, { source, type: 'jsonb' })];
  const bodies = ['{"mails":["x",null,"y"],"who":"one"}', '{"mails":["y"],"who":"two"}'];
  const rows = cellsOf(await mask(columns, batchOf(bodies), store)).map(
    ([cell]) => JSON.parse(cell ?? '') as readonly unknown[],
  );
  assert.equal(rows[0]?.[1], null);
  assert.equal(rows[0]?.[2], rows[1]?.[0]);
  assert.deepEqual(new Set(store.calls.flat().map(({ subjects }) => subjects.length)), new Set([1, 2]));
});

test('where the vault was not asked, masking says so by the name of the column', () => {
  const masker = compileMasker(policyOf([vaultColumn('mail')]), keyring, systemClock);
  assert.throws(() => masker.mask(batchOf(['{"mail":"a"}'])), /column mail is masked by vault/);
  assert.deepEqual(decodeCopy(masker.mask(batchOf(['{}'])).masked.rows), [[null]]);
});

test('a batch without values for the vault does not ask it, and one whose vault is away is not masked', async () => {
  const store = notingVault();
  await mask([vaultColumn('a'), column('b')], batchOf(['{"b":"x"}']), store);
  assert.equal(store.calls.length, 0);
  const away: Vault = { tokens: () => Promise.reject(new Error('away')) };
  await assert.rejects(mask([vaultColumn('a')], batchOf(['{"a":"x"}']), away), /away/);
});

test('an entry comes to the primary key as masking would make it: value, subjects, and another token', async () => {
  const columns = [
    vaultColumn('a', { pad: 16, subject: { name: 'who', steps: [] } }),
    vaultColumn('ip', { as: 'ip', domain: 'ip' }),
  ];
  const bodies = ['{"a":"value","who":"one","ip":"2001:db8::9"}', '{"a":"value","who":"two"}'];
  const entriesOf = async (ring: Keyring): Promise<readonly VaultEntry[]> => {
    const store = notingVault();
    await withVault(compileMasker(policyOf(columns), ring, systemClock), store).mask(batchOf(bodies));
    return store.calls.flat();
  };
  const made = await entriesOf(keyring);
  const old = await entriesOf(before);
  assert.equal(old.length, 2);
  for (const entry of old) {
    assert.match(entry.token, /^v1\./);
    const moved = rekeyEntry(keyring, entry);
    const twin = made.find(({ domain }) => domain === entry.domain);
    assert.ok(moved && twin);
    assert.deepEqual(moved.lookup, twin.lookup);
    assert.equal(moved.kid, KID);
    assert.match(moved.token, /^v2\.[\w-]{22}$/);
    assert.notEqual(moved.token.slice(3), entry.token.slice(3));
    assert.equal(
      openVaultValue(keyring, moved.token, KID, moved.sealed),
      openVaultValue(keyring, twin.token, KID, twin.sealed),
    );
    assert.deepEqual(
      moved.subjects.map(({ subject }) => subject),
      twin.subjects.map(({ subject }) => subject),
    );
    const again = moved.subjects.map(({ subject, sealed }) =>
      openSealOracle(
        primaryMaster,
        KID,
        'vault',
        `subject ${subject.toString('base64url')}`,
        sealed,
      ).toString(),
    );
    assert.deepEqual(again, entry.domain === 'd' ? ['one', 'two'] : []);
  }
});

test('an entry of which any part is not what it was stored as stays under its key', async () => {
  const store = notingVault();
  const columns = [vaultColumn('a', { subject: { name: 'who', steps: [] } })];
  const bodies = ['{"a":"x","who":"one"}', '{"a":"y","who":"two"}'];
  await withVault(compileMasker(policyOf(columns), before, systemClock), store).mask(batchOf(bodies));
  const [[entry, other] = []] = store.calls;
  const [own] = entry?.subjects ?? [];
  const [foreign] = other?.subjects ?? [];
  assert.ok(entry && other && own && foreign);
  assert.ok(rekeyEntry(keyring, entry));
  const altered = Buffer.from(entry.sealed);
  altered[20] = (altered[20] ?? 0) ^ 1;
  const damaged: readonly VaultEntry[] = [
    { ...entry, sealed: altered },
    { ...entry, sealed: other.sealed },
    { ...entry, token: other.token },
    { ...entry, domain: 'another' },
    { ...entry, lookup: other.lookup },
    { ...entry, subjects: [{ subject: own.subject, sealed: foreign.sealed }] },
    { ...entry, subjects: [own, { subject: foreign.subject, sealed: own.sealed }] },
  ];
  for (const one of damaged) assert.equal(rekeyEntry(keyring, one), null);
});
