import { escapeIdentifier } from 'pg';
import type { ColumnPolicy, ColumnSpec } from '../masking/methods.js';
import { isAlwaysThere } from '../masking/parts.js';
import type { PostgresPool } from './connection.js';
import { type TableName, quoteTable } from './copy.js';
import { type CatalogColumn, type CatalogTable, readCatalog } from './target-catalog.js';
import { createdType, fitOf, lengthNeed, sentType, tokenMask, typesFor } from './target-types.js';
import { type Partitioning, isPartitionedBy } from './target-partitions.js';
import type { LoadTarget, Upsert } from './upsert.js';
import { upsertFindings } from './upsert-check.js';

/** The table that a pipeline loads, and what it sends there. */
export interface TargetSpec extends TableName {
  /** Whether `maskline migrate` makes the table and adds columns to it. */
  readonly create: boolean;
  readonly upsert: Upsert | null;
  readonly partition: Partitioning | null;
  /** Rights that go with the table where `maskline migrate` makes it. */
  readonly grants: readonly Grant[];
  /** Those that are in COPY, in its order. */
  readonly columns: readonly ColumnSpec[];
}

/** A right on the target, and the role that is to have it. */
export interface Grant {
  readonly right: 'select' | 'insert' | 'update' | 'delete';
  readonly role: string;
}

/** Something wrong or doubtful about the target. */
export interface Finding {
  readonly severity: 'error' | 'warning';
  /** Null when it is about the table as a whole. */
  readonly column: string | null;
  /** What is wrong, and how to mend it. */
  readonly message: string;
}

/** The target of a pipeline: dropped columns are no part of it. */
export function targetSpec(
  policy: Pick<ColumnPolicy, 'columns'>,
  target: LoadTarget & {
    readonly create: boolean;
    readonly partition?: Partitioning | null;
    readonly grants?: readonly Grant[];
  },
): TargetSpec {
  const { schema, table, create, upsert = null, partition = null, grants = [] } = target;
  return {
    schema,
    table,
    create,
    upsert,
    partition,
    grants,
    columns: policy.columns.filter((column) => column.mask.method !== 'drop'),
  };
}

/**
 * What hinders the pipeline from loading its table, from the catalog alone; empty when nothing does. An error means
 * that no row, or not every valid row, could be loaded. `looks` leaves out what concerns this database user's own
 * rights, for processes that load nothing themselves. Throws `postgres_unavailable`.
 */
export async function checkTarget(
  pool: Pick<PostgresPool, 'query'>,
  spec: TargetSpec,
  user: 'loads' | 'looks' = 'loads',
): Promise<readonly Finding[]> {
  const catalog = await readCatalog(pool, spec);
  const name = `${spec.schema}.${spec.table}`;
  const findings: Finding[] = [];
  if (catalog.in_recovery) {
    findings.push(
      error(null, 'the database is a standby and read-only; name the primary in the database URL'),
    );
  }
  if (!catalog.table) {
    const how = spec.create
      ? 'run `maskline migrate`'
      : 'make it, or set `create: true` and run `maskline migrate`';
    return [...findings, error(null, `table ${name} does not exist; ${how}`)];
  }
  const table = user === 'loads' ? catalog.table : asAnybody(catalog.table);
  findings.push(...tableFindings(name, spec, table), ...upsertFindings(spec, table));
  for (const column of spec.columns) {
    const found = table.columns.find((candidate) => candidate.name === column.name);
    findings.push(...(found ? columnFindings(spec, column, found) : [missing(spec, name, column)]));
  }
  const filled = new Set(spec.columns.map((column) => column.name));
  for (const column of table.columns) {
    if (filled.has(column.name) || !column.not_null || column.has_default || column.generated) continue;
    const message = `column ${column.name} of ${name} is NOT NULL without a default, and no column of the pipeline fills it`;
    findings.push(error(column.name, `${message}; give it a default, or fill it`));
  }
  return findings;
}

/** The table as one sees it who has every right on it. */
function asAnybody(table: CatalogTable): CatalogTable {
  const rights = { may_insert: true, may_update: true, may_select: true };
  const columns = table.columns.map((column) => ({ ...column, ...rights }));
  return { ...table, row_security: false, columns };
}

function tableFindings(name: string, { partition }: TargetSpec, table: CatalogTable): readonly Finding[] {
  const findings: Finding[] = [];
  if (table.kind !== 'r' && table.kind !== 'p') {
    return [error(null, `${name} is not a table; load into an ordinary or a partitioned one`)];
  }
  if (!table.logged) {
    const message = `${name} or a partition of it is unlogged, temporary or foreign: its rows could be lost after the ack`;
    findings.push(error(null, `${message}; run: alter table … set logged`));
  }
  if (table.row_security) {
    findings.push(
      error(null, `row security applies to this role on ${name}, and COPY refuses that; grant it BYPASSRLS`),
    );
  }
  if (partition && !isPartitionedBy(table.partition_key, partition)) {
    const message = `${name} is not partitioned by range of ${partition.by} alone, so that no partitions can be made for it`;
    return [...findings, error(null, `${message}; make it so, or take \`target.partition\` out`)];
  }
  // Where partitions are made ahead, what fits none is meant to be refused.
  if (table.kind === 'p' && !table.has_default_partition && !partition) {
    const message = `${name} has no default partition: a row that fits none of its partitions is quarantined`;
    findings.push({ severity: 'warning', column: null, message });
  }
  return findings;
}

function missing(spec: TargetSpec, name: string, column: ColumnSpec): Finding {
  const how = spec.create ? 'run `maskline migrate`' : `run: ${addColumn(spec, column)}`;
  return error(column.name, `column ${column.name} of ${name} does not exist; ${how}`);
}

function columnFindings(spec: TargetSpec, column: ColumnSpec, found: CatalogColumn): readonly Finding[] {
  const which = `column ${column.name} of ${spec.schema}.${spec.table}`;
  const findings: Finding[] = [];
  const add = (severity: Finding['severity'], message: string): void => {
    findings.push({ severity, column: column.name, message: `${which} ${message}` });
  };
  if (found.generated) {
    add('error', 'is generated, and cannot be loaded; take it out of the pipeline');
    return findings;
  }
  if (found.identity === 'always') {
    add('error', 'is an identity column that Postgres always numbers itself; take it out of the pipeline');
    return findings;
  }
  if (!found.may_insert) add('error', 'may not be inserted by this role; grant INSERT on it');
  const fit = fitOf(column, found.base_type, found.built_in);
  const sent = tokenMask(column) ? `tokens of ${column.mask.method}, which are text` : sentType(column);
  if (fit === 'unfit') add('error', `is ${found.type}, but is sent ${sent}; ${waysOut(spec, column, found)}`);
  if (fit === 'lossy') {
    add(
      'warning',
      `is ${found.type} and is sent ${sent}: it does not take every value, or not exactly as it was`,
    );
  }
  if (fit === 'unknown')
    add('warning', `is ${found.type}: values that the type does not take are quarantined`);
  const length = fit === 'unfit' ? null : lengthFinding(spec, column, found);
  if (length) add(length.severity, length.message);
  if (!found.not_null) return findings;
  if (column.mask.method === 'null') add('error', 'is NOT NULL, but the mask null empties it; take it out');
  else if (!column.required && column.mask.method !== 'constant' && !isAlwaysThere(column.source)) {
    add(
      'warning',
      'is NOT NULL, but the pipeline lets it be absent: such rows are quarantined; set `required: true`',
    );
  }
  return findings;
}

function lengthFinding(
  spec: TargetSpec,
  column: ColumnSpec,
  found: CatalogColumn,
): { readonly severity: Finding['severity']; readonly message: string } | null {
  if (found.max_length === null) return null;
  const need = lengthNeed(column);
  const alter = alterType(spec, column);
  if (!need) {
    if (tokenMask(column) || sentType(column) !== 'text') return null;
    const message = `is ${found.type}: longer values are refused by the table; set \`max_length: ${found.max_length}\``;
    return { severity: 'warning', message };
  }
  if (found.max_length < need.least) {
    const ways = column.maxLength === null ? '' : `set \`max_length: ${found.max_length}\` or `;
    return {
      severity: 'error',
      message: `is ${found.type}, but needs ${need.least} characters; ${ways}run: ${alter}`,
    };
  }
  if (found.max_length < need.ample) {
    const message = `is ${found.type}, and may one day need ${need.ample} characters; run: ${alter}`;
    return { severity: 'warning', message };
  }
  return null;
}

function waysOut(spec: TargetSpec, column: ColumnSpec, found: CatalogColumn): string {
  const types = tokenMask(column) ? [] : typesFor(found.base_type).map((type) => `\`type: ${type}\``);
  const set = types.length > 0 ? `either set ${types.join(' or ')} in the pipeline, or ` : '';
  return `${set}run: ${alterType(spec, column)} (\`maskline migrate plan\` prints it)`;
}

/** The statement that makes an existing column fit. */
export function alterType(spec: TargetSpec, column: ColumnSpec): string {
  const name = escapeIdentifier(column.name);
  const type = createdType(column);
  // Through text, as a cast to varchar(n) would cut off what does not fit, where the assignment refuses it.
  const cast = type.startsWith('varchar') ? 'text' : type;
  return `alter table ${quoteTable(spec)} alter column ${name} type ${type} using ${name}::${cast}`;
}

/** The statement that adds a column; without NOT NULL, which rows that are there would not fulfil. */
export function addColumn(spec: TargetSpec, column: ColumnSpec): string {
  return `alter table ${quoteTable(spec)} add column if not exists ${escapeIdentifier(column.name)} ${createdType(column)}`;
}

function error(column: string | null, message: string): Finding {
  return { severity: 'error', column, message };
}
