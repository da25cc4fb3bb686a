import type { PostgresPool } from '../load/connection.js';
import type { Findings } from './oracle.js';

interface Order {
  readonly rows: number;
  readonly groups: number;
  readonly batches: number;
  readonly rows_out_of_order: number;
  readonly commits_out_of_order: number;
  readonly numbers_out_of_order: number;
}

/**
 * Message n is of group n modulo $1, and was sent after all before it. Rows of a group must have come in that order,
 * their batches been committed in it, and SQS's sequence numbers agree with it.
 */
const orderOf = (table: string): string => `
  with came as (
    select n % $1 as grp, n < lag(n) over (partition by n % $1 order by came_as) as early,
           sequence_number <= lag(sequence_number) over (partition by n % $1 order by n) as misnumbered
      from ${table}),
  committed as (
    select t.n % $1 as grp, l.batch_id, l.loaded_at, min(t.n) as first, max(t.n) as last
      from ${table} t join maskline.loads l using (batch_id) group by 1, 2, 3),
  followed as (
    select batch_id, first < lag(last) over (partition by grp order by loaded_at, batch_id) as early from committed)
  select (select count(*)::int from came) as rows, (select count(distinct grp)::int from came) as groups,
         (select count(distinct batch_id)::int from committed) as batches,
         (select count(*) filter (where early)::int from came) as rows_out_of_order,
         (select count(*) filter (where misnumbered)::int from came) as numbers_out_of_order,
         (select count(*) filter (where early)::int from followed) as commits_out_of_order`;

/** Whether the rows of each FIFO group came, and were committed, in the order in which their messages were sent. */
export async function judgeOrder(
  pool: PostgresPool,
  table: string,
  groups: number,
): Promise<Pick<Findings, 'problems' | 'facts'>> {
  const { rows } = await pool.query<Order>(orderOf(table), [groups]);
  const [order] = rows;
  const wrong = Object.entries(order ?? {}).filter(
    ([name, count]) => name.endsWith('_out_of_order') && count > 0,
  );
  return {
    problems: wrong.map(([name, count]) => `${count} ${name.replaceAll('_', ' ')} in their FIFO groups`),
    facts: {
      groups_in_order: wrong.length === 0 ? (order?.groups ?? 0) : 0,
      batches_in_order: order?.batches ?? 0,
    },
  };
}
