import type { PostgresPool } from './connection.js';
import type { RemaskRequest } from './remask.js';
import { readSuccessors } from './remask-vault.js';

/** A sealed entry, and how it is bound to its place. */
interface Entry {
  readonly id: string;
  readonly kind: 'raw' | 'masked';
  readonly kid: number;
  readonly sealed: Buffer;
}

/** Whose entries, and how; see `RemaskRequest`. */
export type ResealRequest = Pick<RemaskRequest, 'pipeline' | 'dryRun' | 'signal' | 'attempt'> & {
  readonly fromKid: number;
};

/** What became of the entries. */
export interface EntriesResealed {
  readonly resealed: number;
  /** Entries that stay, as they can't be opened. */
  readonly unopened: number;
}

/** An entry sealed anew; `kept` when it needs no other seal, `unopened` when it can't be opened. */
type Resealed = { readonly kid: number; readonly sealed: Buffer } | 'kept' | 'unopened';

/** Seals an entry anew; `successorsOf` asks what the vault has in place of tokens, as `readSuccessors` does. */
export type Reseal = (
  entry: Entry,
  successorsOf: (tokens: readonly string[]) => Promise<ReadonlyMap<string, string | null>>,
) => Promise<Resealed>;

/** Entries of one transaction: a body has 1 MiB at most, and most have far less. */
const PAGE = 32;
const FIRST_ID = '00000000-0000-0000-0000-000000000000';

/** A masked row may hold tokens of another key than its seal's, so that all of those are looked at. */
const PAGES = `
  select q.id, q.kind, q.kid, q.sealed from maskline.quarantine as q
   where q.pipeline = $1 and q.id > $2 and (q.kid = $3 or q.kind = 'masked')
   order by q.id limit ${String(PAGE)}`;

const WRITE = `
  update maskline.quarantine as q set kid = n.kid, sealed = n.sealed
    from unnest($1::uuid[], $2::int[], $3::bytea[]) as n (id, kid, sealed) where q.id = n.id`;

/**
 * Seals the quarantined records of a pipeline anew, in the order of their ids, some in a transaction. Needs no
 * checkpoint: what is under the new key is passed over. Throws `permission_denied`, `postgres_unavailable`.
 */
export async function resealQuarantine(
  pool: PostgresPool,
  request: ResealRequest,
  reseal: Reseal,
): Promise<EntriesResealed> {
  const { signal, attempt } = request;
  let resealed = 0;
  let unopened = 0;
  for (let after: string | null = FIRST_ID; after !== null && !signal.aborted;) {
    const from: string = after;
    const page = await attempt(() => resealPage(pool, request, from, reseal));
    resealed += page.resealed;
    unopened += page.unopened;
    after = page.last;
  }
  return { resealed, unopened };
}

async function resealPage(
  pool: PostgresPool,
  { pipeline, fromKid, dryRun }: ResealRequest,
  after: string,
  reseal: Reseal,
): Promise<EntriesResealed & { readonly last: string | null }> {
  return pool.transaction(async (client) => {
    const sql = dryRun ? PAGES : `${PAGES} for update`;
    const { rows } = await client.query<Entry>(sql, [pipeline, after, fromKid]);
    const results: { readonly id: string; readonly result: Resealed }[] = [];
    for (const entry of rows) {
      const result = await reseal(entry, (tokens) => readSuccessors(client, tokens, dryRun));
      results.push({ id: entry.id, result });
    }
    const changed = results.flatMap(({ id, result }) =>
      typeof result === 'string' ? [] : [{ id, ...result }],
    );
    if (!dryRun && changed.length > 0) {
      await client.query(WRITE, [
        changed.map(({ id }) => id),
        changed.map(({ kid }) => kid),
        changed.map(({ sealed }) => sealed),
      ]);
    }
    return {
      resealed: changed.length,
      unopened: results.filter(({ result }) => result === 'unopened').length,
      last: rows.length < PAGE ? null : (rows.at(-1)?.id ?? null),
    };
  });
}
