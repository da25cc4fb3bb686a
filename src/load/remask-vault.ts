// The vault brought to another key: each value gets a new token, and its former ones go on meaning it. Plaintext never
// gets here: entries go out and come back sealed.

import type { ClientBase } from 'pg';
import { PipelineError } from '../errors.js';
import type { PostgresPool } from './connection.js';
import type { RemaskRequest } from './remask.js';
import { VAULT_TOKENS, type VaultOwner, type VaultRow, vaultValues } from './vault.js';

/** An entry under the new key, or null for one that cannot be opened, and stays. */
export type Rekey = (stored: VaultRow) => VaultRow | null;

/** What is to be brought over, and how fast. */
export type VaultRequest = Pick<RemaskRequest, 'rate' | 'dryRun' | 'clock' | 'signal' | 'attempt'> & {
  readonly fromKid: number;
};

/** What became of entries. */
export interface VaultRemasked {
  readonly remasked: number;
  /** Entries that stay, as something of them can't be opened. */
  readonly unopened: number;
}

/** Entries of one transaction. */
const PAGE = 500;
/** To keep a step within a second at low rates. */
const MIN_PAGE = 10;
/** Of advisory locks: who moves entries and who erases them would else miss each other's. */
const VAULT_LOCK_ID = 5_142_760_932_452;

const ENTRIES = `
  select v.lookup, v.token, v.kid::integer, v.domain, v.sealed from maskline.vault v
   where v.kid = $1 and v.lookup > $2 order by v.lookup limit $3`;

const SUBJECTS =
  'select s.lookup, s.subject, s.sealed from maskline.vault_subjects s where s.lookup = any ($1::bytea[])';

/** Tokens of today under $1 become former ones under $2, with those that are former already. */
const MOVE = `
  with moved as (select m.old, m.new from unnest($1::bytea[], $2::bytea[]) as m (old, new)),
  before as (update maskline.vault_former f set lookup = m.new from moved m where f.lookup = m.old)
  insert into maskline.vault_former (token, lookup)
  select v.token, m.new from moved m join maskline.vault v on v.lookup = m.old`;

const SUCCESSORS = `
  select f.token, v.token as successor from maskline.vault_former f join maskline.vault v on v.lookup = f.lookup
   where f.token = any ($1::text[])
  union all
  select v.token, null from maskline.vault v where v.token = any ($1::text[])`;

/**
 * Brings every entry of the old key over, of whatever domain, in the order of their lookups, some in a transaction;
 * a value that has been entered under the new key too becomes one with that. Needs no checkpoint: what has gone over is
 * no longer of the old key. Throws `permission_denied`, `postgres_unavailable`.
 */
export async function remaskVault(
  pool: PostgresPool,
  request: VaultRequest,
  rekey: Rekey,
): Promise<VaultRemasked> {
  const { signal, attempt, clock, rate } = request;
  const size = Math.min(PAGE, Math.max(MIN_PAGE, rate));
  let remasked = 0;
  let unopened = 0;
  for (let after: Buffer | null = Buffer.alloc(0); after !== null && !signal.aborted;) {
    const from: Buffer = after;
    const began = clock.elapsed();
    const page = await attempt(() => remaskPage(pool, request, { after: from, size }, rekey));
    remasked += page.remasked;
    unopened += page.unopened;
    after = page.last;
    const dueMs = (page.remasked / rate) * 1000;
    if (after !== null) await clock.sleep(Math.max(0, dueMs - (clock.elapsed() - began)), signal);
  }
  return { remasked, unopened };
}

/** Whatever changes entries by their lookups holds this until its transaction ends. */
export async function lockVault(client: ClientBase): Promise<void> {
  await client.query('select pg_advisory_xact_lock($1)', [VAULT_LOCK_ID]);
}

/**
 * What the vault has in place of those tokens, null where nothing can stand for one as yet; those that mean nothing are
 * left out. In a rehearsal nothing has been entered: what a token would be replaced with is made up.
 */
export async function readSuccessors(
  client: ClientBase,
  tokens: readonly string[],
  isRehearsal: boolean,
): Promise<ReadonlyMap<string, string | null>> {
  if (tokens.length === 0) return new Map();
  const { rows } = await client.query<{ token: string; successor: string | null }>(SUCCESSORS, [
    [...new Set(tokens)],
  ]);
  return new Map(
    rows.map(({ token, successor }) => [token, isRehearsal ? (successor ?? `of ${token}`) : successor]),
  );
}

async function remaskPage(
  pool: PostgresPool,
  { fromKid, dryRun }: VaultRequest,
  { after, size }: { readonly after: Buffer; readonly size: number },
  rekey: Rekey,
): Promise<VaultRemasked & { readonly last: Buffer | null }> {
  return pool.transaction(async (client) => {
    if (!dryRun) await lockVault(client);
    const entries = await readEntries(client, fromKid, after, size, dryRun);
    const changed = entries.flatMap((stored) => {
      const entry = rekey(stored);
      return entry ? [{ old: stored.lookup, entry }] : [];
    });
    if (!dryRun) await writeEntries(client, changed);
    return {
      remasked: changed.length,
      unopened: entries.length - changed.length,
      last: entries.length < size ? null : (entries.at(-1)?.lookup ?? null),
    };
  });
}

async function readEntries(
  client: ClientBase,
  fromKid: number,
  after: Buffer,
  size: number,
  isRehearsal: boolean,
): Promise<readonly VaultRow[]> {
  const sql = isRehearsal ? ENTRIES : `${ENTRIES} for update`;
  const { rows } = await client.query<Omit<VaultRow, 'subjects'>>(sql, [fromKid, after, size]);
  const { rows: subjects } = await client.query<{ lookup: Buffer; subject: Buffer; sealed: Buffer }>(
    SUBJECTS,
    [rows.map(({ lookup }) => lookup)],
  );
  const byLookup = new Map(rows.map(({ lookup }) => [lookup.toString('latin1'), [] as VaultOwner[]]));
  for (const { lookup, subject, sealed } of subjects)
    byLookup.get(lookup.toString('latin1'))?.push({ subject, sealed });
  return rows.map((row) => ({ ...row, subjects: byLookup.get(row.lookup.toString('latin1')) ?? [] }));
}

async function writeEntries(
  client: ClientBase,
  changed: readonly { readonly old: Buffer; readonly entry: VaultRow }[],
): Promise<void> {
  if (changed.length === 0) return;
  // Sorted, as workers have theirs.
  const entries = changed.map(({ entry }) => entry).toSorted((a, b) => a.lookup.compare(b.lookup));
  const { rowCount } = await client.query(VAULT_TOKENS, vaultValues(entries));
  if (rowCount !== changed.length) {
    throw new PipelineError(
      'unexpected',
      `the vault holds ${String(rowCount)} of ${String(changed.length)} values as they were written: look for a trigger or ` +
        'rule on maskline.vault; nothing of them was kept',
    );
  }
  const old = changed.map((one) => one.old);
  await client.query(MOVE, [old, changed.map(({ entry }) => entry.lookup)]);
  await client.query('delete from maskline.vault where lookup = any ($1::bytea[])', [old]);
}
