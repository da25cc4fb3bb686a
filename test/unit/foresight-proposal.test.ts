import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { checkConfig } from '../../src/config/load.js';
import { valuesOf } from '../../src/foresight/column-types.js';
import { fieldsOf } from '../../src/foresight/fields.js';
import { proposeColumn } from '../../src/foresight/proposal.js';
import { type ProposedColumn, columnsYaml, nameColumns } from '../../src/foresight/proposal-text.js';
import { type Sample, readSample } from '../../src/foresight/sample-file.js';
import { initTemplate } from '../../src/config/template.js';

/** As many as make a proposal sure. */
const COUNT = 40;

function sampleOf(bodies: readonly unknown[]): Sample {
  const lines = bodies.map((body, i) => ({
    line: i + 1,
    body: typeof body === 'string' ? body : JSON.stringify(body),
  }));
  return { bodies: lines, modifiedAt: 0, isCut: false };
}

function proposed(bodies: readonly unknown[]): readonly ProposedColumn[] {
  const { fields, rows } = fieldsOf(sampleOf(bodies));
  return nameColumns(fields.map((field) => ({ field, proposal: proposeColumn(valuesOf(field, rows)) })));
}

/** The proposal for a field `name` with those values. */
function proposalFor(name: string, valueAt: (i: number) => unknown): ProposedColumn {
  const [column] = proposed(Array.from({ length: COUNT }, (_, i) => ({ [name]: valueAt(i) })));
  assert.ok(column, name);
  return column;
}

describe('proposals', () => {
  const cases: readonly (readonly [
    name: string,
    valueAt: (i: number) => unknown,
    column: string,
    type: string | null,
    mask: RegExp | null,
  ])[] = [
    ['ip', (i) => `192.0.2.${i}`, 'masked_ip', null, /siv, domain: "ip", as: ip/],
    ['origin', (i) => `2001:db8::${i}`, 'masked_origin', null, /siv, domain: "ip", as: ip/],
    ['contact', (i) => `u${i}@example.com`, 'masked_contact', null, /siv, domain: "email", lower: true/],
    ['number', () => '4111111111111111', 'masked_number', null, /siv, domain: "card"/],
    ['account', () => 'DE89370400440532013000', 'masked_account', null, /siv, domain: "iban"/],
    ['device_id', (i) => `078-05-${1000 + i}`, 'masked_device_id', null, /siv, domain: "device_id"/],
    ['reach', (i) => `+49 30 1234${10 + i}`, 'masked_reach', null, /siv, domain: "phone"/],
    ['homePhone', (i) => `030 1234${10 + i}`, 'masked_home_phone', null, /siv, domain: "phone"/],
    ['deviceId', (i) => `00000000-0000-4000-8000-0000000000${10 + i}`, 'masked_device_id', null, /siv/],
    ['firstName', () => 'Jane', 'masked_first_name', null, /siv/],
    ['phone', (i) => 4_930_000_000 + i, 'phone', null, /drop/],
    ['gender', () => 'f', 'gender', null, /drop/],
    ['position', (i) => `52.52${i},13.40${i}`, 'position', null, /drop/],
    ['lat', (i) => 52.5 + i / 1000, 'lat_range', 'text', /bucket, width: "0.1"/],
    ['birth_date', (i) => `1980-01-${10 + (i % 10)}`, 'birth_date_year', 'date', /generalize, to: year/],
    ['comment', (i) => `hello, write to u${i}@example.com please`, 'comment', null, /drop/],
    ['mixed', (i) => (i % 2 === 0 ? 'x' : true), 'mixed', null, /drop/],
    ['user_id', (i) => `00000000-0000-4000-8000-0000000000${10 + i}`, 'user_id', 'uuid', null],
    ['count', (i) => i, 'count', 'integer', null],
    ['total', (i) => 2 ** 40 + i, 'total', 'bigint', null],
    ['price', (i) => i + 0.5, 'price', 'numeric', null],
    ['ok', (i) => i % 2 === 0, 'ok', 'boolean', null],
    ['day', (i) => `2026-01-${10 + (i % 10)}`, 'day', 'date', null],
    ['at', (i) => `2026-01-01T10:00:${10 + i}Z`, 'at', 'timestamptz', null],
    ['app_version', () => '2.3.0', 'app_version', 'text', null],
    ['zip', () => '01067', 'zip', 'text', null],
    ['always_null', () => null, 'always_null', 'text', null],
    ['tags', () => ['a', 'b'], 'tags', 'text[]', null],
    ['scores', () => [1, 2], 'scores', 'jsonb', null],
    ['several', () => [1, 'a'], 'several', null, /drop/],
    ['null', () => 'x', 'null', 'text', null],
  ];
  for (const [name, valueAt, column, type, mask] of cases) {
    test(`a field ${name} becomes ${column}${mask === null ? '' : `, by ${mask.source}`}`, () => {
      const proposal = proposalFor(name, valueAt);
      assert.equal(proposal.column, column);
      assert.equal(proposal.type, type, proposal.reason);
      if (mask === null) assert.equal(proposal.mask, null, proposal.reason);
      else assert.match(proposal.mask ?? '', mask);
    });
  }

  test('all of them together are a file that passes the checks, without a warning', () => {
    const bodies = Array.from({ length: COUNT }, (_, i) =>
      Object.fromEntries(cases.map(([name, valueAt]) => [name, valueAt(i)])),
    );
    const columns = proposed([...bodies]);
    const { yaml } = initTemplate({ columns: columnsYaml(columns, '      ') });
    const env = { DATABASE_URL: 'postgres://localhost/none' };
    const { problems } = checkConfig({ file: 'maskline.yaml', env, read: () => yaml });
    assert.deepEqual(problems, []);
  });

  test('nested fields are proposed by their path, and names that are data are not written', () => {
    const bodies = Array.from({ length: COUNT }, (_, i) => ({
      user: { address: { city: 'X' }, 'odd.name': 'y' },
      contacts: [{ email: `u${i}@example.com` }],
      by_mail: { [`u${i}@example.com`]: 1 },
      by_id: Object.fromEntries(Array.from({ length: 5 }, (__, k) => [`key_${i}${k}000000`, 1])),
      __proto__: 1,
    }));
    const columns = proposed(bodies);
    assert.deepEqual(
      columns.map(({ column, from }) => [column, from]),
      [
        ['user_address_city', 'user.address.city'],
        ['user_odd_name', 'user["odd.name"]'],
        ['masked_contacts_email', 'contacts[*].email'],
      ],
    );
    const { yaml } = initTemplate({ columns: columnsYaml(columns, '      ') });
    const env = { DATABASE_URL: 'postgres://localhost/none' };
    assert.deepEqual(checkConfig({ file: 'f', env, read: () => yaml }).problems, []);
  });

  test('events of another producer and lines that are no events are told by number and decide nothing', () => {
    const own = Array.from({ length: COUNT }, (_, i) => ({ user_id: `u${i}`, ip: '192.0.2.1' }));
    const found = fieldsOf(sampleOf([...own, { foo: 1 }, 'not json', '[1]', '7', '"x"', '{"a":']));
    assert.deepEqual(found.strangerLines, [COUNT + 1]);
    assert.deepEqual(
      found.badLines,
      [2, 3, 4, 5, 6].map((n) => COUNT + n),
    );
    assert.deepEqual(
      found.fields.map(({ from }) => from),
      ['user_id', 'ip'],
    );
  });

  test('values that are missing or stand for none make a column optional, and such words are sentinels', () => {
    const always = proposalFor('locale', () => 'DE');
    assert.equal(always.required, true);
    assert.equal(proposalFor('locale', (i) => (i === 3 ? null : 'DE')).required, false);
    assert.equal(proposalFor('locale', (i) => (i === 3 ? ' ' : 'DE')).required, false);
    const unknown = proposalFor('ip', (i) => (i === 3 ? 'unknown' : `192.0.2.${i}`));
    assert.deepEqual([unknown.required, unknown.sentinels], [false, ['unknown']]);
    assert.match(unknown.reason, /^39 of 39 values are IP addresses/);
    const [few] = proposed([{ locale: 'DE' }]);
    assert.equal(few?.required, false);
    assert.equal(few?.sureness, 'a guess');
  });

  test('values of another kind among those of one kind are said', () => {
    const mostly = proposalFor('ip', (i) => (i < 4 ? `host${i}` : `192.0.2.${i}`));
    assert.match(mostly.reason, /^36 of 40 values are IP addresses.*other 4 would be rejected as bad_ip/);
    assert.equal(mostly.sureness, 'likely');
    const hardly = proposalFor('origin', (i) => (i < 4 ? `192.0.2.${i}` : `host${i}`));
    assert.match(hardly.reason, /^4 of 40 values are IP addresses, the others are not/);
    assert.doesNotMatch(hardly.mask ?? '', /as: ip/);
  });

  test('no value of the sample is in what is written', () => {
    const canary = (i: number): string => `canary${i}`;
    const bodies = Array.from({ length: COUNT }, (_, i) => ({
      ip: `198.51.100.${i}`,
      email: `${canary(i)}@example.com`,
      text: `canary ${i} wrote canary text that is rather long, and that is why it is`,
      list: [canary(i)],
      nested: { [canary(i)]: canary(i) },
    }));
    const yaml = columnsYaml(proposed(bodies), '      ');
    // Names of members are names: what looks like data among them is left out by other means.
    assert.doesNotMatch(yaml.replaceAll(/nested[._]canary[0-9]+/g, ''), /canary|198\.51\.100/);
  });
});

describe('samples', () => {
  const from = async (text: string | Buffer): Promise<readonly (readonly [number, string])[]> => {
    const dir = mkdtempSync(join(tmpdir(), 'maskline-sample-'));
    try {
      const file = join(dir, 'sample');
      writeFileSync(file, text);
      const { bodies } = await readSample(file, Readable.from([]));
      return bodies.map(({ line, body }) => [line, body]);
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  };

  test('are lines, one JSON value over several lines, or the elements of an array', async () => {
    assert.deepEqual(await from('{"a":1}\r\n\n  {"a":2}\nnot json'), [
      [1, '{"a":1}'],
      [3, '{"a":2}'],
      [4, 'not json'],
    ]);
    assert.deepEqual(await from('\u{feff}{\n "a": 1\n}\n'), [[1, '{\n "a": 1\n}']]);
    assert.deepEqual(await from('[\n {"a":1.10},\n\n {"a":\n2}, {"a":3}]'), [
      [2, '{"a":1.10}'],
      [4, '{"a":\n2}'],
      [5, '{"a":3}'],
    ]);
    assert.deepEqual(await from(''), []);
    assert.deepEqual(await from('[]'), []);
    assert.deepEqual(await from('7'), [[1, '7']]);
    assert.equal((await from(Buffer.from([0xff, 0xfe, 0x0a, 0x7b, 0x7d]))).length, 2);
    assert.equal((await from('['.repeat(200_000))).length, 1);
  });

  test('come from standard input as well', async () => {
    const { bodies } = await readSample('-', Readable.from([Buffer.from('{"a"'), Buffer.from(':1}\n')]));
    assert.deepEqual(bodies, [{ line: 1, body: '{"a":1}' }]);
  });

  test('that cannot be read are a usage error', async () => {
    await assert.rejects(readSample('/nowhere/sample', Readable.from([])), /cannot be read \(ENOENT\)/);
    await assert.rejects(readSample(tmpdir(), Readable.from([])), /cannot be read \(EISDIR\)/);
  });
});
