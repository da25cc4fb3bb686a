import { escapeIdentifier } from 'pg';
import { PipelineError } from '../errors.js';
import type { PostgresPool } from './connection.js';
import { quoteTable } from './copy.js';
import type { TargetSpec } from './target.js';

const STANDING = `
  select g.role, g.right, r.oid is not null as exists,
         coalesce(has_schema_privilege(r.oid, n.oid, 'USAGE'), false) as has_schema,
         coalesce(has_table_privilege(r.oid, c.oid, g.right), false) as has_table
    from unnest($3::text[], $4::text[]) with ordinality as g (role, "right", i)
    left join pg_roles r on r.rolname = g.role
    left join pg_namespace n on n.nspname = $1
    left join pg_class c on c.relname = $2 and c.relnamespace = n.oid
   order by g.i`;

interface Standing {
  readonly role: string;
  readonly right: string;
  readonly exists: boolean;
  readonly has_schema: boolean;
  readonly has_table: boolean;
}

/** The statements that give the roles of the target the rights that they lack, however they might have them. */
export async function grantSteps(
  pool: Pick<PostgresPool, 'query'>,
  spec: TargetSpec,
): Promise<readonly string[]> {
  const { schema, table, grants } = spec;
  if (grants.length === 0) return [];
  const values = [schema, table, grants.map(({ role }) => role), grants.map(({ right }) => right)];
  const { rows } = await pool.query<Standing>(STANDING, values);
  const missing = [...new Set(rows.filter((row) => !row.exists).map(({ role }) => role))];
  if (missing.length > 0) {
    const message = `target.grants of ${schema}.${table} name roles that this server has not: ${missing.join(', ')}`;
    throw new PipelineError('table_unfit', `${message}; create them, or take them out`);
  }
  const usage = new Set(rows.filter((row) => !row.has_schema).map(({ role }) => role));
  return [
    ...[...usage].map(
      (role) => `grant usage on schema ${escapeIdentifier(schema)} to ${escapeIdentifier(role)}`,
    ),
    ...rows
      .filter((row) => !row.has_table)
      .map(({ right, role }) => `grant ${right} on ${quoteTable(spec)} to ${escapeIdentifier(role)}`),
  ];
}
