import type { PostgresPool } from './connection.js';

/** What came of asking for a lease. `free`: nobody has it, or ever had it since it was given back. */
export type LeaseAnswer =
  | { readonly state: 'taken' }
  | { readonly state: 'held'; readonly owner: string }
  | { readonly state: 'free' };

/** Who asks for the lease of a pipeline. */
export interface LeaseClaim {
  readonly pipeline: string;
  /** A UUID of this claim alone: two of one process exclude each other too. */
  readonly id: string;
  /** What people read. */
  readonly owner: string;
}

/** The right to drain an exclusive pipeline: one row, and one clock, that of the server. */
export interface LeaseBook {
  /**
   * Takes the lease unless somebody holds it; `ifExpired` takes only what a holder left behind that said nothing for too
   * long. Throws `postgres_unavailable`.
   */
  take(claim: LeaseClaim, options?: { readonly ifExpired?: boolean }): Promise<LeaseAnswer>;
  /** False when another has it by now. Throws `postgres_unavailable`. */
  renew(claim: LeaseClaim): Promise<boolean>;
  /** Gives it back, if it is still this claim's. Throws `postgres_unavailable`. */
  release(claim: LeaseClaim): Promise<void>;
}

/** Six times what passes between two signs of life: a holder that is only slow keeps it. */
const LEASE = "interval '30 seconds'";

/** The leases in `maskline.schedules`. */
export function createLeaseBook(pool: Pick<PostgresPool, 'query'>): LeaseBook {
  return {
    async take({ pipeline, id, owner }, { ifExpired = false } = {}) {
      const { rows } = await pool.query<{ mine: boolean; held: string | null }>(
        `with taken as (
           insert into maskline.schedules as s (pipeline, lease_id, lease_owner, lease_until)
           values ($1, $2, $3, clock_timestamp() + ${LEASE})
           on conflict (pipeline) do update
              set lease_id = excluded.lease_id, lease_owner = excluded.lease_owner, lease_until = excluded.lease_until
            where s.lease_until < clock_timestamp() or (s.lease_id is null and not $4)
           returning pipeline)
         select exists (select from taken) as mine,
                (select lease_owner from maskline.schedules where pipeline = $1) as held`,
        [pipeline, id, owner, ifExpired],
      );
      const [row] = rows;
      if (row?.mine) return { state: 'taken' };
      const owned = row?.held ?? null;
      return owned === null ? { state: 'free' } : { state: 'held', owner: owned };
    },
    async renew({ pipeline, id }) {
      const { rowCount } = await pool.query(
        `update maskline.schedules set lease_until = clock_timestamp() + ${LEASE}
          where pipeline = $1 and lease_id = $2`,
        [pipeline, id],
      );
      return rowCount === 1;
    },
    async release({ pipeline, id }) {
      await pool.query(
        `update maskline.schedules set lease_id = null, lease_owner = null, lease_until = null
          where pipeline = $1 and lease_id = $2`,
        [pipeline, id],
      );
    },
  };
}
