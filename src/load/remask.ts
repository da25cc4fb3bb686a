// Rows of a target brought to another key while others load it: block by block, a small transaction each, which moves
// the checkpoint too. Blocks rather than a key: the tables need not have one, and a row under the new key is not
// touched again. Plaintext never gets here: cells go out and come back as tokens.

import type { PoolClient } from 'pg';
import type { Clock } from '../clock.js';
import { PipelineError } from '../errors.js';
import type { PostgresPool } from './connection.js';
import { quoteTable } from './copy.js';
import { type RemaskTable, type RemaskedColumn, isLeft, readSql, writeSql } from './remask-sql.js';
import { deleteSuperseded, orContention } from './remask-upsert.js';
import { readSuccessors } from './remask-vault.js';
import { readCatalog } from './target-catalog.js';
import type { LoadTarget } from './upsert.js';

/** A cell of a masked column as JSON has it. */
type Cell = string | null | readonly (string | null)[];

/** How rows are brought to another key; a port, as this module knows no keys. */
export interface RowRemask {
  readonly fromKid: number;
  readonly toKid: number;
  readonly columns: readonly RemaskedColumn[];
  /** Columns that hold the key id of their row, to be set with it. */
  readonly kidColumns: readonly string[];
  /** The tokens of the vault in a row's cells. */
  vaultTokens(cells: readonly Cell[]): readonly string[];
  /**
   * The cells of each row under the new key; null for a row that can't be brought over, and stays. Tokens of the vault
   * become their successors: those that have none as yet make their row stay, and those that are not there stay.
   */
  change(
    rows: readonly { readonly cells: readonly Cell[]; readonly isOfOldKid: boolean }[],
    successors: ReadonlyMap<string, string | null>,
  ): readonly (readonly Cell[] | null)[];
}

/** What is to be brought over, and how fast. */
export interface RemaskRequest {
  readonly pipeline: string;
  readonly target: LoadTarget;
  readonly remask: RowRemask;
  /** Rows a second, at most. */
  readonly rate: number;
  /** Reads and opens everything, and writes nothing. */
  readonly dryRun: boolean;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Runs a step, again where an outage ends it. */
  readonly attempt: <T>(step: () => Promise<T>) => Promise<T>;
  /** Awaited before each passage but the first, for what the vault has got meanwhile. */
  readonly prepare: () => Promise<void>;
  /** Hears how many blocks of a table, or of one of its partitions, were gone through. */
  readonly onBlocks?: ((relation: string, done: number, total: number) => void) | undefined;
}

/** What a passage through the table has come to. */
export interface RowsRemasked {
  /** Rows under the new key now, by this command; in a rehearsal, those that would be. */
  readonly remasked: number;
  /** Rows that stay, as something in them is not what its mask makes. */
  readonly unopened: number;
  /** Rows that are left under the old key, unopened ones included; null when it was stopped before it could count. */
  readonly left: number | null;
}

interface Leaf {
  readonly relation: string;
  readonly filenode: string;
  readonly blocks: string;
}

interface Checkpoint {
  readonly next: number;
  readonly end: number;
}

/** Some 1,500 rows of the size of a login: a transaction of a few dozen ms. */
const MAX_BLOCKS = 32;
/** To keep a step within a second at low rates. */
const ROWS_PER_BLOCK = 50;

const LEAVES = `
  select l.relid::regclass::text as relation, pg_relation_filenode(l.relid)::text as filenode,
         (pg_relation_size(l.relid) / current_setting('block_size')::bigint)::text as blocks
    from (select relid from pg_partition_tree($1::regclass) where isleaf
          union select c.oid from pg_class c where c.oid = $1::regclass and c.relkind = 'r') as l
   order by l.relid`;

/** Where it went on after a kill, or the beginning; a table that was rewritten since is begun anew. */
const OPEN = `
  insert into maskline.remasks as r (pipeline, from_kid, to_kid, relation, filenode, next_block, end_block)
  values ($1, $2, $3, $4, $5, 0, $6)
  on conflict (pipeline, from_kid, to_kid, relation) do update
     set next_block = case when r.filenode = excluded.filenode and r.next_block < r.end_block then r.next_block else 0 end,
         end_block = excluded.end_block, filenode = excluded.filenode, updated_at = now()
  returning next_block::text as next, end_block::text as end`;

const MOVE = `
  update maskline.remasks set next_block = $5, remasked = remasked + $6, updated_at = now()
   where pipeline = $1 and from_kid = $2 and to_kid = $3 and relation = $4`;

/**
 * Brings every row over that can be, in as many passages as it takes until none is left that could: rows that moved
 * while it went by, and rows of processes that were not restarted, are met in the next. Throws `table_unfit`,
 * `permission_denied`, `postgres_unavailable` and what `remask` throws.
 */
export async function remaskRows(pool: PostgresPool, request: RemaskRequest): Promise<RowsRemasked> {
  const { signal, remask, attempt, prepare } = request;
  let remasked = 0;
  if (remask.columns.length + remask.kidColumns.length === 0) return { remasked, unopened: 0, left: 0 };
  for (;;) {
    const passage = { remasked: 0, unopened: 0 };
    const tables = await attempt(() => leavesOf(pool, request));
    for (const { table, leaf } of tables) await passLeaf(pool, request, table, leaf, passage);
    remasked += passage.remasked;
    if (signal.aborted) return { remasked, unopened: passage.unopened, left: null };
    const left = await attempt(() =>
      countLeft(
        pool,
        tables.map(({ table }) => table),
      ),
    );
    const isDone = request.dryRun || left === 0 || passage.remasked === 0;
    if (isDone) return { remasked, unopened: passage.unopened, left };
    await prepare();
  }
}

/** The table, or the leaves of a partitioned one, with its columns as the catalog has them. */
async function leavesOf(
  pool: PostgresPool,
  { target, remask }: RemaskRequest,
): Promise<readonly { readonly table: RemaskTable; readonly leaf: Leaf }[]> {
  const catalog = await readCatalog(pool, target);
  const name = `${target.schema}.${target.table}`;
  if (!catalog.table) throw new PipelineError('table_unfit', `table ${name} does not exist`);
  const known = new Map(catalog.table.columns.map((column) => [column.name, column]));
  const columns = remask.columns.map((column) => {
    const found = known.get(column.name);
    if (found) return { ...column, catalog: found };
    throw new PipelineError(
      'table_unfit',
      `column ${column.name} of ${name} does not exist; run \`maskline migrate\``,
    );
  });
  const { fromKid, toKid, kidColumns } = remask;
  const { rows } = await pool.query<Leaf>(LEAVES, [quoteTable(target)]);
  return rows.map((leaf) => ({
    leaf,
    table: { relation: leaf.relation, columns, kidColumns, fromKid, toKid },
  }));
}

async function passLeaf(
  pool: PostgresPool,
  request: RemaskRequest,
  table: RemaskTable,
  leaf: Leaf,
  passage: { remasked: number; unopened: number },
): Promise<void> {
  const { clock, signal, rate, dryRun, attempt } = request;
  const begin = { next: 0, end: Number(leaf.blocks) };
  const checkpoint = dryRun ? begin : await attempt(() => openCheckpoint(pool, request, leaf));
  const blocks = Math.max(1, Math.min(MAX_BLOCKS, Math.floor(rate / ROWS_PER_BLOCK)));
  for (let { next } = checkpoint; next < checkpoint.end && !signal.aborted;) {
    const end = Math.min(checkpoint.end, next + blocks);
    const from = next;
    const began = clock.elapsed();
    const step = await attempt(() => passBlocks(pool, request, table, { next: from, end }));
    passage.remasked += step.remasked;
    passage.unopened += step.unopened;
    next = end;
    request.onBlocks?.(leaf.relation, next, checkpoint.end);
    const dueMs = (step.remasked / rate) * 1000;
    await clock.sleep(Math.max(0, dueMs - (clock.elapsed() - began)), signal);
  }
}

async function openCheckpoint(pool: PostgresPool, request: RemaskRequest, leaf: Leaf): Promise<Checkpoint> {
  const { rows } = await pool.query<{ next: string; end: string }>(OPEN, [
    ...ownerOf(request),
    leaf.relation,
    leaf.filenode,
    leaf.blocks,
  ]);
  return { next: Number(rows[0]?.next), end: Number(rows[0]?.end) };
}

/** One small transaction: rows and checkpoint together, so that a kill at any moment loses nothing and repeats nothing. */
async function passBlocks(
  pool: PostgresPool,
  request: RemaskRequest,
  table: RemaskTable,
  { next, end }: Checkpoint,
): Promise<{ readonly remasked: number; readonly unopened: number }> {
  const { dryRun } = request;
  return pool.transaction(
    async (client) => {
      const { rows } = await client.query<StoredPlace>(readSql(table, dryRun), [next, end]);
      const readable = rows.filter(isReadable);
      const tokens = readable.flatMap(({ cells }) => request.remask.vaultTokens(cells));
      const successors = await readSuccessors(client, tokens, dryRun);
      const changed = changeRows(request.remask, readable, successors);
      if (!dryRun) {
        await writeRows(client, request, table, changed);
        await client.query(MOVE, [...ownerOf(request), table.relation, end, changed.length]);
      }
      return { remasked: changed.length, unopened: rows.length - changed.length };
    },
    {
      kind: 'target',
      table: `${request.target.schema}.${request.target.table}`,
      columns: table.columns.map((c) => c.name),
    },
  );
}

interface StoredPlace {
  readonly place: string;
  readonly is_of_old_kid: boolean;
  readonly cells: readonly unknown[];
}

interface ReadablePlace extends StoredPlace {
  readonly cells: readonly Cell[];
}

type ChangedRow = readonly [place: string, isOfOldKid: boolean, cells: readonly Cell[]];

/** The rows that can be brought over, changed. What comes back as it was would be met again for ever. */
function changeRows(
  remask: RowRemask,
  rows: readonly ReadablePlace[],
  successors: ReadonlyMap<string, string | null>,
): readonly ChangedRow[] {
  const given = rows.map(({ is_of_old_kid: isOfOldKid, cells }) => ({ isOfOldKid, cells }));
  return remask.change(given, successors).flatMap((cells, i): ChangedRow[] => {
    const row = rows[i];
    if (!row || !cells) return [];
    const isSame = !row.is_of_old_kid && JSON.stringify(cells) === JSON.stringify(row.cells);
    return isSame ? [] : [[row.place, row.is_of_old_kid, cells]];
  });
}

function isReadable(row: StoredPlace): row is ReadablePlace {
  return row.cells.every(isCell);
}

function isCell(cell: unknown): cell is Cell {
  const isText = (item: unknown): boolean => item === null || typeof item === 'string';
  return isText(cell) || (Array.isArray(cell) && cell.every(isText));
}

async function writeRows(
  client: PoolClient,
  { target }: RemaskRequest,
  table: RemaskTable,
  changed: readonly ChangedRow[],
): Promise<void> {
  if (changed.length === 0) return;
  const gone = await deleteSuperseded(client, target, table, JSON.stringify(changed));
  const staying = changed.filter(([place]) => !gone.has(place));
  const { rows } = await orContention(
    target,
    client.query<{ is_same: boolean }>(writeSql(table), [JSON.stringify(staying)]),
  );
  const written = rows.filter(({ is_same: isSame }) => isSame).length;
  if (written === staying.length) return;
  throw new PipelineError(
    'table_unfit',
    `${target.schema}.${target.table} holds ${String(written)} of ${String(staying.length)} rows as they were written: ` +
      'look for a trigger or rule that changes or drops updates; nothing of them was kept',
  );
}

async function countLeft(pool: PostgresPool, tables: readonly RemaskTable[]): Promise<number> {
  let left = 0;
  for (const table of tables) {
    const { rows } = await pool.query<{ n: string }>(
      `select count(*)::text as n from only ${table.relation} as t where ${isLeft(table)}`,
    );
    left += Number(rows[0]?.n);
  }
  return left;
}

function ownerOf({ pipeline, remask }: RemaskRequest): readonly unknown[] {
  return [pipeline, remask.fromKid, remask.toKid];
}
