import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { smallEvents, SMALL_COLUMNS } from '../support/events.js';
import { DATABASE_ROLES, allowLogins, applyRoles, urlAs } from '../support/database-roles.js';
import { rowsOf, startTestPostgres, withConnection } from '../support/postgres.js';
import { type Deployment, PIPELINE, Stack, startStack } from '../support/stack.js';

const TABLE = `public.${PIPELINE}`;

/** Every right that any of the roles has, by what it is a right to: all else is denied. */
const MATRIX = {
  'schema maskline': {
    ingest: 'USAGE',
    transform: 'USAGE',
    loader: 'USAGE',
    operator: 'USAGE',
    revealer: 'USAGE',
    auditor: 'USAGE',
  },
  'maskline.migrations': {
    ingest: 'SELECT',
    transform: 'SELECT',
    loader: 'SELECT',
    operator: 'SELECT',
    revealer: 'SELECT',
    auditor: 'SELECT',
  },
  'maskline.ledger': { loader: 'SELECT, INSERT', operator: 'SELECT', auditor: 'SELECT' },
  'maskline.loads': {
    ingest: 'SELECT, INSERT',
    loader: 'SELECT, INSERT',
    operator: 'SELECT, INSERT',
    auditor: 'SELECT',
  },
  'maskline.runs': {
    ingest: 'SELECT, INSERT, UPDATE',
    operator: 'SELECT, INSERT, UPDATE',
    auditor: 'SELECT',
  },
  'maskline.quarantine': { loader: 'INSERT', operator: 'SELECT, DELETE' },
  'maskline.schedules': {
    ingest: 'SELECT, INSERT, UPDATE',
    operator: 'SELECT, INSERT, UPDATE',
    auditor: 'SELECT',
  },
  'maskline.breaker': {
    ingest: 'SELECT, INSERT, UPDATE',
    operator: 'SELECT, INSERT, UPDATE',
    auditor: 'SELECT',
  },
  'maskline.purged': { operator: 'SELECT, INSERT', auditor: 'SELECT' },
  'maskline.baselines': { operator: 'SELECT', auditor: 'SELECT' },
  'maskline.policies': { operator: 'SELECT', auditor: 'SELECT' },
  'maskline.horizons': { operator: 'SELECT', auditor: 'SELECT' },
  'maskline.erased': { operator: 'SELECT', auditor: 'SELECT' },
  'maskline.processes': { operator: 'SELECT' },
  'maskline.notices': { operator: 'SELECT, INSERT, UPDATE, DELETE' },
  'maskline.reveals': { auditor: 'SELECT' },
  'maskline.reveal_limits': { auditor: 'SELECT' },
  'maskline.reveal_requests': { revealer: 'SELECT', auditor: 'SELECT' },
  'maskline.vault_tokens': { transform: 'EXECUTE', operator: 'EXECUTE' },
  'maskline.begin_reveal': { revealer: 'EXECUTE' },
  'maskline.end_reveal': { revealer: 'EXECUTE' },
  'maskline.vault_sealed': { revealer: 'EXECUTE' },
  'maskline.note_unsealing': { operator: 'EXECUTE' },
  'maskline.count_reveals': { operator: 'EXECUTE' },
  'maskline.approve_reveal': { revealer: 'EXECUTE' },
  'maskline.process_seen': {
    ingest: 'EXECUTE',
    transform: 'EXECUTE',
    loader: 'EXECUTE',
    operator: 'EXECUTE',
  },
  'maskline.process_stops': {
    ingest: 'EXECUTE',
    transform: 'EXECUTE',
    loader: 'EXECUTE',
    operator: 'EXECUTE',
  },
  'maskline.process_gone': {
    ingest: 'EXECUTE',
    transform: 'EXECUTE',
    loader: 'EXECUTE',
    operator: 'EXECUTE',
  },
  'maskline.ensure_ledger_partitions': { ingest: 'EXECUTE', operator: 'EXECUTE' },
  'maskline.ensure_target_partitions': { ingest: 'EXECUTE', operator: 'EXECUTE' },
  'maskline.load_one_by_one': { loader: 'EXECUTE' },
  'maskline.load_records_one_by_one': { loader: 'EXECUTE' },
  'maskline.row_plan': { loader: 'EXECUTE' },
  'maskline.upsert_one_by_one': { loader: 'EXECUTE' },
  'maskline.refuses_row': { loader: 'EXECUTE' },
  'maskline.refused_column': { loader: 'EXECUTE' },
  'maskline.first_id_at': { operator: 'EXECUTE', auditor: 'EXECUTE' },
  'maskline.target_keys': { operator: 'EXECUTE', auditor: 'EXECUTE' },
  'maskline.target_count': { operator: 'EXECUTE', auditor: 'EXECUTE' },
  'maskline.count_prunable': { operator: 'EXECUTE' },
  'maskline.prune': { operator: 'EXECUTE' },
  'maskline.drop_ledger_partition': { operator: 'EXECUTE' },
  [TABLE]: { loader: 'INSERT', operator: 'INSERT', analyst: 'SELECT' },
} as const;

const ROLES = ['ingest', 'transform', 'loader', 'operator', 'analyst', 'revealer', 'auditor'] as const;

/** The columns of the quarantine that the auditor sees: all but what is sealed. */
const AUDITED =
  'batch_id, code, id, kid, kind, message_id, path, pipeline, quarantined_at, record_id, replayed_at, replayed_in, replayed_rows, sent_at';

/** What the roles may do with whole objects of the schema maskline and the target, as Postgres tells. */
async function rightsIn(database: string): Promise<unknown> {
  const rows = await rowsOf(
    database,
    `with role as (select unnest($1::text[]) as name),
     subject as (
       select 'schema maskline' as name, 'schema' as kind, 'maskline'::regnamespace::oid as id
       union all
       select 'maskline.' || relname, 'table', oid from pg_class
        where relnamespace = 'maskline'::regnamespace and relkind in ('r', 'p', 'v')
       union all
       select 'maskline.' || proname, 'function', oid from pg_proc where pronamespace = 'maskline'::regnamespace
       union all
       select $2::text, 'table', $2::text::regclass),
     granted as (
       select subject.name, role.name as role, string_agg(p.privilege, ', ' order by p.n) as privileges
         from subject cross join role
         cross join unnest(array['USAGE', 'CREATE', 'SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES',
                                 'TRIGGER', 'EXECUTE']) with ordinality as p (privilege, n)
        where case
          when subject.kind = 'schema' and p.n <= 2 then has_schema_privilege('maskline_' || role.name, subject.id, p.privilege)
          when subject.kind = 'table' and p.n between 3 and 9
            then has_table_privilege('maskline_' || role.name, subject.id, p.privilege)
          when subject.kind = 'function' and p.n = 10
            then has_function_privilege('maskline_' || role.name, subject.id, p.privilege)
          end
        group by 1, 2)
     select name, jsonb_object_agg(role, privileges) as roles from granted group by 1`,
    [ROLES, TABLE],
  );
  return Object.fromEntries(rows.map((row) => [String(row['name']), row['roles']]));
}

describe('under roles.sql', () => {
  let stack: Stack;
  let deployment: Deployment;
  before(async () => {
    stack = await startStack();
    deployment = await stack.deployment({
      roles: true,
      pipeline: { schedule: '* * * * * *', columns: SMALL_COLUMNS, batch: { linger: '100ms' } },
    });
  });
  after(() => stack.stop());

  /** Runs a statement as a role, and returns its SQLSTATE, or null when it was let through. It is undone in any case. */
  const denied = async (role: string, sql: string): Promise<string | null> =>
    withConnection(deployment.database, async (client) => {
      await client.query(`begin; set local role maskline_${role}`);
      try {
        await client.query(sql);
        return null;
      } catch (error) {
        return String((error as { code?: string }).code);
      } finally {
        await client.query('rollback');
      }
    });

  /** Columns of a table to which a role has the right. */
  const columnsOf = async (role: string, right: string, table = 'quarantine'): Promise<unknown> => {
    const [row] = await rowsOf(
      deployment.database,
      `select string_agg(attname, ', ' order by attname) as columns from pg_attribute
        where attrelid = $3::regclass and attnum > 0 and not attisdropped
          and has_column_privilege($1, attrelid, attnum, $2)`,
      [`maskline_${role}`, right, `maskline.${table}`],
    );
    return row?.['columns'];
  };

  test('each role has exactly the rights of the matrix', async () => {
    assert.deepEqual(await rightsIn(deployment.database), MATRIX);
    assert.equal(await columnsOf('auditor', 'SELECT'), AUDITED);
    assert.equal(
      await columnsOf('operator', 'UPDATE'),
      'code, path, replayed_at, replayed_in, replayed_rows',
    );
    assert.equal(await columnsOf('ingest', 'SELECT', 'processes'), 'pipelines, role, seen_at, stopped');
    const all = await rowsOf(
      deployment.database,
      `select string_agg(roleid::regrole::text, ', ' order by roleid::regrole::text) as roles from pg_auth_members
        where member = 'maskline_all'::regrole`,
    );
    assert.deepEqual(all, [
      { roles: 'maskline_ingest, maskline_loader, maskline_operator, maskline_transform' },
    ]);
    const powers = await rowsOf(
      deployment.database,
      `select rolname from pg_roles where rolname like 'maskline%'
          and (rolsuper or rolcreatedb or rolcreaterole or rolreplication or rolbypassrls)`,
    );
    assert.deepEqual(powers, [], 'none has a power over the server');
    const owned = await rowsOf(
      deployment.database,
      `select c.oid::regclass::text as name from pg_class c
        where c.relnamespace = 'maskline'::regnamespace and c.relowner <> 'maskline_owner'::regrole`,
    );
    assert.deepEqual(owned, [], 'all belongs to the owner');
  });

  test('what must be denied is denied', async () => {
    await deployment.query(`insert into maskline.quarantine
      (id, pipeline, record_id, message_id, batch_id, code, kind, sealed, kid, sent_at)
      values (gen_random_uuid(), 'p', 'r', 'm', gen_random_uuid(), 'not_json', 'raw', '\\x00', 1, now())`);
    const forbidden: readonly (readonly [role: string, sql: string])[] = [
      ['ingest', `insert into ${TABLE} (event_id, device) values ('x', 'y')`],
      ['ingest', 'insert into maskline.ledger default values'],
      ['ingest', `delete from maskline.runs`],
      ['ingest', `update maskline.loads set state = 'released'`],
      ['ingest', "select maskline.prune('loads', now(), 1)"],
      ['ingest', 'create table maskline.mine ()'],
      ['ingest', 'create table public.mine ()'],
      ['transform', 'select from maskline.loads'],
      ['transform', `select from ${TABLE}`],
      ['loader', `update ${TABLE} set device = 'x'`],
      ['loader', `delete from ${TABLE}`],
      ['loader', `truncate ${TABLE}`],
      ['loader', `select from ${TABLE}`],
      ['loader', 'delete from maskline.ledger'],
      ['loader', "update maskline.loads set held = '{}'"],
      ['loader', 'select sealed from maskline.quarantine'],
      ['loader', "copy (select 1) to program 'true'"],
      ['operator', `select from ${TABLE}`],
      ['operator', `delete from ${TABLE}`],
      ['operator', "update maskline.quarantine set sealed = ''"],
      ['operator', 'insert into maskline.ledger default values'],
      ['operator', 'delete from maskline.ledger'],
      ['operator', 'drop table maskline.ledger'],
      ['operator', 'update maskline.baselines set rows = 0'],
      ['operator', 'delete from maskline.purged'],
      ['operator', `select maskline.target_keys('other', '${TABLE}', 'x')`],
      ['analyst', 'select from maskline.runs'],
      ['analyst', 'select from maskline.quarantine'],
      ['analyst', 'select maskline.process_gone(gen_random_uuid())'],
      ['analyst', `insert into ${TABLE} (event_id, device) values ('x', 'y')`],
      ['revealer', `select from ${TABLE}`],
      ['revealer', 'select from maskline.runs'],
      ['revealer', 'select from maskline.reveals'],
      ['revealer', 'select from maskline.vault'],
      ['revealer', 'update maskline.reveal_limits set quota = 1000000'],
      ['revealer', "update maskline.reveal_requests set approved_by = 'x'"],
      ['auditor', 'delete from maskline.reveals'],
      ['auditor', 'select sealed from maskline.vault'],
      ['transform', 'select from maskline.vault'],
      ['transform', 'select from maskline.vault_sealed(array[]::text[])'],
      [
        'transform',
        "select maskline.begin_reveal('u', 'a purpose', null, null, array['t'], array['granted'], null)",
      ],
      ['loader', 'select from maskline.vault'],
      [
        'loader',
        "select maskline.begin_reveal('u', 'a purpose', null, null, array['t'], array['granted'], null)",
      ],
      [
        'operator',
        "select maskline.begin_reveal('u', 'a purpose', null, null, array['t'], array['granted'], null)",
      ],
      ['owner', "update maskline.reveals set purpose = 'none'"],
      ['owner', 'truncate maskline.reveals'],
      ['auditor', 'select sealed from maskline.quarantine'],
      ['auditor', `select from ${TABLE}`],
      ['auditor', 'delete from maskline.runs'],
    ];
    for (const [role, sql] of forbidden) assert.equal(await denied(role, sql), '42501', `${role}: ${sql}`);
    // The same net lets through what is allowed: it does not deny for a reason of its own.
    for (const [role, sql] of [
      ['loader', `insert into ${TABLE} (event_id, device) values ('x', 'y')`],
      ['analyst', `select from ${TABLE}`],
      ['auditor', 'select code, path from maskline.quarantine'],
      ['operator', "select maskline.prune('quarantine', now(), 1)"],
      ['ingest', 'select maskline.ensure_ledger_partitions(current_date, current_date + 40)'],
    ] as const) {
      assert.equal(await denied(role, sql), null, `${role}: ${sql}`);
    }
    await deployment.query('delete from maskline.quarantine');
  });

  test('it changes nothing the second time, and takes back what was granted besides', async () => {
    const before = await rightsIn(deployment.database);
    await deployment.query('grant update (sealed), delete on maskline.quarantine to maskline_loader, public');
    await deployment.query('grant all on schema maskline to maskline_analyst');
    assert.notDeepEqual(await rightsIn(deployment.database), before);
    await applyRoles(deployment.database);
    assert.deepEqual(await rightsIn(deployment.database), before);
    assert.equal(await denied('loader', `update maskline.quarantine set sealed = ''`), '42501');
  });

  test('a schema that a superuser migrated first comes to the same, and the owner can migrate from then on', async () => {
    const old = await stack.deployment({ ddl: null, pipeline: { target: { table: TABLE, create: true } } });
    assert.equal((await old.cli.run(['migrate'])).code, 0);
    await applyRoles(old.database);
    await allowLogins(old.database);
    const expected = { ...MATRIX, [TABLE]: undefined };
    // The table is the superuser's, so its grants are made as the comment in roles.sql says.
    assert.deepEqual({ ...((await rightsIn(old.database)) as object), [TABLE]: undefined }, expected);
    const again = await old.cli.run(['migrate'], { env: old.environmentOf('owner') });
    assert.equal(again.code, 0, again.stderr);
    await old.query(
      `drop table maskline.migrations cascade; drop schema maskline cascade; drop table ${TABLE}`,
    );
    const anew = await old.cli.run(['migrate'], { env: old.environmentOf('owner') });
    assert.equal(anew.code, 0, anew.stderr);
    await applyRoles(old.database);
    assert.deepEqual(await rightsIn(old.database), MATRIX);
  });

  test('a database owner with CREATEROLE can run it, as on hosted servers; so can own users have their rights', async (t) => {
    const postgres = await startTestPostgres();
    t.after(() => postgres.stop());
    const hosted = new Stack({ postgres, redis: stack.redis, sqs: stack.sqs });
    const other = await hosted.deployment({
      ddl: null,
      pipeline: { columns: SMALL_COLUMNS, target: { table: TABLE, create: true } },
    });
    t.after(() => other.close());
    const name = new URL(other.database).pathname.slice(1);
    await other.query(`create role master login createrole password 'one-for-all'`);
    await other.query(`alter database ${name} owner to master`);
    const master = urlAs(other.database, 'master');
    await applyRoles(master);
    await withConnection(master, (client) =>
      client.query(`
        create role svc_owner login password 'one-for-all' in role maskline_owner;
        alter role svc_owner set role maskline_owner;
        create role svc_load login password 'one-for-all' in role maskline_loader`),
    );
    const env = { DATABASE_URL: urlAs(other.database, 'svc_owner') };
    const migrated = await other.cli.run(['migrate'], { env });
    assert.equal(migrated.code, 0, migrated.stderr);
    await applyRoles(master);
    assert.deepEqual(await rightsIn(other.database), MATRIX);
    const checked = await other.cli.run(['validate', '--connect'], {
      env: { DATABASE_URL: urlAs(other.database, 'svc_load') },
    });
    assert.equal(checked.code, 0, checked.stdout + checked.stderr);
  });

  test('a process without its rights ends with 2 and says which are missing', async () => {
    const wrong = await deployment.cli.run(['run', 'load'], { env: deployment.environmentOf('transform') });
    assert.equal(wrong.code, 2, wrong.stderr);
    assert.match(wrong.stderr, /grant INSERT/);
    const stranger = await deployment.cli.run(['run', 'load'], {
      env: { DATABASE_URL: urlAs(deployment.database, 'nobody') },
    });
    assert.equal(stranger.code, 2, stranger.stderr);
  });

  test('rows that the table refuses are set aside under the loader’s own rights', async () => {
    await deployment.query(
      `alter table ${TABLE} add check (event_id <> all ('{event-000001,event-000003,event-000005}'))`,
    );
    const said = (await stack.postgres.log()).length;
    const roles = (['ingest', 'transform', 'load'] as const).map((role) => deployment.start(role));
    const { bodies, goodIds } = smallEvents(200, 50);
    await deployment.send(bodies);
    await deployment.countUntil('maskline.ledger', (count) => count === bodies.length);
    assert.equal(await deployment.count(TABLE), goodIds.length - 3);
    assert.equal(await deployment.count(`maskline.quarantine where code = 'refused_23514'`), 3);
    for (const each of roles) each.signal('SIGTERM');
    for (const each of roles) assert.equal((await each.ended).code, 0, each.stderr);
    const log = (await stack.postgres.log()).slice(said);
    assert.match(log, /violates check constraint/);
    assert.doesNotMatch(log, /permission denied/, 'nothing was denied on the way');
  });
});

test('the roles are those of the interface', () => {
  assert.deepEqual(Object.values(DATABASE_ROLES).sort(), [
    'maskline_all',
    'maskline_auditor',
    'maskline_ingest',
    'maskline_loader',
    'maskline_operator',
    'maskline_owner',
    'maskline_revealer',
    'maskline_transform',
  ]);
});
