import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../../src/clock.js';
import { encodeField } from '../../src/copy-text.js';
import { holdsStored, holdsValue, storedForms } from '../../src/masking/erasure.js';
import { compileMasker } from '../../src/masking/mask.js';
import type { ColumnSpec, MaskSpec } from '../../src/masking/methods.js';
import { auditReference, openSivTokens } from '../../src/masking/reveal.js';
import {
  batchOf,
  column,
  decodeCopy,
  policyOf,
  testKeyring,
  testMasters,
  token,
} from '../support/masking.js';
import { tokenOracle } from '../support/oracle.js';

const keyring = testKeyring();
const SSN = [{ least: 9, most: 9 }] as const;

test('a value is looked for under every key that the keyring holds, in its canonical form', () => {
  for (const method of ['siv', 'hmac'] as const) {
    const expected = [...testMasters].map(([kid, master]) =>
      tokenOracle(master, kid, method, 'd', 'text', 'Value'),
    );
    const forms = storedForms(column('a', { mask: token(method) }), keyring, ' Value ');
    assert.deepEqual(
      forms?.map(({ stored }) => stored),
      expected,
    );
  }
  const ip = storedForms(column('a', { mask: token('siv', { as: 'ip' }) }), keyring, '::ffff:192.0.2.1');
  assert.deepEqual(
    ip?.map(({ stored }) => stored),
    [...testMasters].map(([kid, master]) => tokenOracle(master, kid, 'siv', 'd', 'ip', '192.0.2.1')),
  );
});

test('what the mask makes of a value today is among its stored forms, for every method that can be searched', () => {
  const masks: readonly MaskSpec[] = [
    token('siv', { pad: 16, lower: true }),
    token('hmac', { pad: 64 }),
    { method: 'ff1', domain: 'd', template: SSN, alphabet: '0123456789' },
    { method: 'ipcrypt-det', domain: 'd' },
    { method: 'ipcrypt-pfx', domain: 'd' },
    { method: 'keep' },
  ];
  for (const mask of masks) {
    const value = mask.method === 'ff1' ? '123456789' : '192.0.2.77';
    const spec = column('a', { mask });
    const body = JSON.stringify({ a: value });
    const { masked } = compileMasker(policyOf([spec]), keyring, systemClock).mask(batchOf([body]));
    const [[cell] = []] = decodeCopy(masked.rows);
    const forms = storedForms(spec, keyring, value) ?? [];
    assert.ok(
      forms.some(({ stored }) => stored === cell),
      mask.method,
    );
    assert.equal(forms.length, mask.method === 'keep' ? 1 : 2);
  }
});

test('what leads back to no value is not searched, and what is no value of a column has no form', () => {
  const none: readonly MaskSpec[] = [
    { method: 'null' },
    { method: 'drop' },
    { method: 'partial', kind: 'email' },
  ];
  for (const mask of none) assert.equal(storedForms(column('a', { mask }), keyring, 'x'), null);
  const meta: Partial<ColumnSpec> = { source: { kind: 'meta', name: 'message_id' } };
  assert.equal(storedForms(column('a', meta), keyring, 'x'), null);
  const empty: readonly MaskSpec[] = [
    token('siv', { as: 'ip' }),
    { method: 'ipcrypt-det', domain: 'd' },
    { method: 'ff1', domain: 'd', template: SSN, alphabet: '0123456789' },
  ];
  for (const mask of empty) assert.deepEqual(storedForms(column('a', { mask }), keyring, 'no such'), []);
});

test('a rejected record holds a value wherever it stands, in any spelling that masks take for the same', () => {
  const record = (body: string, attributes = {}) => ({ body, badEnvelope: false, receivedAt: 0, attributes });
  const held = [
    '{"a":" Value "}',
    '{"a":{"b":[1,{"c":"VALUE"}]}}',
    '"value"',
    '{"Message":"{\\"a\\":\\"value\\"}"}',
    'broken { value',
  ];
  for (const body of held) assert.ok(holdsValue(record(body), 'value'), body);
  assert.ok(holdsValue(record('{}', { who: 'value' }), 'value'));
  assert.ok(holdsValue(record('{"ip":"2001:DB8:0::1"}'), '2001:db8::1'));
  assert.ok(holdsValue(record('{"n":42}'), '42'));
  for (const body of ['{"a":"values"}', '{"value":1}', '{"a":null}', '[]', 'broken'])
    assert.ok(!holdsValue(record(body), 'value'), body);
  const deep = `${'['.repeat(100_000)}"value"${']'.repeat(100_000)}`;
  assert.ok(holdsValue(record(deep), 'value'), 'no depth is too deep');
});

test('a siv token is opened by the one mask that made it, whatever shares its domain', () => {
  const shapes = [
    token('siv'),
    token('siv', { pad: 16 }),
    token('siv', { pad: 32 }),
    token('siv', { as: 'ip' }),
    token('siv', { domain: 'other' }),
  ];
  const master = testMasters.get(1) ?? Buffer.alloc(0);
  for (const { domain, as, pad } of shapes) {
    for (const value of as === 'ip'
      ? ['192.0.2.1', '2001:db8::1']
      : ['sixteen bytes 16', 'short', 'ÀÀ', 'x'.repeat(31)]) {
      const text = tokenOracle(master, 1, 'siv', domain, as, value, { pad }) ?? '';
      assert.deepEqual(openSivTokens(keyring, shapes, ['h1.x', text]), [null, { value, domain }]);
      assert.deepEqual(openSivTokens(keyring, [token('siv', { domain: 'none' })], [text]), [null]);
    }
  }
});

test('a reference in the audit is of one key, column and text, and gives nothing of the text away', () => {
  const place = { pipeline: 'p', column: 'c' };
  const reference = auditReference(keyring, 1, place, '123-45-6789');
  assert.match(reference, /^f1\.[A-Za-z0-9_-]{22}$/);
  assert.equal(auditReference(keyring, 1, place, '123-45-6789'), reference);
  const others = [
    auditReference(keyring, 1, place, '123-45-6780'),
    auditReference(keyring, 1, { ...place, column: 'd' }, '123-45-6789'),
    auditReference(keyring, 2, place, '123-45-6789').replace('f2', 'f1'),
  ];
  assert.equal(new Set([reference, ...others]).size, 4);
});

test('a masked row that a table refused holds a token also where it is one of a list, and nothing that only looks alike', () => {
  const [form] = storedForms(column('a', { mask: token('siv') }), keyring, 'ann') ?? [];
  const stored = new Set([form?.stored ?? assert.fail('it has a form'), 'ann "a\\b"']);
  const steps = [{ each: true }] as const;
  for (const type of ['text', 'text[]'] as const) {
    const source = { kind: 'path', name: 'friends', steps } as const;
    const list = policyOf([column('friends', { source, type, mask: token('siv', { domain: 'd' }) })]);
    const primary =
      storedForms(list.columns[0] ?? assert.fail(), keyring, 'ann')?.map((one) => one.stored) ?? [];
    const masker = compileMasker(list, keyring, systemClock);
    for (const [friends, expected] of [
      [['bob', 'ann'], true],
      [['bob', 'anna'], false],
    ] as const) {
      const { masked } = masker.mask(batchOf([JSON.stringify({ friends })]));
      assert.equal(holdsStored(masked.rows, new Set(primary)), expected, `${type} ${String(friends)}`);
    }
  }
  const rowOf = (...fields: readonly string[]): Buffer =>
    Buffer.from(`${fields.map(encodeField).join('\t')}\n`);
  for (const [fields, expected] of [
    [['1', form?.stored ?? ''], true],
    [['1', `x${form?.stored ?? ''}`], false],
    [['{"deep":{"note":"ann \\"a\\\\b\\""}}'], true],
    [['{"deep":{"note":"ann \\"a\\\\b\\" and more"}}'], false],
    [['{"ann \\"a\\\\b\\"",NULL}'], true],
    [['{NULL,"other"}'], false],
    [['{"half":'], false],
  ] as const)
    assert.equal(holdsStored(rowOf(...fields), stored), expected, fields.join(' | '));
});
