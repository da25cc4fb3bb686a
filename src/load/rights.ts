import type { PostgresPool } from './connection.js';

/** Processes whose rights can be looked at; `all` does the work of the first four. */
export type RightsUser = 'ingest' | 'transform' | 'load' | 'admin' | 'reveal' | 'audit';

/** A right in the schema maskline, as GRANT spells it. */
export interface Right {
  readonly right: 'select' | 'insert' | 'update' | 'delete' | 'execute';
  /** A table or a function of the schema. */
  readonly on: string;
}

const USERS: readonly RightsUser[] = ['ingest', 'transform', 'load', 'admin', 'reveal', 'audit'];

type Rights = Readonly<{ [right in Right['right']]?: readonly string[] }>;

const ANY_PROCESS = ['process_seen', 'process_stops', 'process_gone'];
const PROVEN = ['ledger', 'loads', 'runs', 'baselines', 'policies', 'horizons', 'erased'];

/** What each process does by itself, day by day; deploy/postgres/roles.sql grants it, and what commands need besides. */
const NEEDED: Readonly<{ [user in RightsUser]: Rights }> = {
  ingest: {
    select: ['migrations', 'loads', 'runs', 'schedules', 'breaker', 'processes'],
    insert: ['loads', 'runs', 'schedules', 'breaker'],
    update: ['runs', 'schedules', 'breaker'],
    execute: [...ANY_PROCESS, 'ensure_ledger_partitions', 'ensure_target_partitions'],
  },
  transform: { select: ['migrations'], execute: [...ANY_PROCESS, 'vault_tokens'] },
  load: {
    select: ['migrations', 'ledger', 'loads'],
    insert: ['ledger', 'loads', 'quarantine'],
    execute: [...ANY_PROCESS, 'load_one_by_one', 'upsert_one_by_one', 'load_records_one_by_one'],
  },
  admin: {
    select: ['migrations', 'processes', 'quarantine', 'schedules', 'breaker', ...PROVEN],
    insert: ['runs', 'loads', 'purged', 'schedules', 'breaker'],
    update: ['runs', 'quarantine', 'schedules', 'breaker'],
    delete: ['quarantine'],
    execute: [
      ...ANY_PROCESS,
      'ensure_ledger_partitions',
      'ensure_target_partitions',
      'count_prunable',
      'prune',
    ],
  },
  reveal: {
    select: ['migrations', 'reveal_requests'],
    execute: ['begin_reveal', 'end_reveal', 'vault_sealed', 'approve_reveal'],
  },
  audit: { select: ['migrations', 'quarantine', 'reveals', 'reveal_limits', ...PROVEN] },
};

// By the id, since a name is looked up only by who may use its schema. A right to some columns counts.
const MISSING = `
  select a."right", a."on"
    from unnest($1::text[], $2::text[]) with ordinality as a ("right", "on", i)
    cross join (select oid as id from pg_namespace where nspname = 'maskline') as s
   where case when a."right" = 'execute'
           then exists (select from pg_proc p where p.proname = a."on" and p.pronamespace = s.id
                         and not has_function_privilege(p.oid, 'EXECUTE'))
           else exists (select from pg_class c where c.relname = a."on" and c.relnamespace = s.id
                         and not case when a."right" = 'delete' then has_table_privilege(c.oid, 'DELETE')
                                      else has_any_column_privilege(c.oid, a."right") end) end
   order by a.i`;

/** The roles of deploy/postgres/roles.sql, by the process that each is for. */
const ROLES: Readonly<{ [user in RightsUser]: string }> = {
  ingest: 'maskline_ingest',
  transform: 'maskline_transform',
  load: 'maskline_loader',
  admin: 'maskline_operator',
  reveal: 'maskline_revealer',
  audit: 'maskline_auditor',
};

/** The processes whose roles of roles.sql the user of this connection is a member of; none for a superuser. Throws as `PostgresPool`. */
export async function memberships(pool: Pick<PostgresPool, 'query'>): Promise<readonly RightsUser[]> {
  const { rows } = await pool.query<{ name: string }>(
    `select rolname as name from pg_roles where rolname = any ($1::text[]) and pg_has_role(oid, 'member')
        and not (select rolsuper from pg_roles where rolname = current_user)`,
    [Object.values(ROLES)],
  );
  const names = new Set(rows.map(({ name }) => name));
  return USERS.filter((user) => names.has(ROLES[user]));
}

/** All that processes of these kinds need in the schema. */
export function rightsOf(users: readonly RightsUser[]): readonly Right[] {
  const all = users.flatMap((user) =>
    (['select', 'insert', 'update', 'delete', 'execute'] as const).flatMap((right) =>
      (NEEDED[user][right] ?? []).map((on) => ({ right, on })),
    ),
  );
  return [...new Map(all.map((each) => [`${each.right} ${each.on}`, each])).values()];
}

/** Those that the user of this connection lacks; what is not there at all is not counted. Throws as `PostgresPool`. */
export async function missingRights(
  pool: Pick<PostgresPool, 'query'>,
  rights: readonly Right[],
): Promise<readonly Right[]> {
  const { rows } = await pool.query<Right>(MISSING, [
    rights.map(({ right }) => right),
    rights.map(({ on }) => on),
  ]);
  return rows;
}
