// What `maskline prove` compares target tables with, written by their owner: how many rows no batch on record has loaded,
// and which columns tell what a row came from.

import type { PoolClient } from 'pg';
import type { ColumnPolicy, ColumnSpec } from '../masking/methods.js';
import type { PostgresPool } from './connection.js';
import { type TableName, quoteTable } from './copy.js';

/** A pipeline, as far as its tables are concerned. */
export interface BaselinePipeline {
  readonly name: string;
  readonly policy: Pick<ColumnPolicy, 'columns' | 'several' | 'sha256'>;
  readonly target: TableName;
  /** Those of `policy.several.further`, in their order. */
  readonly further?: readonly TableName[];
}

/** `known`: it has one. `unreadable`: this role may not read all of the table's rows. */
export type BaselineState = 'taken' | 'known' | 'missing' | 'unreadable';

/** What became of the baseline of a table, `schema.table`. */
export interface TableBaseline {
  readonly table: string;
  readonly state: BaselineState;
}

/** A table of a pipeline, and what of it tells what a row came from. */
interface BaselineTable {
  readonly name: TableName;
  readonly columns: readonly ColumnSpec[];
  /** As `loads.further_rows` names it; null: the first. */
  readonly further: string | null;
  readonly isList: boolean;
}

const POLICY = `
  insert into maskline.policies (pipeline, sha256, message_id_column, batch_id_column, sent_at_column, further)
  values ($1, $2, $3, $4, $5, $6) on conflict do nothing`;

const STATE = `
  select format('%I.%I', $2::text, $3::text) as target, c.oid is not null as there,
         coalesce(has_table_privilege(c.oid, 'SELECT') and not row_security_active(c.oid), false) as readable,
         exists (select from maskline.baselines b where b.pipeline = $1 and b.target = format('%I.%I', $2::text, $3::text))
           as known
    from (select) as one
    left join pg_class c
      on c.relname = $3 and c.relkind in ('r', 'p') and c.relnamespace = (select oid from pg_namespace where nspname = $2)`;

/** SQL of all rows that a pipeline's batches on record have loaded into its table of that name, null for the first. */
export function loadedRows(pipeline: string, further: string): string {
  return `coalesce((
    select sum(case when ${further} is null then l.loaded else (l.further_rows ->> ${further})::bigint end)
      from maskline.loads l where l.pipeline = ${pipeline}), 0)`;
}

/** The first pipeline of a table answers for the rows that are there; the next only for its own from now on. */
const TAKE = `
  insert into maskline.baselines (pipeline, target, rows, further, is_list)
  select $1, $2, case when exists (select from maskline.baselines b where b.target = $2) then 0
                      else (select count(*) from TABLE) end - ${loadedRows('$1', '$3::text')}, $3, $4`;

/** A table that has another place among those of its pipeline now: its rows are counted otherwise, and are as many. */
const PLACE = `
  update maskline.baselines b
     set rows = b.rows + ${loadedRows('b.pipeline', 'b.further')} - ${loadedRows('b.pipeline', '$3::text')},
         further = $3, is_list = $4
   where b.pipeline = $1 and b.target = $2 and (b.further, b.is_list) is distinct from ($3::text, $4::boolean)`;

/** What a pipeline put into tables that it has no longer is passed on to a pipeline that has them still. */
const LEAVE = `
  with left_behind as (
    delete from maskline.baselines where pipeline = $1 and target <> all ($2::text[]) returning target, rows, further),
  heirs as (
    select distinct on (b.target) b.target, b.pipeline, p.rows + ${loadedRows('$1', 'p.further')} as rows
      from left_behind p join maskline.baselines b on b.target = p.target and b.pipeline <> $1
     order by b.target, b.pipeline)
  update maskline.baselines b set rows = b.rows + h.rows
    from heirs h where b.target = h.target and b.pipeline = h.pipeline`;

const RETAKE = `
  insert into maskline.baselines (pipeline, target, rows, further, is_list)
  select $1, $2, (select count(*) from TABLE) - ${loadedRows('$1', '$3::text')} - coalesce((
           select sum(b.rows + ${loadedRows('b.pipeline', 'b.further')})
             from maskline.baselines b where b.target = $2 and b.pipeline <> $1), 0), $3, $4
  on conflict (pipeline, target) do update
     set rows = excluded.rows, further = excluded.further, is_list = excluded.is_list, taken_at = excluded.taken_at`;

/**
 * Notes the policy of the pipeline, and takes the baseline of each of its tables unless it has one. Counting a large table
 * takes a while: the pool's statement timeout must allow it. Needs the owner's rights. Throws `postgres_unavailable`.
 */
export function recordBaselines(
  pool: PostgresPool,
  pipeline: BaselinePipeline,
): Promise<readonly TableBaseline[]> {
  return baselines(pool, pipeline, false);
}

/** The same, and takes the baselines anew where there are some: what differs from them now is forgotten. */
export function retakeBaselines(
  pool: PostgresPool,
  pipeline: BaselinePipeline,
): Promise<readonly TableBaseline[]> {
  return baselines(pool, pipeline, true);
}

async function baselines(
  pool: PostgresPool,
  pipeline: BaselinePipeline,
  anew: boolean,
): Promise<readonly TableBaseline[]> {
  const { name } = pipeline;
  return pool.transaction(async (client) => {
    // Rows and the loads they came by are counted at one moment; the lock, which keeps pruning away, comes first.
    await client.query('set transaction isolation level repeatable read');
    await client.query('lock table maskline.baselines in share row exclusive mode');
    const done: (TableBaseline & { readonly target: string })[] = [];
    for (const table of tablesOf(pipeline)) {
      await notePolicy(client, pipeline, table);
      done.push(await baseline(client, name, table, anew));
    }
    // As long as a table is not there, the one before it may be it still.
    if (done.every(({ state }) => state === 'taken' || state === 'known'))
      await client.query(LEAVE, [name, done.map(({ target }) => target)]);
    return done.map(({ table, state }) => ({ table, state }));
  });
}

function tablesOf({ policy, target, further = [] }: BaselinePipeline): readonly BaselineTable[] {
  return [
    { name: target, columns: policy.columns, further: null, isList: false },
    ...(policy.several?.further ?? []).flatMap(({ table, columns, each }, i): BaselineTable[] => {
      const name = further[i];
      return name ? [{ name, columns, further: table, isList: each !== null }] : [];
    }),
  ];
}

async function baseline(
  client: PoolClient,
  pipeline: string,
  { name, further, isList }: BaselineTable,
  anew: boolean,
): Promise<TableBaseline & { readonly target: string }> {
  const { schema, table } = name;
  const { rows } = await client.query<TargetState>(STATE, [pipeline, schema, table]);
  const [state] = rows;
  const of = { table: `${schema}.${table}`, target: state?.target ?? '' };
  if (!state?.there) return { ...of, state: 'missing' };
  const values = [pipeline, state.target, further, isList];
  if (state.known) await client.query(PLACE, values);
  if (state.known && !anew) return { ...of, state: 'known' };
  if (!state.readable) return { ...of, state: 'unreadable' };
  await client.query((anew ? RETAKE : TAKE).replace('TABLE', quoteTable(name)), values);
  return { ...of, state: 'taken' };
}

interface TargetState {
  readonly target: string;
  readonly there: boolean;
  readonly readable: boolean;
  readonly known: boolean;
}

async function notePolicy(
  client: PoolClient,
  { name, policy }: BaselinePipeline,
  { columns, further, isList }: BaselineTable,
): Promise<void> {
  const { messageId, batchId } = originColumns(columns);
  const sentAt = columnOf(columns, 'sent_at', ['timestamptz', 'date']);
  // How many rows a record has in a list, its id does not tell.
  const byId = isList ? null : messageId;
  await client.query(POLICY, [name, policy.sha256, byId, batchId, sentAt, further ?? '']);
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
