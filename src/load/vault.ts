import { PipelineError } from '../errors.js';
import type { PostgresPool } from './connection.js';
import { asOutage } from './postgres-error.js';

/** What is to be found, or else stored; `subjects` are those whose value it is. */
export interface VaultRow {
  readonly lookup: Buffer;
  readonly token: string;
  readonly kid: number;
  readonly domain: string;
  readonly sealed: Buffer;
  readonly subjects: readonly VaultOwner[];
}

/** An HMAC of whose value it is, and what of it is sealed, under the key of the row. */
export interface VaultOwner {
  readonly subject: Buffer;
  readonly sealed: Buffer;
}

/** The vault in `maskline.vault`. */
export interface PostgresVault {
  /**
   * The token of each row, in order: the known one, or the row's own, then committed. Equal lookups get equal tokens,
   * whoever else asks at the same time; the rows must be in the order of their lookups, or two who ask may deadlock.
   * One round trip. Throws `postgres_unavailable`, `permission_denied`.
   */
  tokens(rows: readonly VaultRow[]): Promise<readonly string[]>;
}

/** An erasure may delete what was found a moment before; that it does so again and again is no accident. */
const MAX_ATTEMPTS = 3;

/** Finds or enters rows; over `vaultValues`. */
export const VAULT_TOKENS =
  'select lookup, token from maskline.vault_tokens($1, $2, $3, $4, $5, $6, $7, $8, $9)';

/** The values of `VAULT_TOKENS`. */
export function vaultValues(rows: readonly VaultRow[]): unknown[] {
  const owners = rows.flatMap(({ lookup, kid, subjects }) =>
    subjects.map(({ subject, sealed }) => ({ subject, lookup, kid, sealed })),
  );
  return [
    rows.map(({ lookup }) => lookup),
    rows.map(({ token }) => token),
    rows.map(({ kid }) => kid),
    rows.map(({ domain }) => domain),
    rows.map(({ sealed }) => sealed),
    owners.map(({ subject }) => subject),
    owners.map(({ lookup }) => lookup),
    owners.map(({ kid }) => kid),
    owners.map(({ sealed }) => sealed),
  ];
}

/** The vault, over connections of a user that may execute `maskline.vault_tokens`. */
export function createVault(pool: Pick<PostgresPool, 'query'>): PostgresVault {
  return {
    tokens: async (rows) => {
      for (let attempt = 1; attempt <= MAX_ATTEMPTS; attempt += 1) {
        const known = await asOutage(() => ask(pool, rows));
        const tokens = rows.flatMap(({ lookup }) => known.get(lookup.toString('latin1')) ?? []);
        if (tokens.length === rows.length) return tokens;
      }
      throw new PipelineError(
        'unexpected',
        `the vault stored fewer values than the ${rows.length} that it was given; see whether something deletes from maskline.vault`,
      );
    },
  };
}

async function ask(
  pool: Pick<PostgresPool, 'query'>,
  rows: readonly VaultRow[],
): Promise<ReadonlyMap<string, string>> {
  const found = await pool.query<{ lookup: Buffer; token: string }>(VAULT_TOKENS, vaultValues(rows));
  return new Map(found.rows.map(({ lookup, token }) => [lookup.toString('latin1'), token]));
}
