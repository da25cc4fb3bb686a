import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type Clock, systemClock } from '../../src/clock.js';
import { NULL_FIELD, encodeField } from '../../src/copy-text.js';
import { type PostgresPool, createPool } from '../../src/load/connection.js';
import { copyRows } from '../../src/load/copy.js';
import { readLimits } from '../../src/load/table-limits.js';
import { beyondLimit } from '../../src/masking/limits.js';
import { compileMasker } from '../../src/masking/mask.js';
import { TargetLimits } from '../../src/roles/target-limits.js';
import { batchOf, column, policyOf, testKeyring } from '../support/masking.js';
import { type TestPostgres, rowsOf, startTestPostgres, withConnection } from '../support/postgres.js';

let server: TestPostgres;
before(async () => {
  server = await startTestPostgres();
});
after(() => server.stop());

const TABLE = { schema: 'public', table: 'events' };

/** A column of that type, and what to put into it. */
interface Case {
  readonly type: string;
  readonly values: readonly (string | null)[];
  /** How many of the values are refused beforehand; the table may refuse others. */
  readonly foreseen: number;
}

const cases: readonly Case[] = [
  {
    type: 'varchar(3)',
    values: ['', 'abc', 'abcd', 'abc  ', 'äöü', '😀😀😀', '😀😀😀😀', ' abc', 'ab\tc', 'a\n\\', null],
    foreseen: 4,
  },
  { type: 'char(2)', values: ['a', 'abc', 'ab   ', null], foreseen: 1 },
  { type: 'short', values: ['abc', 'abcd', null], foreseen: 1 },
  { type: 'shorter', values: ['abc', 'abcd', null], foreseen: 1 },
  { type: 'text', values: ['x'.repeat(9_000), null], foreseen: 0 },
  { type: 'text not null', values: ['', null], foreseen: 1 },
  { type: 'never_null', values: ['', null], foreseen: 0 },
  { type: 'int2', values: ['32767', '32768', '-32768', '-32769', '00001', 'x', '1e3', null], foreseen: 2 },
  {
    type: 'int4',
    values: ['2147483647', '2147483648', '-2147483648', '-2147483649', '9'.repeat(30)],
    foreseen: 3,
  },
  {
    type: 'int8',
    values: ['9223372036854775807', '9223372036854775808', '-9223372036854775809'],
    foreseen: 2,
  },
  {
    type: 'numeric(5,2)',
    values: [
      '999.99',
      '999.994',
      '999.995',
      '1000',
      '-1000',
      '1e3',
      '1e2',
      '0.001e6',
      '10000e-1',
      '0',
      '0e9',
      '-0.00e10',
      'NaN',
      '0.0001',
      '123456789e-7',
    ],
    foreseen: 5,
  },
  { type: 'numeric(2,-3)', values: ['99499', '99500', '100000', '99999'], foreseen: 1 },
  { type: 'numeric(3,5)', values: ['0.00999', '0.01', '0.009994', '0.1', '1'], foreseen: 3 },
  { type: 'numeric(2,2)', values: ['0.99', '1', '0', '1e-3'], foreseen: 1 },
  { type: 'numeric', values: ['1e100'], foreseen: 0 },
  { type: 'positive', values: ['5', '-5', '100000'], foreseen: 1 },
  { type: 'color', values: ['red', 'Red', "gre'en", 'blue', '', null], foreseen: 3 },
  {
    type: "varchar(9) check (c in ('a', 'b''c', 'd, e'))",
    values: ['a', 'A', "b'c", 'd, e', '', null],
    foreseen: 2,
  },
  { type: "text check (c in ('a'))", values: ['a', 'b', null], foreseen: 0 },
  { type: "text check (c in ('a', 'b')) check (c <> 'b')", values: ['a', 'b', 'c'], foreseen: 1 },
  { type: "text check (c in ('a', 'b') or length(c) = 5)", values: ['a', 'c', 'fives'], foreseen: 0 },
  { type: "text check (c not in ('a', 'b'))", values: ['a', 'c'], foreseen: 0 },
  { type: "text collate any_case check (c in ('a', 'b'))", values: ['A', 'c'], foreseen: 0 },
  { type: 'json', values: ['{}', 'x'], foreseen: 0 },
  { type: 'int4[]', values: ['{1}', '{99999999999}'], foreseen: 0 },
];

const TYPES = `
  create domain short as varchar(3); create domain shorter as short; create domain never_null as text not null;
  create domain positive as numeric(5, 2) check (value > 0);
  create type color as enum ('red', 'gre''en');
  create collation any_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false)`;

async function withTable(
  ddl: string,
  work: (pool: PostgresPool, url: string) => Promise<void>,
): Promise<void> {
  const url = await server.database();
  await rowsOf(url, `${TYPES}; ${ddl}`);
  const pool = createPool({ url, applicationName: 'test' });
  try {
    await work(pool, url);
  } finally {
    await pool.close();
  }
}

/** Which of the fields the table refuses by itself, as COPY brings them. */
async function refusedByTable(url: string, fields: readonly string[]): Promise<readonly boolean[]> {
  return withConnection(url, async (client) => {
    const refused: boolean[] = [];
    for (const field of fields) {
      await client.query('begin');
      const copied = copyRows(client, 'public.events', ['c'], Buffer.from(`${field}\n`));
      refused.push(
        await copied.then(
          () => false,
          () => true,
        ),
      );
      await client.query('rollback');
    }
    return refused;
  });
}

const fieldOf = (value: string | null): string => (value === null ? NULL_FIELD : encodeField(value));

for (const { type, values, foreseen } of cases) {
  test(`a row that the table takes is never refused beforehand: ${type}`, async () => {
    await withTable(`create table public.events (c ${type})`, async (pool, url) => {
      const limit = (await readLimits(pool, TABLE)).get('c');
      const fields = values.map(fieldOf);
      const beforehand = fields.map((field) => limit !== undefined && beyondLimit(field, limit) !== null);
      const byTable = await refusedByTable(url, fields);
      const wrongly = values.filter((_, i) => beforehand[i] && !byTable[i]);
      assert.deepEqual(wrongly, []);
      assert.equal(beforehand.filter(Boolean).length, foreseen);
    });
  });
}

test('what a trigger may mend is left to it, and what no trigger sees is not', async () => {
  const trigger = (on: string): string => `
    create function mend() returns trigger language plpgsql as $$ begin new.c := coalesce(new.c, 'a'); return new; end $$;
    create trigger mend before insert on ${on} for each row execute function mend()`;
  const ddl = "create table public.events (c varchar(3) not null check (c in ('a', 'b')))";
  const parts = `${ddl} partition by hash (c);
    create table public.part partition of public.events for values with (modulus 1, remainder 0)`;
  for (const [made, expected] of [
    [ddl, ['missing_field', 'out_of_range', 'too_long']],
    [`${ddl}; ${trigger('public.events')}`, [null, null, 'too_long']],
    [`${parts}; ${trigger('public.part')}`, [null, null, 'too_long']],
    [
      `${ddl}; ${trigger('public.events')}; alter table public.events disable trigger mend`,
      ['missing_field', 'out_of_range', 'too_long'],
    ],
  ] as const) {
    await withTable(made, async (pool) => {
      const limit = (await readLimits(pool, TABLE)).get('c');
      assert.ok(limit);
      const found = [NULL_FIELD, 'c', 'long'].map((field) => beyondLimit(field, limit));
      assert.deepEqual(found, expected, made);
    });
  }
});

const POLICY = policyOf([
  column('name', { path: 'user.name' }),
  column('n', { type: 'bigint' }),
  column('gone', { mask: { method: 'drop' } }),
]);
const BODIES = [
  '{"name":"abc","n":1}',
  '{"name":"abcdef","n":2}',
  '{"name":"abc","n":99999}',
  '{"name":null,"n":99999}',
];

/** A clock that a test moves on. */
function movable(): Clock & { ms: number } {
  const clock = { ...systemClock, ms: 0, elapsed: (): number => clock.ms };
  return clock;
}

test('a record that the table would refuse is rejected beforehand, by code and path, its first column first', async () => {
  await withTable('create table public.events (name varchar(3) not null, n int2)', async (pool) => {
    const limits = new TargetLimits(pool, [TABLE], systemClock);
    const masker = compileMasker(POLICY, testKeyring(), systemClock, { limits });
    const { masked, counts } = await limits.confirming(masker).mask(batchOf(BODIES));
    assert.deepEqual(
      masked.rejections.map(({ id, code, path, kind }) => [id, code, path, kind]),
      [
        ['message-1', 'too_long', 'user.name', 'raw'],
        ['message-2', 'out_of_range', 'n', 'raw'],
        ['message-3', 'missing_field', 'user.name', 'raw'],
      ],
    );
    assert.deepEqual([counts.rows, counts.rejected, masked.rows.toString()], [1, 3, 'abc\t1\n']);
  });
});

test('a table that was made wider meanwhile refuses nothing that it takes now; one made narrower is noticed in time', async () => {
  await withTable('create table public.events (name varchar(3) not null, n int2)', async (pool, url) => {
    const clock = movable();
    const limits = new TargetLimits(pool, [TABLE], clock);
    const masker = limits.confirming(compileMasker(POLICY, testKeyring(), systemClock, { limits }));
    const rejected = async (): Promise<number> =>
      (await masker.mask(batchOf(BODIES))).masked.rejections.length;
    assert.equal(await rejected(), 3);
    await rowsOf(
      url,
      'alter table public.events alter name type text, alter name drop not null, alter n type int8',
    );
    assert.equal(await rejected(), 0);
    await rowsOf(url, 'alter table public.events alter name type varchar(3)');
    assert.equal(await rejected(), 0);
    clock.ms += 60_001;
    assert.equal(await rejected(), 1);
    await rowsOf(url, 'drop table public.events');
    assert.equal(await rejected(), 0);
  });
});

test('while Postgres is away, nothing is rejected by what it said before', async () => {
  await withTable('create table public.events (name varchar(3) not null, n int2)', async (pool) => {
    let isAway = false;
    const query: PostgresPool['query'] = (text, values) =>
      isAway ? Promise.reject(new Error('away')) : pool.query(text, values);
    const limits = new TargetLimits({ query }, [TABLE], systemClock);
    const masker = limits.confirming(compileMasker(POLICY, testKeyring(), systemClock, { limits }));
    assert.equal((await masker.mask(batchOf(BODIES))).masked.rejections.length, 3);
    isAway = true;
    assert.equal((await masker.mask(batchOf(BODIES))).masked.rejections.length, 0);
  });
});

test('each table refuses what it refuses itself, and a record that one of them would refuse is in none', async () => {
  const items = { schema: 'public', table: 'items' };
  const each = { path: 'items[*]', place: { name: 'items', steps: [{ each: true }] } } as const;
  const sku = column('name', {
    path: 'items[*].sku',
    source: { kind: 'path', name: 'items', steps: [{ each: true }, { member: 'sku' }], within: 1 },
  });
  const policy = policyOf([column('name')], {
    several: { table: 'public.events', further: [{ table: 'public.items', columns: [sku], each }] },
  });
  const ddl =
    'create table public.events (name varchar(3)); create table public.items (name varchar(5) not null)';
  await withTable(ddl, async (pool, url) => {
    const limits = new TargetLimits(pool, [TABLE, items], systemClock);
    const masker = limits.confirming(compileMasker(policy, testKeyring(), systemClock, { limits }));
    const mask = async () => {
      const { masked } = await masker.mask(
        batchOf([
          '{"name":"abc","items":[{"sku":"abcde"}]}',
          '{"name":"abcd","items":[]}',
          '{"name":"b","items":[{"sku":"x"},{"sku":"abcdef"}]}',
          '{"name":"c","items":[{"sku":"y"},{}]}',
        ]),
      );
      return {
        rejected: masked.rejections.map(({ id, code, path }) => [id, code, path]),
        rows: [masked.rows, masked.several?.further[0]?.rows].map(String),
      };
    };
    assert.deepEqual(await mask(), {
      rejected: [
        ['message-1', 'too_long', 'name'],
        ['message-2', 'too_long', 'items[*].sku'],
        ['message-3', 'missing_field', 'items[*].sku'],
      ],
      rows: ['abc\n', 'abcde\n'],
    });
    // One that takes more meanwhile refuses nothing that it takes now.
    await rowsOf(url, 'alter table public.items alter name type text, alter name drop not null');
    assert.deepEqual((await mask()).rejected, [['message-1', 'too_long', 'name']]);
  });
});
