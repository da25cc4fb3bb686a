import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { systemClock } from '../../src/clock.js';
import { sampleStrength } from '../../src/foresight/anonymity.js';
import { explain } from '../../src/foresight/explanation.js';
import { preview } from '../../src/foresight/preview.js';
import { maskStrengths } from '../../src/foresight/strength.js';
import { throwawayKeyring } from '../../src/foresight/test-keyring.js';
import { messagesWith, pipelineWith } from '../support/foresight.js';

const keyring = throwawayKeyring(0);

describe('mask strength', () => {
  const pipeline = pipelineWith({
    ip_token: '{ from: ip, mask: { method: hmac, domain: ip, as: ip } }',
    name_token: '{ from: name, mask: { method: siv, domain: name } }',
    padded: '{ from: name, mask: { method: siv, domain: name, pad: 32 } }',
    ssn: '{ from: ssn, mask: { method: hmac, domain: ssn } }',
    card: '{ from: card, mask: { method: ff1, template: "^(\\\\d{4})-(\\\\d{4})$" } }',
    near: '{ from: ip, mask: { method: ip-truncate, v4: 20 } }',
    pfx: '{ from: ip, mask: { method: ipcrypt-pfx } }',
    age: '{ from: age, mask: { method: bucket, edges: [18, 65] } }',
    born: '{ from: born, type: date, mask: { method: date-shift, entity: user_id, days: 10 } }',
    gone: '{ from: gone, mask: { method: drop } }',
    user_id: '{ from: user_id, type: text }',
    city: '{ from: city, type: text }',
    amount: '{ from: amount, type: integer }',
    mask_kid: '{ from: $mask_kid, type: integer }',
    sent: '{ from: $sent_at, type: date }',
  });
  const byColumn = new Map(maskStrengths(pipeline.policy).map((one) => [one.column, one]));

  const facts: readonly (readonly [column: string, space: string | null, leak: RegExp | null, by: RegExp])[] =
    [
      ['ip_token', '2^32 (IPv4)', /^equality, frequency$/, /holds the key, by trying out 2\^32/],
      ['name_token', null, /the length in bytes$/, /holds the key, at once/],
      ['padded', null, /the length, to 32 bytes$/, /holds the key, at once/],
      ['ssn', '10^9 (nine digits)', /^equality, frequency$/, /by trying out 10\^9/],
      ['card', '10^8 at least', /separators/, /holds the key/],
      ['near', '2^12 addresses behind each value (IPv4)', /first 20 bits of IPv4, 48 of IPv6/, /anybody/],
      ['pfx', '2^32 (IPv4)', /share a network/, /holds the key/],
      ['age', '3 ranges in all', /the range/, /anybody/],
      ['born', '21 days', /give or take 10 days/, /knows one date of an entity/],
      ['gone', null, /^$/, /nobody/],
    ];
  for (const [column, space, leak, by] of facts) {
    test(`of ${column} says who finds out, among how many, and what shows`, () => {
      const strength = byColumn.get(column);
      assert.equal(strength?.space, space);
      if (leak) assert.match(strength.leaks.join(', '), leak);
      assert.match(strength.found_by, by);
    });
  }

  test('tells identifiers, quasi-identifiers and the rest apart', () => {
    const exposures = ['user_id', 'city', 'amount', 'mask_kid', 'sent', 'near', 'ip_token', 'gone'].map(
      (column) => byColumn.get(column)?.exposure,
    );
    assert.deepEqual(exposures, [
      'identifier',
      'quasi_identifier',
      'other',
      'other',
      'quasi_identifier',
      'part',
      'token',
      'none',
    ]);
  });

  test('on a sample, k is the smallest group and the share of rows in groups below five is counted', () => {
    const small = pipelineWith({
      city: '{ from: city, type: text }',
      lang: '{ from: lang, type: text }',
      amount: '{ from: amount, type: integer }',
    });
    // Groups of 7, 3 and 2 rows; amounts are no quasi-identifier.
    const bodies = [
      ...Array.from({ length: 7 }, (_, i) => ({ city: 'A', lang: 'de', amount: i })),
      ...Array.from({ length: 3 }, (_, i) => ({ city: 'A', lang: 'fr', amount: i })),
      ...Array.from({ length: 2 }, (_, i) => ({ city: 'B', amount: i })),
      { city: 1 },
    ];
    const strengths = maskStrengths(small.policy);
    const sample = sampleStrength(small, strengths, keyring, systemClock, messagesWith(bodies));
    assert.deepEqual(sample, {
      pipeline: 'events',
      rows: 12,
      quarantined: 1,
      counts: [
        { column: 'city', values: 12, nulls: 0, distinct: 2 },
        { column: 'lang', values: 10, nulls: 2, distinct: 2 },
        { column: 'amount', values: 12, nulls: 0, distinct: 7 },
      ],
      quasi_identifiers: ['city', 'lang'],
      k: 2,
      share_below_5: 5 / 12,
      leaks: [],
      small_spaces: [],
    });
  });

  test('tokens of values of which there are few are told, whatever their column is called', () => {
    const tokens = pipelineWith({
      a: '{ from: a, mask: { method: hmac } }',
      b: '{ from: b, mask: { method: siv } }',
      c: '{ from: c, type: text }',
    });
    const bodies = Array.from({ length: 10 }, (_, i) => ({
      a: `078-05-112${i}`,
      b: `word${i}`,
      c: '192.0.2.1',
    }));
    const strengths = maskStrengths(tokens.policy);
    const sample = sampleStrength(tokens, strengths, keyring, systemClock, messagesWith(bodies));
    assert.deepEqual(sample.small_spaces, [{ column: 'a', space: '10^9 (nine digits)' }]);
  });

  test('values that are masked in one column and kept in another are found', () => {
    const leaky = pipelineWith({
      masked: '{ from: email, mask: { method: siv } }',
      note: '{ from: note, type: text }',
      other: '{ from: other, type: text }',
      fine: '{ from: fine, type: text }',
    });
    const bodies = [
      { email: 'a@example.com', note: 'from a@example.com', fine: 'x' },
      { email: 'b@example.com', other: 'a@example.com', fine: 'y' },
    ];
    const sample = sampleStrength(
      leaky,
      maskStrengths(leaky.policy),
      keyring,
      systemClock,
      messagesWith(bodies),
    );
    assert.deepEqual(sample.leaks, [
      { column: 'note', masked: 'masked', rows: 1 },
      { column: 'other', masked: 'masked', rows: 1 },
    ]);
  });
});

describe('preview', () => {
  test('counts rows, rejections by code and path, and dropped fields by name, and shows shapes only', () => {
    const pipeline = pipelineWith({
      ip: '{ from: ip, required: true, mask: { method: siv, as: ip } }',
      locale: '{ from: locale, type: text, max_length: 2 }',
    });
    const bodies = [
      { ip: '192.0.2.1', locale: 'de', extra: 1, 'jane@12345': 2 },
      { ip: '192.0.2.1', extra: 1 },
      { ip: 'x' },
      { ip: '192.0.2.1', locale: 'deu' },
      'canary',
    ];
    const shown = preview(pipeline, keyring, systemClock, messagesWith(bodies), 0);
    assert.deepEqual([shown.records, shown.rows, shown.quarantined], [5, 2, 3]);
    assert.deepEqual(shown.dropped_fields, [
      { field: 'extra', records: 2 },
      { field: '*', records: 1 },
    ]);
    assert.deepEqual(
      new Set(shown.rejections.map(({ code, path }) => `${code} ${path}`)),
      new Set(['bad_ip ip', 'too_long locale', 'not_json null']),
    );
    assert.deepEqual(shown.columns[0], {
      column: 'ip',
      from: 'ip',
      method: 'siv',
      values: 2,
      distinct: 1,
      before: [{ shape: '9.9.9.9 (9-16)', count: 2 }],
      after: [{ shape: 'a token', count: 2 }],
      examples: [],
    });
    assert.doesNotMatch(JSON.stringify(shown), /192\.0\.2|canary|jane/);
    const open = preview(pipeline, keyring, systemClock, messagesWith(bodies), 1);
    assert.equal(open.columns[0]?.examples[0]?.before, '192.0.2.1');
  });
});

describe('parts of a JSON value', () => {
  const rest = (masks: string): string => `{ from: $rest, keep: [state, users], masks: { ${masks} } }`;
  const email = '"users[*].email"';
  const bodies = [
    { state: 'paid', users: [{ email: 'ann@x.example', n: 1 }, { email: 'bob@x.example' }], extra: 1 },
    { state: 'sent', users: [], deep: { secret: 's' } },
    { state: 'sent', users: 'ann@x.example' },
  ];
  const pipeline = pipelineWith({
    rest: rest(`${email}: { method: siv, domain: mail }, deep.name: { method: hmac }`),
  });

  test('are previewed each by its name, as shapes; what is left out of them is counted by its path', () => {
    const shown = preview(pipeline, keyring, systemClock, messagesWith(bodies), 0);
    assert.deepEqual(
      shown.columns.map(({ column, method, values, before }) => [
        column,
        method,
        values,
        before.map(({ shape }) => shape),
      ]),
      [
        ['rest.deep.name', 'hmac', 0, ['NULL']],
        ['rest.state', 'keep', 2, ['a (1-8)']],
        ['rest.users', 'keep', 2, ['a list', 'an empty list']],
        ['rest.users[*].email', 'siv', 2, ['a list', 'an empty list']],
      ],
    );
    assert.deepEqual(shown.dropped_fields, [
      { field: 'extra', records: 1 },
      { field: 'deep.secret', records: 1 },
    ]);
    assert.deepEqual(shown.rejections, [{ code: 'wrong_type', path: '$rest', records: 1 }]);
    assert.doesNotMatch(JSON.stringify(shown), /x\.example|paid/);
  });

  test('are explained each by its name when their masks change', () => {
    const other = pipelineWith({ rest: rest(`${email}: { method: siv, domain: other }`) });
    const told = explain(
      { pipeline, keyring },
      { pipeline: other, keyring },
      systemClock,
      messagesWith(bodies),
    );
    assert.deepEqual(
      told.columns.map(({ column, change, breaks_equality, differences }) => [
        column,
        change,
        breaks_equality,
        differences.join('; '),
      ]),
      [
        ['rest', 'same', false, ''],
        ['rest.deep.name', 'removed', false, ''],
        ['rest.state', 'same', false, ''],
        ['rest.users', 'same', false, ''],
        ['rest.users[*].email', 'changed', true, 'mask.domain: "mail" -> "other"'],
      ],
    );
  });
});

describe('explain', () => {
  const before = pipelineWith({
    ip: '{ from: ip, mask: { method: siv, domain: ip, as: ip } }',
    name: '{ from: name, mask: { method: siv, domain: name } }',
    kept: '{ from: kept, type: text, max_length: 3 }',
    old: '{ from: kept, type: text }',
    user: '{ from: user, type: text }',
  });
  const after = pipelineWith(
    {
      ip: '{ from: ip, mask: { method: siv, domain: address, as: ip } }',
      name: '{ from: name, mask: { method: siv, domain: name } }',
      kept: '{ from: kept, type: text, max_length: 10 }',
      user: '{ from: user, type: text, required: true }',
      fresh: '{ from: name, type: text }',
    },
    ['on_unknown_field: quarantine'],
  );
  const bodies = [
    { ip: '192.0.2.1', name: 'n', kept: 'abc', user: 'u' },
    { ip: '192.0.2.1', name: 'm', kept: 'abcd', user: 'u' },
    { ip: '192.0.2.2', name: 'n', kept: 'a' },
    { ip: 'x' },
    { user: 'u', other: 1 },
  ];
  const told = explain(
    { pipeline: before, keyring },
    { pipeline: after, keyring },
    systemClock,
    messagesWith(bodies),
  );
  const byColumn = new Map(told.columns.map((column) => [column.column, column]));

  test('counts what would be quarantined and what accepted, by code and path', () => {
    assert.deepEqual([told.records, told.loaded_before, told.loaded_after], [5, 3, 2]);
    assert.deepEqual(told.newly_accepted, [{ code: 'too_long', path: 'kept', records: 1 }]);
    assert.deepEqual(
      new Set(told.newly_quarantined.map(({ code, path, records }) => `${code} ${path} ${records}`)),
      new Set(['missing_field user 1', 'unknown_field * 1']),
    );
    assert.deepEqual(told.differences, ['on_unknown_field: "drop" -> "quarantine"']);
  });

  test('says of each column what changes, and whether equality with rows that are there breaks', () => {
    const facts = [...byColumn.values()].map(({ column, change, breaks_equality, differences }) => [
      column,
      change,
      breaks_equality,
      differences.join('; '),
    ]);
    assert.deepEqual(facts, [
      ['ip', 'changed', true, 'mask.domain: "ip" -> "address"'],
      ['name', 'same', false, ''],
      ['kept', 'changed', false, 'max_length: 3 -> 10'],
      ['old', 'removed', false, ''],
      ['user', 'changed', false, 'required: false -> true'],
      ['fresh', 'added', false, ''],
    ]);
    assert.equal(byColumn.get('ip')?.values_changed, 1);
    assert.equal(byColumn.get('name')?.values_changed, 0);
    assert.equal(byColumn.get('old')?.after, null);
    assert.equal(byColumn.get('fresh')?.before, null);
    assert.deepEqual([byColumn.get('ip')?.before?.distinct, byColumn.get('ip')?.after?.distinct], [2, 1]);
    assert.equal(byColumn.get('ip')?.before?.nulls, 1);
  });

  test('other settings for opening messages are told, and records are compared by their place in a message', () => {
    const lists = pipelineWith({ name: '{ from: name, type: text }' });
    const { opening } = lists.source;
    const whole = { ...lists, source: { ...lists.source, opening: { ...opening, records: 'one' as const } } };
    const few = { ...lists, source: { ...lists.source, opening: { ...opening, maxRecords: 2 } } };
    const names = [[{ name: 'a' }, { name: 'b' }], { name: 'c' }, [], [{ name: 'd' }]];
    const compared = (fresh: typeof lists) => {
      const side = { pipeline: fresh, keyring };
      const { records, columns, ...rest } = explain(
        { pipeline: lists, keyring },
        side,
        systemClock,
        messagesWith(names),
      );
      return { ...rest, records, changed: columns[0]?.values_changed };
    };
    const same = { pipeline: lists.name, records: 4, loaded_before: 4, changed: 0, newly_accepted: [] };
    assert.deepEqual(compared(few), {
      ...{ ...same, loaded_after: 4, newly_quarantined: [] },
      differences: ['limits.max_records: 10000 -> 2'],
    });
    assert.deepEqual(compared(whole), {
      ...{ ...same, loaded_after: 1, newly_quarantined: [{ code: 'not_object', path: null, records: 2 }] },
      differences: ['source.records: "auto" -> "one"'],
    });
  });

  test('another key breaks the equality of every keyed column, and shows no value', () => {
    const other = explain(
      { pipeline: before, keyring },
      { pipeline: before, keyring: throwawayKeyring(1) },
      systemClock,
      messagesWith(bodies),
    );
    assert.deepEqual(
      other.columns.map(({ column, breaks_equality }) => [column, breaks_equality]),
      [
        ['ip', true],
        ['name', true],
        ['kept', false],
        ['old', false],
        ['user', false],
      ],
    );
    assert.equal(other.columns[0]?.values_changed, 2);
    assert.doesNotMatch(JSON.stringify([told, other]), /192\.0\.2|abc/);
  });
});
