import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Batch, MaskedBatch } from '../../src/batch.js';
import { systemClock } from '../../src/clock.js';
import { PipelineError } from '../../src/errors.js';
import { compileLeakGate } from '../../src/masking/leak-gate.js';
import { compileMasker } from '../../src/masking/mask.js';
import { asMasked } from '../../src/masking/masked.js';
import {
  type ColumnPolicy,
  type ColumnSpec,
  type MaskSpec,
  policySha256,
} from '../../src/masking/methods.js';
import { actionFor } from '../../src/policy.js';
import { batchOf, column, policyOf, testKeyring, token } from '../support/masking.js';

const POLICY = policyOf([
  column('note'),
  column('masked_id', { path: 'id', source: { kind: 'field', name: 'id' }, mask: token('siv') }),
  column('masked_ip', {
    path: 'ip',
    source: { kind: 'field', name: 'ip' },
    mask: token('siv', { as: 'ip' }),
  }),
  column('extra', { type: 'jsonb' }),
]);

type Fields = Readonly<{ [name: string]: unknown }>;

function masked(fields: readonly Fields[], policy: ColumnPolicy = POLICY): [Batch, MaskedBatch] {
  const batch = batchOf(fields.map((one) => JSON.stringify(one)));
  return [batch, compileMasker(policy, testKeyring(), systemClock).mask(batch).masked];
}

/** What the gate says of messages with these fields, or null when it lets them pass. */
function said(fields: readonly Fields[], policy: ColumnPolicy = POLICY): string | null {
  return saidOf(masked(fields, policy), policy);
}

function saidOf([batch, rows]: [Batch, MaskedBatch], policy: ColumnPolicy = POLICY): string | null {
  try {
    compileLeakGate(policy, systemClock).check(batch, rows);
    return null;
  } catch (error) {
    assert.ok(error instanceof PipelineError, String(error));
    assert.equal(error.code, 'leak_found');
    return error.message;
  }
}

const ID = 'ann.example@mail.test';
const bytes = Buffer.from(ID);

for (const [form, note] of [
  ['as it was sent', ID],
  ['within other text', `mail from <${ID}>, twice`],
  ['in upper case', ID.toUpperCase()],
  ['in hexadecimal', bytes.toString('hex')],
  ['in upper hexadecimal', `0x${bytes.toString('hex').toUpperCase()}`],
  ['in base64', bytes.toString('base64')],
  ['in base64 behind one byte', Buffer.from(`"${ID}"`).toString('base64')],
  ['in base64 behind two bytes', Buffer.from(`--${ID}--`).toString('base64')],
  ['in base64url', Buffer.from(`"${ID}"`).toString('base64url')],
  ['with URL escapes', `?mail=${encodeURIComponent(ID)}`],
] as const) {
  test(`a masked value that is kept elsewhere is found: ${form}`, () => {
    const message = said([
      { id: 'someone-else-12', note: 'nothing' },
      { id: ID, note },
    ]);
    assert.match(message ?? '', /what masked_id masks is in note \(1 of 2 rows\)/);
    assert.ok(!message?.toLowerCase().includes('ann'), 'the message quotes nothing');
  });
}

for (const [what, id, note] of [
  ['a backslash, which COPY doubles', 'domain\\ann.example', 'by domain\\ann.example'],
  ['quotes within JSON text', 'Ann "the" Example', JSON.stringify({ name: 'Ann "the" Example' })],
  ['escapes of JSON beyond ASCII', 'André Élan', '{"name":"Andr\\u00e9 \\u00c9lan"}'],
  ['another normal form', 'Andre\u0301 Exemple', 'Andr\u00e9 Exemple'],
  ['a plus for a space in a URL', 'Ann Q. Example', 'q=Ann+Q.+Example'],
  ['white space at its ends', '  ann.example \n', 'ann.example'],
] as const) {
  test(`a masked value is found behind ${what}`, () => {
    assert.match(said([{ id, note }]) ?? '', /what masked_id masks is in note/);
  });
}

test('an address is found in the spelling of its mask too', () => {
  const ip = '2001:0DB8:0000:0000:0000:0000:C0FF:EE01';
  assert.match(said([{ ip, note: '2001:db8::c0ff:ee01' }]) ?? '', /what masked_ip masks is in note/);
  assert.match(said([{ ip, note: ip.toLowerCase() }]) ?? '', /what masked_ip masks is in note/);
  assert.match(said([{ ip: '203.0.113.77', note: 'from 203.0.113.77:443' }]) ?? '', /masked_ip/);
});

test('a masked value is found deep in a kept JSON value', () => {
  const message = said([{ id: 'Ann "the" Example', extra: { deep: [{ by: 'Ann "the" Example' }] } }]);
  assert.match(message ?? '', /what masked_id masks is in extra/);
});

test("an id is found in another person's row, and a name, a phrase or a time is not", () => {
  const crossed = (id: string): string | null => said([{ id, note: 'x' }, { note: `see ${id}` }]);
  for (const id of [
    'ann.example@mail.test',
    '5f0c1d2e-7b6a-4988-9a3b-c4d5e6f70819',
    'DE89370400440532013000',
  ])
    assert.match(crossed(id) ?? '', /what masked_id masks is in note \(1 of 2 rows\)/);
  for (const id of [
    'Flat 12, 34 Long Street',
    'Ann Example',
    'United States of America',
    '2026-11-21T10:00:00Z',
    'some_long_enum_value',
  ])
    assert.equal(crossed(id), null, id);
});

test('values of every method but keep are looked for, numbers among them, and not what maskline itself gives', () => {
  for (const mask of [
    token('siv'),
    token('hmac'),
    { method: 'constant', value: 'x' },
    { method: 'null' },
    { method: 'drop' },
  ] satisfies MaskSpec[]) {
    const policy = policyOf([column('note'), column('secret', { mask })]);
    assert.match(said([{ secret: 'ann.example', note: 'ann.example' }], policy) ?? '', /secret/, mask.method);
  }
  const dropped = policyOf([column('note'), column('secret', { mask: { method: 'drop' } })]);
  assert.match(said([{ secret: 4155550123, note: 'call 4155550123' }], dropped) ?? '', /secret/);
  const constant = policyOf([
    column('id', { source: { kind: 'meta', name: 'message_id' }, path: '$message_id' }),
    column('a', {
      source: { kind: 'meta', name: 'message_id' },
      mask: { method: 'constant', value: 'message-0' },
    }),
  ]);
  assert.equal(said([{}], constant), null);
});

test('values of attributes and group ids are looked for', () => {
  const policy = policyOf([
    column('note'),
    column('a', {
      source: { kind: 'attribute', name: 'mail' },
      path: '$attributes.mail',
      mask: token('siv'),
    }),
    column('g', { source: { kind: 'meta', name: 'group_id' }, path: '$group_id', mask: token('siv') }),
  ]);
  const check = (note: string): string | null => {
    const batch = batchOf([JSON.stringify({ note })], { attributes: { mail: ID }, groupId: 'group-of-ann' });
    return saidOf([batch, compileMasker(policy, testKeyring(), systemClock).mask(batch).masked], policy);
  };
  assert.match(check(ID) ?? '', /what a masks is in note/);
  assert.match(check('group-of-ann') ?? '', /what g masks is in note/);
  assert.equal(check('neither'), null);
});

test('short values, and values of few different characters, may agree by chance', () => {
  const rows = (id: (i: number) => string, note: (i: number) => string): Fields[] =>
    Array.from({ length: 500 }, (_, i) => ({ id: id(i), note: note(i) }));
  const same = (value: (i: number) => string): string | null => said(rows(value, value));
  assert.equal(
    same(() => 'true'),
    null,
    'one value in all rows',
  );
  assert.equal(
    same((i) => ['DE', 'FR', 'IT', 'ES'][i % 4] ?? ''),
    null,
    'four values',
  );
  assert.equal(
    same(() => '00000000-0000-0000-0000-000000000000'),
    null,
  );
  assert.equal(
    said(
      rows(
        (i) => `${i % 90}`,
        (i) => `${(i * 7) % 90}`,
      ),
    ),
    null,
    'two columns of ages',
  );
  assert.equal(
    said(
      rows(
        (i) => `u${i % 20}`,
        (i) => `u${Math.floor(i / 25)}`,
      ),
    ),
    null,
    'every value of one with every value of the other',
  );
});

test('a kept column that repeats a masked one is found, however short its values are', () => {
  const people = Array.from({ length: 60 }, (_, i) => ({ id: `u${i}`, note: `U${i}` }));
  assert.match(said(people) ?? '', /what masked_id masks is in note \(60 of 60 rows\)/);
  // One person with a thousand rows is one coincidence.
  assert.equal(
    said(
      Array.from({ length: 1000 }, () => ({ id: 'u1', note: 'u1' })).concat(
        people.map(({ id }) => ({ id, note: 'x' })),
      ),
    ),
    null,
  );
});

test('a token column that holds its raw value is found, short or long', () => {
  for (const id of ['7', 'ann', 'ann.example', `long ${'x y z '.repeat(20)}`]) {
    const [batch, { rows, ...rest }] = masked([{ id, note: 'x' }]);
    const fields = rows.toString('utf8').trimEnd().split('\t');
    fields[1] = id.trim();
    const unmasked = { ...rest, rows: asMasked(Buffer.from(`${fields.join('\t')}\n`)) };
    assert.match(saidOf([batch, unmasked]) ?? '', /masked_id is not masked \(1 of 1 rows\)/, id);
  }
});

test('a list of tokens that holds a raw value is found, short or long; so is a kept list that repeats a masked one', () => {
  const contacts = (member: string): Pick<ColumnSpec, 'path' | 'source'> => ({
    path: `contacts[*].${member}`,
    source: { kind: 'path', name: 'contacts', steps: [{ each: true }, { member }] },
  });
  for (const type of ['text', 'text[]'] as const) {
    const policy = policyOf([
      column('pins', { ...contacts('pin'), type, mask: token('siv') }),
      column('mails', { ...contacts('mail'), type, mask: token('hmac') }),
    ]);
    const keeping = policyOf(policy.columns.map((spec) => ({ ...spec, mask: { method: 'keep' } })));
    for (const [pin, mail, expected] of [
      ['4711', null, /pins is not masked \(1 of 1 rows\)/],
      [null, ID, /mails is not masked \(1 of 1 rows\)/],
    ] as const) {
      const fields = [{ contacts: [{ pin: null }, { pin, mail }] }];
      const [batch, rows] = masked(fields, policy);
      assert.equal(saidOf([batch, rows], policy), null);
      const raw = masked(fields, keeping)[1].rows;
      assert.match(saidOf([batch, { ...rows, rows: raw }], policy) ?? '', expected);
    }
    const repeated = policyOf([
      column('masked_mails', { ...contacts('mail'), type, mask: token('siv') }),
      column('mails', { ...contacts('mail'), type: type === 'text' ? 'jsonb' : type }),
    ]);
    assert.match(
      said([{ contacts: [{ mail: 'bob.example@mail.test' }, { mail: ID }] }], repeated) ?? '',
      /what masked_mails masks is in mails/,
    );
  }
});

test('a token that only encodes its value is found', () => {
  const [batch, { rows, ...rest }] = masked([{ id: ID, note: 'x' }]);
  const fields = rows.toString('utf8').split('\t');
  fields[1] = `s2.${Buffer.concat([Buffer.alloc(16, 1), bytes]).toString('base64url')}`;
  const encoded = { ...rest, rows: asMasked(Buffer.from(fields.join('\t'))) };
  assert.match(saidOf([batch, encoded]) ?? '', /masked_id is not masked/);
});

test('what leaves beside the rows is what is configured, and ids of the batch', () => {
  const [batch, rows] = masked([{ id: ID }, { id: 7 }]);
  const [rejection] = rows.rejections;
  assert.ok(rejection);
  assert.equal(saidOf([batch, rows]), null);
  const leaking: readonly [Partial<MaskedBatch>, RegExp][] = [
    [{ rejections: [{ ...rejection, path: ID }] }, /1 of its rejections have a path or a code/],
    [{ keys: rows.keys.map((key) => ({ ...key, id: ID })) }, /its rows are not/],
    [{ keys: rows.keys.map((key) => ({ ...key, messageId: ID })) }, /its rows are not/],
    [{ keys: [] }, /its rows are not/],
    [{ columns: rows.columns.with(0, ID) }, /its columns are not the configured ones/],
  ];
  for (const [change, message] of leaking) {
    const text = saidOf([batch, { ...rows, ...change }]) ?? '';
    assert.match(text, message);
    assert.ok(!text.includes(ID));
  }
});

test('records that are no rows are not read: one of them may have ended a worker', () => {
  const [batch, rows] = masked([
    { id: 7, note: ID },
    { id: ID, note: 'x' },
  ]);
  const records = batch.records.map((record, i) => (i === 0 ? { ...record, body: '{' } : record));
  assert.equal(saidOf([{ ...batch, records }, rows]), null);
});

test('the code sends the batch back and tries nothing again, and the gate is no part of what made the rows', () => {
  assert.equal(actionFor(new PipelineError('leak_found', '')), 'give_up');
  const { sha256, ...policy } = POLICY;
  assert.equal(policySha256(policy), sha256);
});

test('the time of the gate grows with the batch, though all values begin alike and stand in kept cells', () => {
  const msOf = (count: number): number => {
    const [batch, rows] = masked(
      Array.from({ length: count }, (_, i) => ({
        id: `https://people.test/profiles/${i}`,
        note: `https://people.test/articles/${i}`,
      })),
    );
    const gate = compileLeakGate(POLICY, systemClock);
    const times = [1, 2, 3].map(() => {
      const before = process.cpuUsage();
      gate.check(batch, rows);
      const { user, system } = process.cpuUsage(before);
      return user + system;
    });
    return Math.min(...times);
  };
  msOf(2_000);
  const ratio = msOf(20_000) / msOf(2_000);
  assert.ok(ratio < 40, `ten times the rows took ${ratio.toFixed(1)} times as long`);
});
