import { PipelineError } from '../errors.js';
import type { PostgresPool } from './connection.js';
import { isoColumn } from './runs.js';

/** Who reveals, as far as the client knows, and why. The database adds its own user and the time. */
export interface Revealer {
  /** User and host of the operating system. */
  readonly osUser: string;
  readonly purpose: string;
  readonly ticket: string | null;
}

/** What of one token goes on record: `token` is never a value, and null where what was given is no token. */
export interface RevealItem {
  readonly token: string | null;
  readonly outcome: 'granted' | 'hmac' | 'no_token' | 'no_key';
}

/** Whether a reveal may go on; `approval_needed` has stored it as a request. */
export type RevealDecision =
  | { readonly kind: 'granted' }
  | { readonly kind: 'approval_needed'; readonly request: string }
  | { readonly kind: 'rate_limited' };

/** A stored request; times are ISO 8601 in UTC. */
export interface RevealRequest {
  readonly id: string;
  readonly requested_by: string;
  readonly requested_at: string;
  readonly purpose: string;
  readonly ticket: string | null;
  readonly tokens: readonly (string | null)[];
  readonly details: string | null;
  readonly approved_by: string | null;
}

/** A vault entry as it is stored. */
export interface SealedEntry {
  readonly token: string;
  /** The token that the value has today, for which it is sealed. */
  readonly sealed_for: string;
  readonly kid: number;
  readonly domain: string;
  readonly sealed: Buffer;
}

type Queries = Pick<PostgresPool, 'query'>;

/** What stands in the way of a request, and how to mend it. */
const OBSTACLES: Readonly<{ [decision: string]: string }> = {
  unknown: 'there is no such request of this database user',
  carried_out: 'it was carried out before: reveal again, which makes a new request',
  not_approved: 'nobody has approved it yet: another database user runs `maskline approve` with its id',
  expired: 'it is older than 7 days: reveal again, which makes a new request',
  differs: 'it was made for other tokens, or another column: give those that it was made for',
  own: 'it is your own: another database user must approve it',
  approved_before: 'it is approved already',
};

/**
 * Puts a reveal on record, a row a token; committed when this resolves. What it throws, nothing may be opened after:
 * `postgres_unavailable`, `permission_denied`, or `usage` for a request that can't be carried out.
 */
export async function beginReveal(
  pool: Queries,
  { osUser, purpose, ticket }: Revealer,
  request: string | null,
  items: readonly RevealItem[],
  details: string | null,
): Promise<RevealDecision> {
  const { rows } = await pool.query<{ decision: string; request: string | null }>(
    'select decision, request from maskline.begin_reveal($1, $2, $3, $4, $5, $6, $7)',
    [
      osUser,
      purpose,
      ticket,
      request,
      items.map(({ token }) => token),
      items.map(({ outcome }) => outcome),
      details,
    ],
  );
  const [answer] = rows;
  if (answer?.decision === 'granted' || answer?.decision === 'rate_limited') return { kind: answer.decision };
  if (answer?.decision === 'approval_needed' && answer.request !== null)
    return { kind: 'approval_needed', request: answer.request };
  throw obstacle(request, answer?.decision);
}

/** Puts on record what a reveal came to, in counts. Throws `postgres_unavailable`: then nothing may be shown. */
export async function endReveal(
  pool: Queries,
  { osUser, purpose, ticket }: Revealer,
  request: string | null,
  counts: Readonly<{ [outcome: string]: number }>,
): Promise<void> {
  await pool.query('select maskline.end_reveal($1, $2, $3, $4, $5)', [
    osUser,
    purpose,
    ticket,
    request,
    JSON.stringify(counts),
  ]);
}

/** The request of that id. Throws `not_found`. */
export async function readRequest(pool: Queries, id: string): Promise<RevealRequest> {
  const { rows } = await pool.query<RevealRequest>(
    `select id, requested_by, ${isoColumn('requested_at', 'requested_at')}, purpose, ticket,
            tokens, details, approved_by
       from maskline.reveal_requests where id = $1`,
    [id],
  );
  const [found] = rows;
  if (!found) throw new PipelineError('not_found', `there is no request ${id}`);
  return found;
}

/** Approves the request of another database user. Throws `usage` when it can't be approved, or not by this one. */
export async function approveRequest(pool: Queries, id: string, osUser: string): Promise<void> {
  const { rows } = await pool.query<{ decision: string }>(
    'select maskline.approve_reveal($1, $2) as decision',
    [id, osUser],
  );
  if (rows[0]?.decision !== 'approved') throw obstacle(id, rows[0]?.decision);
}

/** What the vault holds for tokens that were granted to this user; those that it does not hold are missing. */
export async function readSealed(
  pool: Queries,
  tokens: readonly string[],
): Promise<ReadonlyMap<string, SealedEntry>> {
  if (tokens.length === 0) return new Map();
  const { rows } = await pool.query<SealedEntry>(
    'select token, sealed_for, kid, domain, sealed from maskline.vault_sealed($1)',
    [tokens],
  );
  return new Map(rows.map((row) => [row.token, row]));
}

/** Puts on record that quarantined bodies are unsealed; committed when this resolves. Throws `postgres_unavailable`. */
export async function noteUnsealing(
  pool: Queries,
  { osUser, purpose }: Omit<Revealer, 'ticket'>,
  details: Readonly<{ [name: string]: unknown }>,
): Promise<void> {
  await pool.query('select maskline.note_unsealing($1, $2, $3)', [osUser, purpose, JSON.stringify(details)]);
}

/**
 * How often values were asked for, by outcome, over all records: what is returned reads only those that it has not seen,
 * one call after the other. Throws `postgres_unavailable`, `permission_denied`.
 */
export function revealTotals(pool: Queries): () => Promise<ReadonlyMap<string, number>> {
  const totals = new Map([['granted', 0]]);
  let last = 0;
  let turn: Promise<unknown> = Promise.resolve();
  const read = async (): Promise<ReadonlyMap<string, number>> => {
    const { rows } = await pool.query<{ outcome: string; reveals: number; last: number }>(
      'select outcome, reveals::float8, last::float8 from maskline.count_reveals($1)',
      [last],
    );
    for (const row of rows) totals.set(row.outcome, (totals.get(row.outcome) ?? 0) + row.reveals);
    last = Math.max(last, ...rows.map((row) => row.last));
    return new Map(totals);
  };
  return () => {
    const next = turn.then(read);
    turn = next.catch(() => undefined);
    return next;
  };
}

/** Puts the limits of the configuration in force; on record if they change. Needs the owner's rights. */
export async function setRevealLimits(
  pool: Queries,
  { rate, quota }: { readonly rate: number; readonly quota: number },
  osUser: string,
): Promise<void> {
  await pool.query('select maskline.set_reveal_limits($1, $2, $3)', [rate, quota, osUser]);
}

function obstacle(request: string | null, decision = ''): PipelineError {
  const why = OBSTACLES[decision] ?? 'the database gave no answer that this version knows';
  return new PipelineError('usage', `request ${request ?? ''}: ${why}`);
}
