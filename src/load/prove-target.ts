import type { ClientBase } from 'pg';
import { PipelineError } from '../errors.js';
import { loadedRows } from './baseline.js';
import type { ProofFindings } from './prove-findings.js';
import { proveByBatches } from './prove-target-batches.js';
import { proveByRows } from './prove-target-rows.js';
import type { ProofWindow } from './prove-snapshot.js';
import type { LoadTarget } from './upsert.js';

/** How a table could be looked at: row by row, by batch, or only by its number of rows. */
export type TargetCheck = 'rows' | 'batches' | 'count';

/** What is known of a pipeline's table before it is read. */
export interface TargetFacts {
  readonly pipeline: string;
  readonly sha256: string;
  /** What tells it from the pipeline's other tables where something was left unchecked; empty for the first. */
  readonly label: string;
  /** Whether a record has as many rows there as a list has elements. */
  readonly is_list: boolean;
  /** As SQL has it. */
  readonly target: string;
  /** Rows that it must have: the baselines of its pipelines, and what their batches have loaded. */
  readonly expected: number;
  /** Whether records overwrite rows: then there are as many rows at most, and none that must be there. */
  readonly is_upsert: boolean;
  /** Batches loaded since are looked at: there were a baseline, and notes of what was purged. */
  readonly since: string;
  readonly message_id_column: string | null;
  readonly batch_id_column: string | null;
}

/** What was looked at. */
export interface TargetTotals {
  readonly target_rows: number | null;
  readonly target_check: TargetCheck | null;
}

interface FactsRow extends Omit<TargetFacts, 'pipeline' | 'sha256' | 'label' | 'is_upsert'> {
  readonly is_there: boolean;
  readonly has_baseline: boolean;
  readonly is_noted: boolean;
  /** Whether a record has rows of a list there, be it of another pipeline. */
  readonly has_lists: boolean;
  /** Columns of the noted policy that the table has not. */
  readonly lost: readonly string[];
}

const FACTS = `
  with named as (select format('%I.%I', $2::text, $3::text) as target),
  there as (
    select c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = $2 and c.relname = $3)
  select named.target, exists (select from there) as is_there, b.pipeline is not null as has_baseline,
         greatest(b.taken_at, $5::timestamptz)::text as since, p.sha256 is not null as is_noted,
         p.message_id_column, p.batch_id_column, coalesce(b.is_list, false) as is_list,
         exists (select from maskline.baselines s where s.target = named.target and s.is_list) as has_lists,
         (select coalesce(sum(s.rows + ${loadedRows('s.pipeline', 's.further')}), 0)
            from maskline.baselines s where s.target = named.target)::float8 as expected,
         array(select c from unnest(array[p.message_id_column, p.batch_id_column, p.sent_at_column]) as c
                where c is not null and not exists (
                  select from pg_attribute a join there on a.attrelid = there.oid
                   where a.attname = c and not a.attisdropped)) as lost
    from named
    left join maskline.baselines b on b.pipeline = $1 and b.target = named.target
    left join maskline.policies p on p.pipeline = $1 and p.sha256 = $4 and p.further = coalesce(b.further, '')`;

/** A table of a pipeline. */
export interface ProvenTable {
  readonly name: string;
  readonly policySha256: string;
  readonly target: LoadTarget;
  /** Whether it is not the pipeline's first. */
  readonly isFurther: boolean;
}

/** Compares a pipeline's table with what was loaded into it, as closely as its columns allow. */
export async function proveTarget(
  client: ClientBase,
  { name, policySha256, target, isFurther }: ProvenTable,
  window: ProofWindow,
  findings: ProofFindings,
): Promise<TargetTotals> {
  const values = [name, target.schema, target.table, policySha256, window.purgesFrom];
  const { rows } = await client.query<FactsRow>(FACTS, values);
  const [found] = rows;
  if (!found) throw new PipelineError('unexpected', 'Postgres gave no answer about a target table');
  const is_upsert = Boolean(target.upsert);
  const label = isFurther ? ` of ${found.target}` : '';
  const facts: TargetFacts = { ...found, pipeline: name, sha256: policySha256, label, is_upsert };
  if (!found.has_baseline) {
    const why = `there is no baseline of ${found.target}; \`maskline migrate\` takes it, where its role may read the table`;
    findings.leave(`target${label}`, 1, why);
    return { target_rows: null, target_check: null };
  }
  if (!found.is_there) {
    const what = `table ${found.target} does not exist`;
    findings.add({ kind: 'target_missing', expected: found.expected, found: 0, what });
    return { target_rows: 0, target_check: 'count' };
  }
  if (is_upsert) {
    const why =
      'under `mode: upsert` records overwrite rows: that a row is missing can not be told, only that there are too many, ' +
      'or of records that were not loaded';
    findings.leave(`target${label}`, 1, why);
  }
  if (found.is_noted && found.lost.length === 0) {
    if (facts.message_id_column !== null && !found.has_lists) {
      return { target_rows: await proveByRows(client, facts, window, findings), target_check: 'rows' };
    }
    if (facts.batch_id_column !== null && !is_upsert) {
      return { target_rows: await proveByBatches(client, facts, window, findings), target_check: 'batches' };
    }
  } else {
    const why = found.is_noted
      ? `its rows can't be told apart: the table has lost column ${found.lost.join(', ')}`
      : 'its rows could not be told apart: the policy of today is not on record; run `maskline migrate`';
    findings.leave(`target${label}`, 1, why);
  }
  return { target_rows: await proveByCount(client, facts, findings), target_check: 'count' };
}

/** Only the number of rows can be told: who else deletes from the table, or writes to it, differs too. */
async function proveByCount(
  client: ClientBase,
  { pipeline, target, expected, is_upsert }: TargetFacts,
  findings: ProofFindings,
): Promise<number> {
  const { rows } = await client.query<{ n: number }>('select maskline.target_count($1, $2)::float8 as n', [
    pipeline,
    target,
  ]);
  const found = rows[0]?.n ?? 0;
  if (found > expected && is_upsert) {
    const what = `table ${target} has ${found} rows; its baseline and what was loaded since make ${expected} at most`;
    findings.add({ kind: 'row_count_differs', expected, found, what });
  } else if (found !== expected && !is_upsert) {
    const what = `table ${target} has ${found} rows; its baseline and what was loaded since make ${expected}`;
    findings.add({ kind: 'row_count_differs', expected, found, what });
  }
  return found;
}
