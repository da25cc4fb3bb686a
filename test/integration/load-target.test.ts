import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type PostgresPool, createPool } from '../../src/load/connection.js';
import { createTarget, planTarget } from '../../src/load/target-plan.js';
import { type TargetSpec, checkTarget, targetSpec } from '../../src/load/target.js';
import type { ColumnSpec, MaskSpec } from '../../src/masking/methods.js';
import { batchOf, openSink } from '../support/load.js';
import { type TestPostgres, rowsOf, startTestPostgres } from '../support/postgres.js';

let server: TestPostgres;
before(async () => {
  server = await startTestPostgres();
});
after(() => server.stop());

const siv = (options: Partial<Extract<MaskSpec, { method: 'siv' | 'hmac' }>> = {}): MaskSpec => ({
  method: 'siv',
  domain: 'd',
  as: 'text',
  pad: null,
  lower: false,
  ...options,
});

const column = (name: string, options: Partial<ColumnSpec> = {}): ColumnSpec => ({
  name,
  path: name,
  source: { kind: 'field', name },
  type: 'text',
  maxLength: null,
  required: false,
  mask: { method: 'keep' },
  ...options,
});

const spec = (columns: readonly ColumnSpec[], options: Partial<TargetSpec> = {}): TargetSpec => ({
  ...targetSpec({ columns }, { schema: 'public', table: 'user_logins', create: false }),
  ...options,
});

async function withDatabase(
  ddl: string,
  work: (pool: PostgresPool, url: string) => Promise<void>,
): Promise<void> {
  const url = await server.database();
  if (ddl !== '') await rowsOf(url, ddl);
  const pool = createPool({ url, applicationName: 'test' });
  try {
    await work(pool, url);
  } finally {
    await pool.close();
  }
}

/** The columns of the documentation's example, and what `create: true` makes of them there. */
const logins: readonly ColumnSpec[] = [
  column('user_id', { maxLength: 128, required: true }),
  column('device_type', { maxLength: 32 }),
  column('masked_ip', { required: true, mask: siv({ as: 'ip' }) }),
  column('masked_device_id', { required: true, mask: siv() }),
  column('locale', { maxLength: 32 }),
  column('app_version', { maxLength: 32 }),
  column('create_date', { type: 'date', source: { kind: 'meta', name: 'sent_at' } }),
];

test('create: true makes the table of the documentation, once, and then has nothing to plan or to find', async () => {
  await withDatabase('', async (pool, url) => {
    const target = spec([...logins, column('gone', { mask: { method: 'drop' } })], { create: true });
    const own = { ...target, columns: targetSpec({ columns: target.columns }, target).columns };
    const made = await Promise.all([1, 2, 3].map(() => createTarget(pool, own)));
    assert.equal(made.flat().length, 1);
    const columns = await rowsOf(
      url,
      `select attname as name, format_type(atttypid, atttypmod) as type, attnotnull as required from pg_attribute
        where attrelid = 'public.user_logins'::regclass and attnum > 0 order by attnum`,
    );
    assert.deepEqual(columns, [
      { name: 'user_id', type: 'character varying(128)', required: true },
      { name: 'device_type', type: 'character varying(32)', required: false },
      { name: 'masked_ip', type: 'character varying(256)', required: true },
      { name: 'masked_device_id', type: 'character varying(256)', required: true },
      { name: 'locale', type: 'character varying(32)', required: false },
      { name: 'app_version', type: 'character varying(32)', required: false },
      { name: 'create_date', type: 'date', required: false },
    ]);
    assert.deepEqual(await planTarget(pool, own), []);
    assert.deepEqual(await checkTarget(pool, own), []);
  });
});

test('every type has a column that takes it, also in a schema that has to be made first', async () => {
  await withDatabase('', async (pool) => {
    const types = [
      'text',
      'integer',
      'bigint',
      'numeric',
      'boolean',
      'date',
      'timestamptz',
      'uuid',
      'inet',
      'jsonb',
      'version_int',
    ] as const;
    const target = spec(
      types.map((type) => column(`a "${type}"`, { type })),
      { schema: 'My "own"', create: true },
    );
    assert.match(
      (await checkTarget(pool, target))[0]?.message ?? '',
      /does not exist; run `maskline migrate`/,
    );
    assert.equal((await createTarget(pool, target)).length, 2);
    assert.deepEqual(await checkTarget(pool, target), []);
  });
});

test('a column that does not take what it is sent is found with both ways out, and the planned ALTER mends it', async () => {
  const ddl = `create table user_logins (app_version integer, n integer, masked integer, small varchar(20));
    insert into user_logins values (60000, 1, 2, 'kept')`;
  await withDatabase(ddl, async (pool, url) => {
    const target = spec([
      column('app_version', { maxLength: 32 }),
      column('n', { type: 'bigint' }),
      column('masked', { mask: siv() }),
      column('small', { maxLength: 32 }),
    ]);
    const findings = await checkTarget(pool, target);
    assert.deepEqual(
      findings.map((finding) => [finding.severity, finding.column]),
      [
        ['error', 'app_version'],
        ['error', 'n'],
        ['error', 'masked'],
        ['error', 'small'],
      ],
    );
    const plan = await planTarget(pool, target);
    assert.match(
      findings[0]?.message ?? '',
      /app_version of public\.user_logins is integer, but is sent text/,
    );
    assert.match(findings[0]?.message ?? '', /`type: integer` or `type: version_int`/);
    assert.match(findings[3]?.message ?? '', /`max_length: 20`/);
    for (const [index, step] of plan.entries()) {
      assert.ok(findings[index]?.message.includes(step.sql), step.sql);
      assert.equal(step.automatic, false);
      await rowsOf(url, step.sql);
    }
    assert.deepEqual(await checkTarget(pool, target), []);
    assert.deepEqual(await rowsOf(url, 'select * from user_logins'), [
      { app_version: '60000', n: '1', masked: '2', small: 'kept' },
    ]);
    await rowsOf(url, 'alter table user_logins alter app_version type integer using app_version::integer');
    assert.deepEqual(await checkTarget(pool, spec([column('app_version', { type: 'version_int' })])), []);
  });
});

test('an ALTER of the plan never cuts off a value: it fails instead', async () => {
  await withDatabase(
    `create table user_logins (a jsonb); insert into user_logins values ('"0123456789"')`,
    async (pool, url) => {
      const [step] = await planTarget(pool, spec([column('a', { maxLength: 5 })]));
      await assert.rejects(rowsOf(url, step?.sql ?? ''), { code: '22001' });
    },
  );
});

interface Case {
  readonly ddl: string;
  readonly columns: readonly ColumnSpec[];
  readonly severity: 'error' | 'warning';
  readonly says: RegExp;
}

const table = (definition: string): string => `create table user_logins (${definition})`;
const a = (options: Partial<ColumnSpec> = {}): readonly ColumnSpec[] => [column('a', options)];

const cases: Readonly<{ [name: string]: Case }> = {
  'no table': {
    ddl: '',
    columns: a(),
    severity: 'error',
    says: /does not exist; make it, or set `create: true`/,
  },
  'a view': {
    ddl: 'create view user_logins as select text $$x$$ as a',
    columns: a(),
    severity: 'error',
    says: /not a table/,
  },
  'an unlogged table': {
    ddl: 'create unlogged table user_logins (a text)',
    columns: a(),
    severity: 'error',
    says: /unlogged/,
  },
  'an unlogged partition': {
    ddl: `create table user_logins (a text) partition by list (a);
          create unlogged table part partition of user_logins default`,
    columns: a(),
    severity: 'error',
    says: /a partition of it is unlogged/,
  },
  'no default partition': {
    ddl: 'create table user_logins (a text) partition by list (a)',
    columns: a(),
    severity: 'warning',
    says: /no default partition/,
  },
  'a missing column': {
    ddl: table('b text'),
    columns: a(),
    severity: 'error',
    says: /add column if not exists "a" text/,
  },
  'a generated column': {
    ddl: table('b text, a text generated always as (b) stored'),
    columns: a(),
    severity: 'error',
    says: /generated/,
  },
  'a NOT NULL column that nothing fills': {
    ddl: table('a text, b text not null'),
    columns: a(),
    severity: 'error',
    says: /column b .*NOT NULL without a default/,
  },
  'a NOT NULL column that may be absent': {
    ddl: table('a text not null'),
    columns: a(),
    severity: 'warning',
    says: /required: true/,
  },
  'a NOT NULL domain that may be absent': {
    ddl: `create domain d as text not null; ${table('a d')}`,
    columns: a(),
    severity: 'warning',
    says: /required: true/,
  },
  'NULL into NOT NULL': {
    ddl: table('a text not null'),
    columns: a({ mask: { method: 'null' } }),
    severity: 'error',
    says: /mask null/,
  },
  'a text without limit into varchar': {
    ddl: table('a varchar(9)'),
    columns: a(),
    severity: 'warning',
    says: /`max_length: 9`/,
  },
  'a domain over a short varchar': {
    ddl: `create domain d as varchar(9); ${table('a d')}`,
    columns: a({ maxLength: 10 }),
    severity: 'error',
    says: /needs 10 characters/,
  },
  'bigint into integer': {
    ddl: table('a integer'),
    columns: a({ type: 'bigint' }),
    severity: 'error',
    says: /`type: integer`/,
  },
  'integer into smallint': {
    ddl: table('a smallint'),
    columns: a({ type: 'integer' }),
    severity: 'warning',
    says: /not take every value/,
  },
  'numeric into a float': {
    ddl: table('a float8'),
    columns: a({ type: 'numeric' }),
    severity: 'warning',
    says: /not exactly/,
  },
  'timestamptz into timestamp': {
    ddl: table('a timestamp'),
    columns: a({ type: 'timestamptz' }),
    severity: 'warning',
    says: /not exactly/,
  },
  'uuid into varchar(35)': {
    ddl: table('a varchar(35)'),
    columns: a({ type: 'uuid' }),
    severity: 'error',
    says: /needs 36/,
  },
  'text into an enum': {
    ddl: `create type mood as enum ('ok'); ${table('a mood')}`,
    columns: a(),
    severity: 'warning',
    says: /values that the type does not take are quarantined/,
  },
  'text into an array': {
    ddl: table('a text[]'),
    columns: a(),
    severity: 'error',
    says: /is text\[\], but is sent text/,
  },
  // h + kid + . + ceil(16 * 4 / 3) = 22 characters: 25 with a kid of one digit, 28 with four.
  'an hmac token into varchar(24)': {
    ddl: table('a varchar(24)'),
    columns: a({ mask: siv({ method: 'hmac' }) }),
    severity: 'error',
    says: /needs 25/,
  },
  'an hmac token into varchar(27)': {
    ddl: table('a varchar(27)'),
    columns: a({ mask: siv({ method: 'hmac' }) }),
    severity: 'warning',
    says: /may one day need 28/,
  },
  // An address is 16 bytes behind a synthetic IV of 16: ceil(32 * 4 / 3) = 43 characters.
  'an ip token into varchar(45)': {
    ddl: table('a varchar(45)'),
    columns: a({ mask: siv({ as: 'ip' }) }),
    severity: 'error',
    says: /needs 46/,
  },
  'an ip token into inet': {
    ddl: table('a inet'),
    columns: a({ mask: siv({ as: 'ip' }) }),
    severity: 'error',
    says: /tokens of siv/,
  },
  'a padded token into varchar(45)': {
    ddl: table('a varchar(45)'),
    columns: a({ mask: siv({ pad: 16 }) }),
    severity: 'error',
    says: /needs 46/,
  },
  'a token into varchar(100)': {
    ddl: table('a varchar(100)'),
    columns: a({ mask: siv() }),
    severity: 'warning',
    says: /may one day need 256/,
  },
  'a constant into a shorter column': {
    ddl: table('a varchar(3)'),
    columns: a({ mask: { method: 'constant', value: 'four' } }),
    severity: 'error',
    says: /needs 4/,
  },
};

for (const [name, { ddl, columns, severity, says }] of Object.entries(cases)) {
  test(`${name}: one finding, a${severity === 'error' ? 'n error' : ' warning'}, that says how to mend it`, async () => {
    await withDatabase(ddl, async (pool) => {
      const findings = await checkTarget(pool, spec(columns));
      assert.deepEqual(
        findings.map((finding) => finding.severity),
        [severity],
        JSON.stringify(findings),
      );
      assert.match(findings[0]?.message ?? '', says);
    });
  });
}

test('what fits is not complained of', async () => {
  const ddl = table(
    `a varchar(28), b varchar(49), c text, d bigint, e numeric(9,2), f timestamptz, g varchar(40), h text not null default 'x',
     i integer generated always as identity, j varchar(64)`,
  );
  await withDatabase(ddl, async (pool) => {
    const columns = [
      column('a', { mask: siv({ method: 'hmac' }) }),
      column('b', { mask: siv({ as: 'ip' }) }),
      column('c', { maxLength: 5 }),
      column('d', { type: 'integer' }),
      column('e', { type: 'numeric' }),
      column('f', { type: 'date' }),
      column('g', { type: 'inet' }),
      column('j', { mask: siv(), maxLength: 64 }),
    ];
    assert.deepEqual(await checkTarget(pool, spec(columns)), []);
  });
});

test('rights that the role lacks are found column by column, and row security too', async () => {
  const name = `checker_${Date.now()}`;
  const ddl = `${table('a text, b text')}; alter table user_logins enable row level security;
    create role ${name} login password 'x'; grant insert (a) on user_logins to ${name}`;
  await withDatabase(ddl, async (_, url) => {
    const own = new URL(url);
    own.username = name;
    own.password = 'x';
    const pool = createPool({ url: own.href, applicationName: 'test' });
    const findings = await checkTarget(pool, spec([column('a'), column('b')]));
    await pool.close();
    assert.deepEqual(
      findings.map((finding) => [finding.severity, finding.column]),
      [
        ['error', null],
        ['error', 'b'],
      ],
    );
    assert.match(findings[1]?.message ?? '', /grant INSERT/);
  });
});

test('a column added to the pipeline is added to a table that maskline makes, and only there', async () => {
  await withDatabase(`${table('a text')}; insert into user_logins values ('kept')`, async (pool, url) => {
    const columns = [column('a'), column('b', { maxLength: 7, required: true })];
    assert.deepEqual(await createTarget(pool, spec(columns)), []);
    assert.equal((await planTarget(pool, spec(columns))).length, 1);
    await createTarget(pool, spec(columns, { create: true }));
    assert.deepEqual(await checkTarget(pool, spec(columns)), []);
    assert.deepEqual(await rowsOf(url, 'select a, b from user_logins'), [{ a: 'kept', b: null }]);
  });
});

test('what Postgres fills itself is left to it: COPY names configured columns only, and a configured one that it fills is an error', async () => {
  const ddl = `create table public.events (
    id bigint generated always as identity, at timestamptz not null default '2020-01-01Z',
    name varchar(10), n integer, twice integer generated always as (n * 2) stored, note text default 'none',
    own bigint generated by default as identity)`;
  for (const upsert of [null, { keys: ['name'], newestBy: null }]) {
    const it = await openSink(server, `${ddl}; create unique index on public.events (name)`, {
      target: { schema: 'public', table: 'events', upsert },
    });
    try {
      const columns = ['name', 'n'];
      const own = {
        ...spec([column('name', { required: true }), column('n', { type: 'integer' })], { table: 'events' }),
        upsert,
      };
      const findings = await checkTarget(it.pool, own);
      assert.deepEqual(
        findings.filter(({ severity }) => severity === 'error'),
        [],
      );
      const bad = { id: 'c', values: ['toolonganame', '1'] };
      await it.sink.commit(batchOf({ columns, rows: [{ id: 'a', values: ['a', '1'] }] }));
      await it.sink.commit(
        batchOf({ columns, rows: [{ id: 'b', values: ['b', '2'] }, bad, { ...bad, id: 'd' }] }),
      );
      const rows = await rowsOf(
        it.url,
        'select name, twice, note, at::text like $$2020-01-01%$$ as at, id > 0 as id, own > 0 as own from public.events order by name',
      );
      const filled = { note: 'none', at: true, id: true, own: true };
      assert.deepEqual(rows, [
        { name: 'a', twice: 2, ...filled },
        { name: 'b', twice: 4, ...filled },
      ]);
      const errors = await checkTarget(it.pool, {
        ...own,
        columns: [
          ...own.columns,
          column('id', { type: 'bigint' }),
          column('twice', { type: 'integer' }),
          column('own', { type: 'bigint', required: true }),
        ],
      });
      assert.deepEqual(
        errors.filter(({ severity }) => severity === 'error').map(({ message }) => message),
        [
          'column id of public.events is an identity column that Postgres always numbers itself; take it out of the pipeline',
          'column twice of public.events is generated, and cannot be loaded; take it out of the pipeline',
        ],
      );
    } finally {
      await it.close();
    }
  }
});
