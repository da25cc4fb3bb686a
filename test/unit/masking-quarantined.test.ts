import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PipelineError } from '../../src/errors.js';
import { maskedRecord } from '../../src/load/quarantine.js';
import {
  type SealedEntry,
  joinRows,
  openMasked,
  openRaw,
  sealMasked,
  sealRaw,
  sealTables,
} from '../../src/masking/quarantined.js';
import { type RawRecord, readRawRecord, writeRawRecord } from '../../src/masking/raw-record.js';
import { seal } from '../../src/masking/seal.js';
import { primaryMaster, testKeyring, testMasters } from '../support/masking.js';
import { openSealOracle, rawRecordOracle } from '../support/oracle.js';

const keyring = testKeyring();
const ID = '01890a5d-ac96-774b-bcce-b302099a8057';
const CANARY = 'c4naryq7zx';

const full: RawRecord = {
  body: `{"ip":"${CANARY}"}`,
  badEnvelope: true,
  receivedAt: 1_700_000_000_123,
  groupId: 'group é',
  sequenceNumber: '18849496460467696128',
  attributes: JSON.parse('{"__proto__":"a","tenant":"t\\u0000"}') as RawRecord['attributes'],
};

const entryOf = (kind: 'raw' | 'masked', sealed: { kid: number; sealed: Buffer }): SealedEntry => ({
  id: ID,
  kind,
  ...sealed,
});

/** The error has that code, names the entry, and quotes nothing of it. */
function refuses(work: () => unknown, code: string): void {
  assert.throws(work, (error) => {
    assert.ok(error instanceof PipelineError, String(error));
    assert.equal(error.code, code);
    assert.ok(error.message.includes(ID));
    assert.ok(!error.message.includes(CANARY));
    assert.equal(error.cause, undefined);
    return true;
  });
}

test('a raw record comes back with all that its columns may take: body, group, sequence number, attributes, time of receipt', () => {
  assert.deepEqual(openRaw(keyring, entryOf('raw', sealRaw(keyring, ID, full))), full);
  const bare: RawRecord = { body: '', badEnvelope: false, receivedAt: 0, attributes: {} };
  assert.deepEqual(openRaw(keyring, entryOf('raw', sealRaw(keyring, ID, bare))), bare);
});

test('its bytes are those that the page of formats says', () => {
  const { kid, sealed } = sealRaw(keyring, ID, full);
  const plain = openSealOracle(primaryMaster, kid, 'quarantine', ID, sealed);
  assert.deepEqual(rawRecordOracle(plain), {
    flags: 2,
    head: [full.receivedAt, full.attributes, full.groupId, full.sequenceNumber],
    body: full.body,
  });
  assert.ok(!sealed.includes(CANARY));
});

test('a body that UTF-8 cannot hold is kept as it came', () => {
  for (const body of ['\ud800', 'a\udfffb\n', '\ufffd', '"\ud83d"']) {
    assert.equal(readRawRecord(ID, writeRawRecord({ ...full, body })).body, body);
  }
});

test('a masked row comes back with the names of its columns, and rows are joined line by line', () => {
  const text = Buffer.from('user_id\tod\\td\nu1\t\\N\n');
  const [only, ...others] = openMasked(keyring, entryOf('masked', sealMasked(keyring, ID, text)));
  assert.deepEqual([only?.table, only?.columns, others], [null, ['user_id', 'od\td'], []]);
  const { rows } = only ?? { rows: null };
  assert.ok(rows);
  assert.equal(rows.toString(), 'u1\t\\N\n');
  assert.equal(joinRows([rows, rows]).toString(), 'u1\t\\N\nu1\t\\N\n');
});

test('a raw body is never taken for a masked row, nor the other way round, whatever the row in the table says', () => {
  refuses(() => openMasked(keyring, entryOf('masked', sealRaw(keyring, ID, full))), 'payload_corrupt');
  const sneaky = { ...full, body: `M\u0001user_id\n${CANARY}\n` };
  refuses(() => openMasked(keyring, entryOf('masked', sealRaw(keyring, ID, sneaky))), 'payload_corrupt');
  const masked = sealMasked(keyring, ID, Buffer.from(`a\n${CANARY}\n`));
  refuses(() => openRaw(keyring, entryOf('raw', masked)), 'payload_corrupt');
});

test('an entry opens under its own id only', () => {
  const sealed = sealRaw(keyring, '01890a5d-ac96-774b-bcce-b302099a8058', full);
  refuses(() => openRaw(keyring, entryOf('raw', sealed)), 'payload_corrupt');
});

test('a key that the keyring does not hold is no fault of the bytes', () => {
  const { sealed } = sealRaw(keyring, ID, full);
  const onlyFirst = testKeyring(new Map([...testMasters].slice(0, 1)));
  assert.throws(
    () => openRaw(onlyFirst, entryOf('raw', { kid: 2, sealed })),
    (error) =>
      error instanceof PipelineError && error.code === 'key_unavailable' && /key 2/.test(error.message),
  );
});

test('what a newer version has sealed is left for it', () => {
  for (const [kind, text] of [
    ['raw', 'R\u0002anything'],
    ['masked', 'M\u0003anything'],
  ] as const) {
    const entry = entryOf(kind, seal(keyring, 'quarantine', ID, Buffer.from(text, 'latin1')));
    refuses(() => (kind === 'raw' ? openRaw(keyring, entry) : openMasked(keyring, entry)), 'payload_newer');
  }
});

test('malformed bytes are refused, and nothing of them is quoted', () => {
  const prefix = (flags: number, head: string): Buffer => {
    const bytes = Buffer.from(`R\u0001\u0000\u0000\u0000\u0000\u0000${head}`, 'latin1');
    bytes.writeUInt8(flags, 2);
    bytes.writeUInt32BE(head.length, 3);
    return bytes;
  };
  const raws = [
    Buffer.alloc(0),
    Buffer.from('R'),
    Buffer.from('R\u0000aaaaaaa', 'latin1'),
    Buffer.from('R\u0001\u0000\u0000', 'latin1'),
    prefix(4, '[0,{},null,null]'),
    prefix(0, `{"${CANARY}"`),
    prefix(0, 'null'),
    prefix(0, '[0,{},null]'),
    prefix(0, '["0",{},null,null]'),
    prefix(0, '[9e99,{},null,null]'),
    prefix(0, '[0,[],null,null]'),
    prefix(0, '[0,{"a":1},null,null]'),
    prefix(0, '[0,{},7,null]'),
    prefix(0, '[0,{},null,{}]'),
    Buffer.concat([prefix(0, '[0,{},null,null]'), Buffer.from([0xff])]),
    Buffer.concat([prefix(1, '[0,{},null,null]'), Buffer.from('abc')]),
    writeRawRecord(full).subarray(0, 20),
  ];
  for (const bytes of raws) {
    refuses(
      () => openRaw(keyring, entryOf('raw', seal(keyring, 'quarantine', ID, bytes))),
      'payload_corrupt',
    );
  }
  for (const text of [
    '',
    'a',
    `a\n`,
    `a\n${CANARY}`,
    `a\nb\tc\n`,
    `a\tb\n${CANARY}\n`,
    `a\n${CANARY}\nc\n`,
  ]) {
    const entry = entryOf('masked', sealMasked(keyring, ID, Buffer.from(text)));
    refuses(() => openMasked(keyring, entry), 'payload_corrupt');
  }
});

test('all rows that a record has in several tables come back, each with its table and columns', () => {
  const plain = maskedRecord([
    { table: 'public.orders', columns: ['id', 'a\tb'], lines: [Buffer.from('1\tx\n')] },
    { table: 'public.none', columns: ['id'], lines: [] },
    { table: 'public.it\\ems', columns: ['sku'], lines: [Buffer.from('s\n'), Buffer.from('\\N\n')] },
  ]);
  const tables = openMasked(keyring, entryOf('masked', sealMasked(keyring, ID, plain, 'record')));
  assert.deepEqual(
    tables.map(({ rows, ...rest }) => ({ ...rest, rows: rows.toString() })),
    [
      { table: 'public.orders', columns: ['id', 'a\tb'], rows: '1\tx\n' },
      { table: 'public.it\\ems', columns: ['sku'], rows: 's\n\\N\n' },
    ],
  );
});

test('a record of several tables is never taken for one row, nor cut short', () => {
  const of = (text: string): SealedEntry =>
    entryOf('masked', sealMasked(keyring, ID, Buffer.from(text), 'record'));
  const twoRows = entryOf('masked', sealMasked(keyring, ID, Buffer.from(`t\t1\na\tb\nc\n${CANARY}\n`)));
  refuses(() => openMasked(keyring, twoRows), 'payload_corrupt');
  for (const text of ['', 't\t2\nid\n1\n', 't\t0\nid\n', 't\nid\n1\n', 't\t1\nid\n1\t2\n', 't\t1\nid\n1'])
    refuses(() => openMasked(keyring, of(text)), 'payload_corrupt');
});

test('what was opened is sealed again to the same bytes, be it one row or rows of several tables', () => {
  for (const [text, form] of [
    ['a\\tb\n\\N\n', 'row'],
    ['t\t1\nid\n1\nit\\\\ems\t2\nsku\ns\n\\N\n', 'record'],
  ] as const) {
    const entry = entryOf('masked', sealMasked(keyring, ID, Buffer.from(text), form));
    const again = sealTables(keyring, ID, openMasked(keyring, entry));
    const plain = (sealed: Buffer): Buffer =>
      openSealOracle(primaryMaster, again.kid, 'quarantine', ID, sealed);
    assert.deepEqual(plain(again.sealed), plain(entry.sealed));
  }
});
