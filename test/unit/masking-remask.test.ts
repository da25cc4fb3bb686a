import assert from 'node:assert/strict';
import { test } from 'node:test';

import { encodeField } from '../../src/copy-text.js';
import type { ColumnSpec, JsonMask } from '../../src/masking/methods.js';
import { openMasked, sealMasked } from '../../src/masking/quarantined.js';
import { type RemaskPlan, planRemask } from '../../src/masking/remask-rows.js';
import { type RemaskPlans, keysOfEntry, resealEntry } from '../../src/masking/reseal.js';
import { column, testKeyring, testMasters, token } from '../support/masking.js';
import { tokenOracle } from '../support/oracle.js';

// 2 is primary, 1 opens only.
const keyring = testKeyring();
/** Of a pipeline of one table. */
const plansOf = (plan: RemaskPlan): RemaskPlans => ({ fromKid: plan.fromKid, ofTable: () => plan });
/** Nothing of the vault is asked for. */
const none = new Map<string, string | null>();
/** The one in which 1 is primary, as it was before. */
const before = testKeyring(new Map([...testMasters].filter(([kid]) => kid === 1)));
const [first, second] = [...testMasters.values()];
assert.ok(first && second);
const oldToken = (value: string): string => tokenOracle(first, 1, 'siv', 'd', 'text', value) ?? '';
const newToken = (value: string): string => tokenOracle(second, 2, 'siv', 'd', 'text', value) ?? '';

const siv = column('siv', { mask: token('siv') });
const list = column('list', {
  type: 'jsonb',
  source: { kind: 'path', name: 'list', steps: [{ each: true }] },
  mask: token('siv'),
});
const ff1 = column('ff1', {
  mask: { method: 'ff1', domain: 'f', template: [{ least: 7, most: 7 }], alphabet: '0123456789' },
});
const kid = column('kid', { type: 'integer', source: { kind: 'meta', name: 'mask_kid' } });
const shift: ColumnSpec = column('day', {
  type: 'date',
  mask: { method: 'date-shift', domain: 's', entity: { name: 'id', steps: [] }, days: 9 },
});

test('tokens of the old key become those of the new one, in lists too, and all others stay as they are', () => {
  const plan = planRemask({ columns: [siv, list] }, keyring, 1);
  const stranger = tokenOracle(first, 1, 'hmac', 'd', 'text', 'x') ?? '';
  const cells = [oldToken('a'), [oldToken('b'), null, newToken('c'), stranger]] as const;
  assert.deepEqual(
    plan.change(
      [
        { cells, isOfOldKid: false },
        { cells: [null, null], isOfOldKid: false },
      ],
      none,
    ),
    [
      [newToken('a'), [newToken('b'), null, newToken('c'), stranger]],
      [null, null],
    ],
  );
});

test('within JSON, tokens at the places of masks come over; what is elsewhere, and every digit, stays', () => {
  const mask: JsonMask = {
    method: 'json',
    others: 'keep',
    members: [
      {
        at: 'a[*].b',
        path: 'a[*].b',
        steps: [{ member: 'a' }, { each: true }, { member: 'b' }],
        mask: token('siv'),
      },
      { at: 'h', path: 'h', steps: [{ member: 'h' }], mask: token('hmac') },
    ],
    taken: [],
  };
  const json = column('json', { type: 'jsonb', source: { kind: 'rest' }, mask });
  const plan = planRemask({ columns: [json] }, keyring, 1);
  assert.deepEqual(plan.left, [{ name: 'json', method: 'hmac', why: 'one_way' }]);
  const doc = (made: (value: string) => string): string =>
    `{"a":[{"b":"${made('x')}","n":1.50},{"b":null},{"b":"${newToken('y')}"},7],"kept":"${oldToken('k')}"}`;
  const altered = doc(oldToken).replace(oldToken('x'), `${oldToken('x').slice(0, -1)}A`);
  const cells = [doc(oldToken), doc(newToken), '{"a":3}', null, altered];
  const rows = cells.map((cell) => ({ cells: [cell], isOfOldKid: false }));
  assert.deepEqual(plan.change(rows, none), [[doc(newToken)], [doc(newToken)], ['{"a":3}'], [null], null]);
  const row = Buffer.from(`json\n${encodeField(doc(oldToken))}\n`);
  const sealed = sealMasked(before, 'e', row);
  const resealed = resealEntry(keyring, plansOf(plan), { id: 'e', kind: 'masked', ...sealed }, none);
  assert.ok(resealed);
  const opened = openMasked(keyring, { id: 'e', kind: 'masked', ...resealed });
  assert.equal(opened[0]?.rows.toString('utf8'), `${encodeField(doc(newToken))}\n`);
});

test('a row with a token that was altered in any bit, or is of another domain, stays, and no other does for it', () => {
  const plan = planRemask({ columns: [siv] }, keyring, 1);
  const good = oldToken('a value');
  const body = Buffer.from(good.slice(3), 'base64url');
  const altered = Array.from({ length: body.length * 8 }, (_, bit) => {
    const bytes = Buffer.from(body);
    bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    return `s1.${bytes.toString('base64url')}`;
  });
  const other = tokenOracle(first, 1, 'siv', 'another', 'text', 'a value') ?? '';
  const rows = [...altered, other, 's1.', 's1.%', good].map((text) => ({ cells: [text], isOfOldKid: false }));
  assert.deepEqual(plan.change(rows, none), [...rows.slice(1).map(() => null), [newToken('a value')]]);
});

test('formats go by the kid of their row, and beside a date-shift, which has no way back, none of them can go', () => {
  const old = planRemask({ columns: [ff1, kid] }, keyring, 1);
  assert.deepEqual(old.kidColumns, ['kid']);
  const [changed, kept, unfit] = old.change(
    [
      { cells: ['1234567'], isOfOldKid: true },
      { cells: ['1234567'], isOfOldKid: false },
      { cells: ['12-4567'], isOfOldKid: true },
    ],
    none,
  );
  assert.match(String(changed?.[0]), /^\d{7}$/);
  assert.notDeepEqual(changed, ['1234567']);
  assert.deepEqual(kept, ['1234567']);
  assert.equal(unfit, null);
  const stuck = planRemask({ columns: [ff1, shift, kid, siv] }, keyring, 1);
  assert.deepEqual([stuck.columns.map(({ name }) => name), stuck.kidColumns], [['siv'], []]);
  assert.deepEqual(stuck.left, [
    { name: 'ff1', method: 'ff1', why: 'beside_one_way' },
    { name: 'day', method: 'date-shift', why: 'one_way' },
  ]);
});

test('a masked row in quarantine is sealed under the new key with its tokens and its kid, in every form of a list', () => {
  const plan = planRemask({ columns: [siv, list, kid] }, keyring, 1);
  const id = '01890a5d-ac96-774b-bcce-b302099a8057';
  const lists: readonly ((text: string) => string)[] = [
    (text) => JSON.stringify([text, null]),
    (text) => `{"${text}",NULL}`,
  ];
  const rowOf = (make: (text: string) => string, of: (value: string) => string, kidText: string): Buffer =>
    Buffer.from(['kept\\ttab', of('a'), encodeField(make(of('b'))), kidText].join('\t') + '\n');
  for (const make of lists) {
    const text = Buffer.concat([Buffer.from('plain\tsiv\tlist\tkid\n'), rowOf(make, oldToken, '1')]);
    // Sealed under the old key, or under the new one by a process that met an older batch.
    for (const sealer of [before, keyring]) {
      const entry = { id, kind: 'masked' as const, ...sealMasked(sealer, id, text) };
      assert.ok(keysOfEntry(keyring, entry, () => ['kid']).kids.has(1));
      const resealed = resealEntry(keyring, plansOf(plan), entry, none);
      assert.equal(resealed?.kid, 2);
      const opened = { id, kind: 'masked' as const, ...resealed };
      assert.deepEqual(
        openMasked(keyring, opened)[0]?.rows.toString(),
        rowOf(make, newToken, '2').toString(),
      );
      assert.deepEqual([...keysOfEntry(keyring, opened, () => ['kid']).kids], [2]);
      assert.equal(
        resealEntry(keyring, plansOf(plan), opened, none),
        null,
        'nothing of it is of the old key any more',
      );
    }
  }
});

/** A token of the vault that `n` tells apart. */
const vaultToken = (keyId: number, n: number): string =>
  `v${keyId}.${Buffer.alloc(16, n).toString('base64url')}`;
const vaulted = column('vaulted', {
  mask: { method: 'vault', domain: 'd', as: 'text', pad: null, lower: false, subject: null },
});
const vaultedList = column('vaulted_list', {
  type: 'jsonb',
  source: { kind: 'path', name: 'vaulted_list', steps: [{ each: true }] },
  mask: { method: 'vault', domain: 'd', as: 'text', pad: null, lower: false, subject: null },
});

test('what stands for tokens of the vault takes their place, tokens of erased values stay, and a row waits for its own', () => {
  const plan = planRemask({ columns: [vaulted, vaultedList] }, keyring, 1);
  assert.deepEqual(
    plan.columns.map(({ kind }) => kind),
    ['vault', 'vault'],
  );
  const successors = new Map([
    [vaultToken(1, 1), vaultToken(2, 11)],
    [vaultToken(1, 2), vaultToken(2, 12)],
    [vaultToken(1, 9), null],
  ]);
  const rows = [
    [vaultToken(1, 1), [vaultToken(1, 2), null, vaultToken(1, 7)]],
    [vaultToken(1, 7), null],
    [vaultToken(1, 9), null],
    [vaultToken(1, 1), [vaultToken(1, 9)]],
  ].map((cells) => ({ cells, isOfOldKid: false }));
  assert.deepEqual(plan.change(rows, successors), [
    [vaultToken(2, 11), [vaultToken(2, 12), null, vaultToken(1, 7)]],
    [vaultToken(1, 7), null],
    null,
    null,
  ]);
});

test('a masked row in quarantine gets what stands for its tokens of the vault, and only then another seal', () => {
  const plan = planRemask({ columns: [vaulted] }, keyring, 1);
  const id = '01890a5d-ac96-774b-bcce-b302099a8057';
  const rowOf = (text: string): Buffer => Buffer.from(`vaulted\n${text}\n`);
  const entry = { id, kind: 'masked' as const, ...sealMasked(keyring, id, rowOf(vaultToken(1, 1))) };
  const keys = keysOfEntry(keyring, entry, () => []);
  assert.deepEqual([...keys.kids], [2], 'whether its token needs a key, the vault knows');
  assert.deepEqual(keys.vaultTokens, [{ text: vaultToken(1, 1), kid: 1 }]);
  assert.equal(resealEntry(keyring, plansOf(plan), entry, none), null);
  const resealed = resealEntry(
    keyring,
    plansOf(plan),
    entry,
    new Map([[vaultToken(1, 1), vaultToken(2, 5)]]),
  );
  assert.ok(resealed);
  const opened = openMasked(keyring, { id, kind: 'masked', ...resealed });
  assert.equal(opened[0]?.rows.toString(), `${vaultToken(2, 5)}\n`);
});
