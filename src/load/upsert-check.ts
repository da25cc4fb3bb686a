import { escapeIdentifier } from 'pg';
import { quoteTable } from './copy.js';
import type { CatalogTable } from './target-catalog.js';
import type { Finding, TargetSpec } from './target.js';
import type { Upsert } from './upsert.js';

/** What hinders rows of that target from overwriting those of their key; empty where rows are only added. */
export function upsertFindings(spec: TargetSpec, table: CatalogTable): readonly Finding[] {
  const { upsert } = spec;
  if (upsert === null) return [];
  const name = `${spec.schema}.${spec.table}`;
  const findings: Finding[] = [];
  const add = (severity: Finding['severity'], column: string | null, message: string): void => {
    findings.push({ severity, column, message });
  };
  if (!hasKey(table, upsert)) {
    const keys = upsert.keys.join(', ');
    const message = `${name} has no unique index of just (${keys}) that is valid, without WHERE and not deferrable`;
    add('error', null, `${message}, which \`mode: upsert\` needs; run: ${addKey(spec, upsert)}`);
  }
  // INSERT … ON CONFLICT DO UPDATE reads every column that it sets (PostgreSQL documentation, INSERT, Parameters).
  const loaded = table.columns.filter((column) => spec.columns.some(({ name: own }) => own === column.name));
  const changed = loaded.filter((column) => !upsert.keys.includes(column.name));
  const denied = [
    ['UPDATE', changed.filter((column) => !column.may_update)],
    ['SELECT', loaded.filter((column) => !column.may_select)],
  ] as const;
  for (const [right, columns] of denied) {
    if (columns.length === 0) continue;
    const names = columns.map((column) => column.name).join(', ');
    const message = `\`mode: upsert\` needs the right to ${right} on ${name} (${names}), which this role lacks`;
    add('error', columns.length === 1 ? (columns[0]?.name ?? null) : null, `${message}; grant it`);
  }
  return findings;
}

/** Whether the table has a unique index of just the keys, in whatever order. */
export function hasKey(table: Pick<CatalogTable, 'unique_keys'>, { keys }: Upsert): boolean {
  return table.unique_keys.some(
    (unique) => unique.length === keys.length && unique.every((name) => keys.includes(name)),
  );
}

/** The statement that gives a table the unique index that it lacks. */
export function addKey(spec: TargetSpec, { keys }: Upsert): string {
  return `create unique index on ${quoteTable(spec)} (${keys.map(escapeIdentifier).join(', ')})`;
}
