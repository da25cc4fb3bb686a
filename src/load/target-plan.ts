import { escapeIdentifier } from 'pg';
import type { ColumnSpec } from '../masking/methods.js';
import type { PostgresPool } from './connection.js';
import { quoteTable } from './copy.js';
import { grantSteps } from './grants.js';
import { type Catalog, readCatalog } from './target-catalog.js';
import { partitionClause } from './target-partitions.js';
import { type TargetSpec, addColumn, alterType } from './target.js';
import { createdType, fitOf, lengthNeed } from './target-types.js';
import { addKey, hasKey } from './upsert-check.js';

/** A statement that brings the target closer to what the pipeline sends. */
export interface PlanStep {
  readonly sql: string;
  /** Whether `maskline migrate` runs it: only under `create: true`, and only what can't touch a row that is there. */
  readonly automatic: boolean;
}

/** The statements that would make the target fit, in order; empty when it fits. It runs none. Throws `table_unfit` for grants to a role that is not there. */
export async function planTarget(
  pool: Pick<PostgresPool, 'query'>,
  spec: TargetSpec,
): Promise<readonly PlanStep[]> {
  const plan = steps(await readCatalog(pool, spec), spec);
  const grants = await grantSteps(pool, spec);
  return [...plan, ...grants.map((sql) => ({ sql, automatic: spec.create }))];
}

/** Any constant that nobody else uses: two processes that make the same table take turns. */
const LOCK_ID = 5_142_760_932_452;

/** Runs the automatic steps of the plan, in one transaction; safe in parallel. Returns what it ran. */
export async function createTarget(pool: PostgresPool, spec: TargetSpec): Promise<readonly string[]> {
  return pool.transaction(
    async (client) => {
      await client.query(`select pg_advisory_xact_lock(${LOCK_ID})`);
      const query: PostgresPool['query'] = (text, values = []) => client.query(text, [...values]);
      const plan = await planTarget({ query }, spec);
      const automatic = plan.filter((step) => step.automatic).map((step) => step.sql);
      for (const sql of automatic) await client.query(sql);
      return automatic;
    },
    { kind: 'target', table: `${spec.schema}.${spec.table}`, columns: [] },
  );
}

function steps(catalog: Catalog, spec: TargetSpec): readonly PlanStep[] {
  const automatic = spec.create;
  const plan: PlanStep[] = [];
  if (!catalog.schema_exists) plan.push({ sql: `create schema ${escapeIdentifier(spec.schema)}`, automatic });
  const { table } = catalog;
  if (!table) return [...plan, { sql: createTable(spec), automatic }];
  for (const column of spec.columns) {
    const found = table.columns.find((candidate) => candidate.name === column.name);
    if (!found) {
      plan.push({ sql: addColumn(spec, column), automatic });
      continue;
    }
    const need = lengthNeed(column);
    const tooShort = found.max_length !== null && need !== null && found.max_length < need.least;
    const unfit = fitOf(column, found.base_type, found.built_in) === 'unfit';
    // It rewrites the table and may fail on rows that are there: for its owner to decide.
    if (unfit || tooShort) plan.push({ sql: alterType(spec, column), automatic: false });
  }
  const { upsert } = spec;
  // It fails where rows have a key in common, and keeps writers out while it is built.
  if (upsert && !hasKey(table, upsert)) plan.push({ sql: addKey(spec, upsert), automatic: false });
  return plan;
}

function createTable(spec: TargetSpec): string {
  const lines = spec.columns.map((column) => `  ${definition(column)}`);
  if (spec.upsert) lines.push(`  primary key (${spec.upsert.keys.map(escapeIdentifier).join(', ')})`);
  const clause = spec.partition ? ` ${partitionClause(spec.partition)}` : '';
  return `create table ${quoteTable(spec)} (\n${lines.join(',\n')}\n)${clause}`;
}

function definition(column: ColumnSpec): string {
  return `${escapeIdentifier(column.name)} ${createdType(column)}${column.required ? ' not null' : ''}`;
}
