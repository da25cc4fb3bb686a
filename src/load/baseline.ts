// What `maskline prove` compares a target table with, written by its owner: how many rows no batch on record has loaded,
// and which columns tell what a row came from.

import type { PoolClient } from 'pg';
import type { ColumnPolicy, ColumnSpec } from '../masking/methods.js';
import type { PostgresPool } from './connection.js';
import { type TableName, quoteTable } from './copy.js';

/** A pipeline, as far as its target is concerned. */
export interface BaselinePipeline {
  readonly name: string;
  readonly policy: Pick<ColumnPolicy, 'columns' | 'sha256'>;
  readonly target: TableName;
}

/** `known`: it has one. `unreadable`: this role may not read all of the table's rows. */
export type BaselineState = 'taken' | 'known' | 'missing' | 'unreadable';

const POLICY = `
  insert into maskline.policies (pipeline, sha256, message_id_column, batch_id_column, sent_at_column)
  values ($1, $2, $3, $4, $5) on conflict do nothing`;

const STATE = `
  select format('%I.%I', $2::text, $3::text) as target, c.oid is not null as there,
         coalesce(has_table_privilege(c.oid, 'SELECT') and not row_security_active(c.oid), false) as readable,
         exists (select from maskline.baselines b where b.pipeline = $1 and b.target = format('%I.%I', $2::text, $3::text))
           as known
    from (select) as one
    left join pg_class c
      on c.relname = $3 and c.relkind in ('r', 'p') and c.relnamespace = (select oid from pg_namespace where nspname = $2)`;

/** All that a pipeline's batches on record have loaded. */
const LOADED = 'coalesce((select sum(l.loaded) from maskline.loads l where l.pipeline = $1), 0)';

/** The first pipeline of a table answers for the rows that are there; the next only for its own from now on. */
const TAKE = `
  insert into maskline.baselines (pipeline, target, rows)
  select $1, $2, case when exists (select from maskline.baselines b where b.target = $2) then 0
                      else (select count(*) from TABLE) end - ${LOADED}`;

/** A pipeline has one table: what it put into another one before is passed on to a pipeline that has that still. */
const LEAVE = `
  with left_behind as (
    delete from maskline.baselines where pipeline = $1 and target <> $2 returning target, rows),
  heirs as (
    select distinct on (b.target) b.target, b.pipeline, p.rows + ${LOADED} as rows
      from left_behind p join maskline.baselines b on b.target = p.target and b.pipeline <> $1
     order by b.target, b.pipeline)
  update maskline.baselines b set rows = b.rows + h.rows
    from heirs h where b.target = h.target and b.pipeline = h.pipeline`;

const RETAKE = `
  insert into maskline.baselines (pipeline, target, rows)
  select $1, $2, (select count(*) from TABLE) - ${LOADED} - coalesce((
           select sum(b.rows + coalesce((select sum(l.loaded) from maskline.loads l where l.pipeline = b.pipeline), 0))
             from maskline.baselines b where b.target = $2 and b.pipeline <> $1), 0)
  on conflict (pipeline, target) do update set rows = excluded.rows, taken_at = excluded.taken_at`;

/**
 * Notes the policy of the pipeline, and takes the baseline of its table unless it has one. Counting a large table takes
 * a while: the pool's statement timeout must allow it. Needs the owner's rights. Throws `postgres_unavailable`.
 */
export function recordBaseline(pool: PostgresPool, pipeline: BaselinePipeline): Promise<BaselineState> {
  return baseline(pool, pipeline, false);
}

/** The same, and takes the baseline anew when there is one: what differs from it now is forgotten. */
export function retakeBaseline(pool: PostgresPool, pipeline: BaselinePipeline): Promise<BaselineState> {
  return baseline(pool, pipeline, true);
}

async function baseline(
  pool: PostgresPool,
  pipeline: BaselinePipeline,
  anew: boolean,
): Promise<BaselineState> {
  const { name, target } = pipeline;
  return pool.transaction(async (client) => {
    // Rows and the loads they came by are counted at one moment; the lock, which keeps pruning away, comes first.
    await client.query('set transaction isolation level repeatable read');
    await client.query('lock table maskline.baselines in share row exclusive mode');
    await notePolicy(client, pipeline);
    const values = [name, target.schema, target.table];
    const { rows } = await client.query<TargetState>(STATE, values);
    const [state] = rows;
    if (!state?.there) return 'missing';
    if (state.known && !anew) return 'known';
    if (!state.readable) return 'unreadable';
    const sql = (anew ? RETAKE : TAKE).replace('TABLE', quoteTable(target));
    await client.query(sql, [name, state.target]);
    await client.query(LEAVE, [name, state.target]);
    return 'taken';
  });
}

interface TargetState {
  readonly target: string;
  readonly there: boolean;
  readonly readable: boolean;
  readonly known: boolean;
}

async function notePolicy(client: PoolClient, { name, policy }: BaselinePipeline): Promise<void> {
  const { columns, sha256 } = policy;
  const { messageId, batchId } = originColumns(columns);
  const sentAt = columnOf(columns, 'sent_at', ['timestamptz', 'date']);
  await client.query(POLICY, [name, sha256, messageId, batchId, sentAt]);
}

/** The columns that tell what a row came from; null where there is none. */
export interface OriginColumns {
  readonly messageId: string | null;
  readonly batchId: string | null;
}

/** Those of a policy. */
export function originColumns(columns: readonly ColumnSpec[]): OriginColumns {
  return {
    messageId: columnOf(columns, 'message_id', ['text', 'uuid']),
    batchId: columnOf(columns, 'batch_id', ['text', 'uuid']),
  };
}

/** The column that holds it as it is, in a type from which it can be read back. */
function columnOf(
  columns: readonly ColumnSpec[],
  name: 'message_id' | 'batch_id' | 'sent_at',
  types: readonly ColumnSpec['type'][],
): string | null {
  const found = columns.find(
    ({ source, mask, type }) =>
      source.kind === 'meta' && source.name === name && mask.method === 'keep' && types.includes(type),
  );
  return found?.name ?? null;
}
