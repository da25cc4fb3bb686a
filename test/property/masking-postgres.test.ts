import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { pipeline } from 'node:stream/promises';
import { Readable } from 'node:stream';
import fc from 'fast-check';
import pg from 'pg';
import { from as copyFrom } from 'pg-copy-streams';

import { systemClock } from '../../src/clock.js';
import { compileMasker } from '../../src/masking/mask.js';
import type { ColumnType } from '../../src/masking/methods.js';
import { batchOf, column, decodeCopy, policyOf, testKeyring, token } from '../support/masking.js';
import { type TestPostgres, startTestPostgres } from '../support/postgres.js';

let postgres: TestPostgres;
let client: pg.Client;

before(async () => {
  postgres = await startTestPostgres();
  client = new pg.Client({ connectionString: await postgres.database() });
  await client.connect();
  await client.query(`set time zone 'UTC'`);
});

after(async () => {
  await client.end();
  await postgres.stop();
});

/** Creates table t with those columns, copies the rows into it and returns them as text, in order. */
async function roundTrip(
  definition: string,
  columns: readonly string[],
  rows: Buffer,
): Promise<(string | null)[][]> {
  await client.query('drop table if exists t');
  await client.query(`create table t (line bigint generated always as identity, ${definition})`);
  const names = columns.map((name) => `"${name}"`).join(', ');
  const stream = client.query(copyFrom(`copy t (${names}) from stdin`));
  await pipeline(Readable.from([rows]), stream);
  assert.equal(stream.rowCount, rows.toString().split('\n').length - 1);
  const selected = columns.map((name) => `"${name}"::text`).join(', ');
  const { rows: found } = await client.query<(string | null)[]>({
    text: `select ${selected} from t order by line`,
    rowMode: 'array',
  });
  return found;
}

test('any text that JSON can carry comes back from Postgres as it went in, or is a rejection', async () => {
  const special = fc.constantFrom(
    '\\',
    '\\.',
    '\\N',
    '\t',
    '\n',
    '\r',
    '\0',
    '\ud800',
    '😀',
    '\u0001',
    "'",
    '',
    '\u2028',
  );
  const text = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.array(special).map((parts) => parts.join('')),
  );
  const values = fc.sample(fc.record({ kept: text, json: fc.jsonValue() }), 3000);
  const masker = compileMasker(
    policyOf([column('kept'), column('json', { type: 'jsonb' }), column('masked', { mask: token('siv') })]),
    testKeyring(),
    systemClock,
  );
  const bodies = values.map((value) => JSON.stringify({ ...value, masked: value.kept }));
  const { masked } = masker.mask(batchOf(bodies));
  const found = await roundTrip('kept text, json jsonb, masked text', masked.columns, masked.rows);
  assert.equal(found.length, masked.keys.length);
  for (const [row, key] of masked.keys.entries()) {
    const sent = values[key.message];
    assert.equal(found[row]?.[0], sent?.kept);
    const json = found[row]?.[1];
    assert.deepEqual(
      json === null || json === undefined ? null : JSON.parse(json),
      JSON.parse(JSON.stringify(sent?.json)),
    );
  }
  assert.deepEqual(
    decodeCopy(masked.rows).map((row) => row[2]),
    found.map((row) => row[2]),
  );
  assert.ok(masked.keys.length > 500 && masked.rejections.length > 50, 'both outcomes occur');
  for (const { code } of masked.rejections) assert.equal(code, 'bad_text');
});

test('every spelling of a type that is let through is one that Postgres reads, exactly', async () => {
  const samples: readonly (readonly [ColumnType, string, readonly (readonly [string, string])[]])[] = [
    [
      'integer',
      'integer',
      [
        ['-2147483648', '-2147483648'],
        ['"2147483647"', '2147483647'],
        ['-0', '0'],
        ['1e3', '1000'],
      ],
    ],
    [
      'bigint',
      'bigint',
      [
        ['"-9223372036854775808"', '-9223372036854775808'],
        ['9007199254740991', '9007199254740991'],
      ],
    ],
    [
      'version_int',
      'integer',
      [
        ['"999.999.999"', '999999999'],
        ['"0.60"', '60000'],
      ],
    ],
    [
      'numeric',
      'numeric',
      [
        ['1.50', '1.50'],
        ['0.1234567890123456789012345678901234567890', '0.1234567890123456789012345678901234567890'],
        ['1e3', '1000'],
        ['"-12E-3"', '-0.012'],
        ['-0', '0'],
        [`1e131071`, `1${'0'.repeat(131071)}`],
        [`1e-16383`, `0.${'0'.repeat(16382)}1`],
      ],
    ],
    [
      'boolean',
      'boolean',
      [
        ['true', 'true'],
        ['false', 'false'],
      ],
    ],
    [
      'date',
      'date',
      [
        ['"0001-01-01"', '0001-01-01'],
        ['"9999-12-31"', '9999-12-31'],
        ['"2024-02-29"', '2024-02-29'],
      ],
    ],
    [
      'timestamptz',
      'timestamptz',
      [
        ['"2024-01-01T00:00:00Z"', '2024-01-01 00:00:00+00'],
        ['"2024-01-01t00:00:00.123456z"', '2024-01-01 00:00:00.123456+00'],
        ['"2024-01-01T00:00:00.123456789+15:59"', '2023-12-31 08:01:00.123457+00'],
        ['"2024-01-01T00:00:00-00:00"', '2024-01-01 00:00:00+00'],
        ['"1990-12-31T23:59:60Z"', '1991-01-01 00:00:00+00'],
        ['"1990-12-31T23:59:60.000Z"', '1991-01-01 00:00:00+00'],
        ['"0001-01-01T00:00:00+14:00"', '0001-12-31 10:00:00+00 BC'],
        ['"9999-12-31T23:59:59.999999-15:59"', '10000-01-01 15:58:59.999999+00'],
      ],
    ],
    ['uuid', 'uuid', [['"424CDD21-063A-43A7-B91B-7CA1A833AFAE"', '424cdd21-063a-43a7-b91b-7ca1a833afae']]],
    [
      'inet',
      'inet',
      [
        ['"1.2.3.4"', '1.2.3.4/32'],
        ['"10.1.0.0/8"', '10.1.0.0/8'],
        ['"2001:DB8:0::1"', '2001:db8::1/128'],
        ['"::ffff:1.2.3.4"', '::ffff:1.2.3.4/128'],
        ['"::1.2.3.4/96"', '::1.2.3.4/96'],
        ['"::/0"', '::/0'],
      ],
    ],
    [
      'jsonb',
      'jsonb',
      [
        ['{"a":1.50,"a":12345678901234567890}', '{"a": 12345678901234567890}'],
        ['"\\\\u0000"', '"\\\\u0000"'],
        ['"😀\\n"', '"😀\\n"'],
      ],
    ],
  ];
  for (const [type, pgType, pairs] of samples) {
    const masker = compileMasker(policyOf([column('c', { type })]), testKeyring(), systemClock);
    const { masked } = masker.mask(batchOf(pairs.map(([json]) => `{"c":${json}}`)));
    assert.deepEqual(masked.rejections, [], type);
    const found = await roundTrip(`c ${pgType}`, masked.columns, masked.rows);
    assert.deepEqual(
      found.flat(),
      pairs.map(([, expected]) => expected),
      type,
    );
  }
});

test('$loaded_at is the time of the transaction that loads the row', async () => {
  const source = { kind: 'meta', name: 'loaded_at' } as const;
  const columns = [column('at', { source, type: 'timestamptz' }), column('day', { source, type: 'date' })];
  const { masked } = compileMasker(policyOf(columns), testKeyring(), systemClock).mask(batchOf(['{}']));
  await client.query('drop table if exists t');
  await client.query('create table t (at timestamptz, day date)');
  await client.query('begin');
  const stream = client.query(copyFrom('copy t (at, day) from stdin'));
  await pipeline(Readable.from([masked.rows]), stream);
  const { rows } = await client.query<{ same: boolean }>(
    'select at = now() and day = current_date as same from t',
  );
  await client.query('commit');
  assert.deepEqual(rows, [{ same: true }]);
});
